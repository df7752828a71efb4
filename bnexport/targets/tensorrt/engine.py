"""An engine as a runtime: named tensors on the first GPU, in torch's memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bnexport.errors import MissingRuntime, Refused
from bnexport.parity.runner import Opened, RunFailed, placed, run_errors
from bnexport.targets.cuda import find_gpu
from bnexport.targets.tensorrt.flavour import load_flavour
from bnexport.targets.tensorrt.info import EngineInfo
from bnexport.targets.tensorrt.logger import Messages, make_logger, reason
from bnexport.targets.tensorrt.sidecar import Sidecar

__all__ = ["EngineRunner", "can_run"]

Arrays = tuple[npt.NDArray[Any], ...]

_TITLES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}
_FLAVOURS = frozenset(_TITLES)
_DEVICE = "cuda:0"
_DTYPES = {
    "FLOAT": torch.float32,
    "HALF": torch.float16,
    "BF16": torch.bfloat16,
    "INT8": torch.int8,
    "UINT8": torch.uint8,
    "INT32": torch.int32,
    "INT64": torch.int64,
    "BOOL": torch.bool,
}


def can_run(engine: EngineInfo | Sequence[str]) -> str | None:
    """None where a GPU here can run an engine, else the reason, in a few words.

    Args:
        engine: Its facts, or its targets: ``["sm_89"]``.
    """
    targets = engine.targets if isinstance(engine, EngineInfo) else tuple(engine)
    gpu = find_gpu()
    if isinstance(gpu, str):
        return gpu
    if gpu.target not in targets:
        return f"the GPU here, {gpu.name}, is {gpu.target}"
    if not torch.cuda.is_available():
        return "torch here was built without CUDA"
    return None


class EngineRunner(Opened):
    """Runs an engine file whose sidecar names its hash.

    Args:
        path: The engine; its sidecar lies beside it.

    Raises:
        Refused: There is no sidecar.
    """

    device = "cuda"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._facts = Sidecar.read(path)
        if self._facts.flavour not in _FLAVOURS:
            raise Refused(f"engine {path}", f"its flavour {self._facts.flavour!r} is not known")
        self.name = _TITLES[self._facts.flavour]
        self.version = self._facts.version
        self.precision = self._facts.precision
        self.fixed_batch = self._facts.fixed_batch
        self._messages = Messages()
        self._names: Sequence[str] = ()
        self._module: Any = None
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None

    def _enter(self) -> None:
        """Open the engine.

        Raises:
            MissingRuntime: No GPU here can run it, or its TensorRT is not installed.
            Refused: Its bytes are not those that the sidecar names.
            RunFailed: TensorRT does not take it.
        """
        content = self._path.read_bytes()
        if fault := self._facts.fault(len(content), hashlib.sha256(content).hexdigest()):
            raise Refused(
                f"engine {self._path} will not be opened", fault, "Convert the model again"
            )
        if obstacle := can_run(self._facts.targets):
            raise MissingRuntime(f"engine {self._path} cannot run here", obstacle)
        self._module = load_flavour(self._facts.flavour).module
        self._open(content)

    def _leave(self) -> None:
        self._context = None
        self._engine = None
        self._runtime = None

    def take(self, names: Sequence[str]) -> None:
        """As in `Named`."""
        self._names = names

    def information(self) -> str:
        """What the engine inspector says of every layer, as JSON; of an engine that is open."""
        inspector = self._engine.create_engine_inspector()
        text = inspector.get_engine_information(self._module.LayerInformationFormat.JSON)
        return str(text)

    def run(self, inputs: Arrays) -> Arrays:
        """Positional inputs in, outputs in order.

        Raises:
            RunFailed: A shape is outside the profile, or TensorRT failed.
        """
        with run_errors(self._what()), torch.cuda.device(_DEVICE), torch.no_grad():
            fed, outputs = self._laid(inputs)
            self._execute()
            del fed  # the GPU read them until here
            return tuple(_to_numpy(tensor) for tensor in outputs)

    def lay(self, inputs: Arrays) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Bring the inputs to the GPU and make room for the outputs, for runs by `enqueue`.

        Returns:
            Both; the engine reads and writes them, so they are kept for as long as it runs.

        Raises:
            RunFailed: A shape is outside the profile.
        """
        with run_errors(self._what()), torch.cuda.device(_DEVICE), torch.no_grad():
            return self._laid(inputs)

    def enqueue(self, stream: int) -> None:
        """Run on what was laid, on a CUDA stream, without waiting for the end.

        Raises:
            RunFailed: TensorRT failed.
        """
        if not self._context.execute_async_v3(stream):
            raise RunFailed(self._what(), reason(self._messages))

    def _laid(self, inputs: Arrays) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        if len(inputs) != len(self._facts.inputs):
            why = f"{len(inputs)} inputs were given, it has {', '.join(self._facts.inputs)}"
            raise RunFailed(self._what(), why)
        inputs = placed(inputs, self._names, self._facts.inputs)
        fed = [self._feed(*pair) for pair in zip(self._facts.inputs, inputs, strict=True)]
        if missing := self._context.infer_shapes():
            raise RunFailed(self._what(), f"no shape for {', '.join(missing)}")
        return fed, [self._receive(name) for name in self._facts.outputs]

    def _open(self, content: bytes) -> None:
        self._runtime = self._module.Runtime(make_logger(self._module, self._messages))
        if hasattr(self._runtime, "get_engine_validity"):
            validity, _ = self._runtime.get_engine_validity(content)
            if validity == self._module.EngineValidity.INVALID:
                raise RunFailed(self._what(), reason(self._messages))
        self._engine = self._runtime.deserialize_cuda_engine(content)
        if self._engine is None:
            raise RunFailed(self._what(), reason(self._messages))
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise RunFailed(self._what(), reason(self._messages))

    def _feed(self, name: str, array: npt.NDArray[Any]) -> torch.Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        tensor = tensor.to(self._place(name), self._dtype(name))
        if not self._context.set_input_shape(name, tuple(tensor.shape)):
            shape = "x".join(map(str, tensor.shape))
            why = f"input {name!r} of shape {shape} is outside its profile"
            raise RunFailed(self._what(), why)
        return self._bind(name, tensor)

    def _receive(self, name: str) -> torch.Tensor:
        shape = tuple(self._context.get_tensor_shape(name))
        if any(size < 0 for size in shape):
            raise RunFailed(self._what(), f"the shape of output {name!r} depends on the data")
        tensor = torch.empty(shape, dtype=self._dtype(name), device=self._place(name))
        return self._bind(name, tensor)

    def _bind(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        if not self._context.set_tensor_address(name, tensor.data_ptr()):
            raise RunFailed(self._what(), reason(self._messages))
        return tensor

    def _execute(self) -> None:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())  # the copies of the inputs
        done = self._context.execute_async_v3(stream.cuda_stream)
        stream.synchronize()
        if not done:
            raise RunFailed(self._what(), reason(self._messages))

    def _place(self, name: str) -> str:
        """Tensors that decide shapes live in the host's memory."""
        host = self._module.TensorLocation.HOST
        return "cpu" if self._engine.get_tensor_location(name) == host else _DEVICE

    def _dtype(self, name: str) -> torch.dtype:
        kind = self._engine.get_tensor_dtype(name).name
        if kind not in _DTYPES:
            raise RunFailed(self._what(), f"{name!r} has type {kind}, which torch has not")
        return _DTYPES[kind]

    def _what(self) -> str:
        return f"{self.name} cannot run {self._path}"


def _to_numpy(tensor: torch.Tensor) -> npt.NDArray[Any]:
    wide = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    return wide.cpu().numpy()
