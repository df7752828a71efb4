"""PyTorch as it is deployed: eager or compiled, in inference mode, on the processor or on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from bnexport.bench.contestant import Outputs, WallClock
from bnexport.bench.on_stream import OnStream, captured
from bnexport.parity.arrays import Arrays, from_torch, to_torch
from bnexport.parity.runner import Opened, run_errors
from bnexport.passes.modules import copy_module
from bnexport.signature import Plain

__all__ = ["OnCuda", "OnProcessor", "as_deployed", "fresh_compiler"]

# Each contestant and batch compiles the same few functions of torch's own anew; past its limit of eight torch
# would quietly go on uncompiled.
_RECOMPILES = 1024


@contextmanager
def as_deployed(threads: int | None) -> Iterator[None]:
    """Torch as a deployment sets it, but for TF32, which stays off; the caller's settings come back.

    Args:
        threads: Of operators on the processor; None: as it is.
    """
    before, matmul = torch.get_num_threads(), torch.backends.cuda.matmul.allow_tf32
    try:
        torch.set_num_threads(threads or before)
        torch.backends.cuda.matmul.allow_tf32 = False
        with torch.backends.cudnn.flags(benchmark=True, deterministic=False, allow_tf32=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = matmul
        torch.set_num_threads(before)


def fresh_compiler() -> None:
    """Forget what was compiled for another batch, so that nothing is generalised over the two."""
    torch._dynamo.reset()


class _Torch(Opened):
    cuda_graph = False

    def __init__(self, plain: Plain, dtype: torch.dtype, what: str, *, compiled: bool) -> None:
        self._plain, self._dtype, self._what = plain, dtype, what
        self._compiled = compiled
        self._inputs: tuple[torch.Tensor, ...] = ()
        self._call: Callable[..., Any] = plain
        self.precision = str(dtype).removeprefix("torch.")
        name = "torch.compile" if compiled else "PyTorch"
        self.title = f"{name} {str(torch.__version__).split('+')[0]}"
        self._says = f"{name} cannot run {what}"

    def _enter(self) -> None:
        pass

    def _leave(self) -> None:
        self._inputs, self._call = (), self._plain

    def _prepared(self, inputs: Arrays, place: str) -> None:
        self._inputs = tuple(self._tensor(to_torch(each)).to(place) for each in inputs)
        # The wrapper that names the outputs takes some microseconds, which are not the model's.
        self._call = self._plain.model if self._plain.by_position else self._plain
        if self._compiled:
            self._call = torch.compile(self._call, dynamic=False)

    def _tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self._dtype) if tensor.is_floating_point() else tensor

    def _once(self) -> Any:
        with torch.inference_mode():
            return self._call(*self._inputs)

    def _result(self) -> Any:
        return self._once()

    def _first(self) -> None:
        if not self._compiled:
            self.run()
            return
        limits = ("recompile_limit", "accumulated_recompile_limit")
        with torch._dynamo.config.patch(dict.fromkeys(limits, _RECOMPILES)):
            self.run()

    def run(self) -> None:
        """As in `Contestant`."""
        raise NotImplementedError

    def outputs(self) -> Outputs:
        """As in `Contestant`; of the very callable that is timed."""
        with run_errors(self._says), torch.inference_mode():
            named = self._plain.flattened(self._result(), self._inputs)
            return dict(zip(self._plain.outputs, from_torch(named), strict=True))


class OnProcessor(WallClock, _Torch):
    """On the processor.

    Args:
        plain: The module, prepared.
        dtype: What it computes in.
        what: What to call it in errors.
        compiled: Whether by ``torch.compile``, anew for each batch.
    """

    device = "cpu"

    def lay(self, inputs: Arrays) -> None:
        """As in `Contestant`; compiles."""
        with run_errors(self._says):
            self._prepared(inputs, "cpu")
            self._first()

    def run(self) -> None:
        """As in `Contestant`."""
        self._once()


class OnCuda(OnStream, _Torch):
    """On the first GPU, on a copy; float32 without TF32, as what bnexport builds.

    Args:
        plain: See `OnProcessor`.
        dtype: See ``plain``.
        what: See ``plain``.
        compiled: See ``plain``.
        cuda_graph: Whether to replay a CUDA graph.
    """

    device = "cuda"

    def __init__(
        self, plain: Plain, dtype: torch.dtype, what: str, *, compiled: bool, cuda_graph: bool
    ) -> None:
        OnStream.__init__(self)
        copied = Plain(copy_module(plain.model), plain.inputs).to("cuda").eval()
        _Torch.__init__(self, copied, dtype, what, compiled=compiled)
        self.cuda_graph = cuda_graph
        self._enqueued: Callable[[], object] = self._once

    def lay(self, inputs: Arrays) -> None:
        """As in `Contestant`; compiles, and captures."""
        with run_errors(self._says):
            self._prepared(inputs, "cuda")
            self.laid()
            self._enqueued = self._once
            self._first()
            if self.cuda_graph:
                self._enqueued = captured(self.stream, self._once)

    def enqueue(self) -> object:
        """As in `OnStream`."""
        return self._enqueued()

    def _result(self) -> Any:
        with torch.cuda.stream(self.stream):
            result = self._enqueued()
        self.stream.synchronize()
        return result
