"""What runtimes are held against, and what tells how far rounding alone may take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bnexport.parity.arrays import Array, Arrays, from_torch
from bnexport.parity.onnx_runner import OnnxRunner
from bnexport.parity.runner import RunFailed, Runner

if TYPE_CHECKING:
    import torch

    from bnexport.signature import Plain

__all__ = ["OnnxReference", "Reference", "as_it_is", "reference_for"]


@dataclass(frozen=True)
class Reference:
    """A model as it is meant.

    Attributes:
        runner: The truth: the widest arithmetic that the model can run in.
        own: The model in its own arithmetic; judged as a runtime is.
        rounding: The model in the arithmetic whose rounding is the yardstick: ``own``, or float32
            where that is float64.
        description: For the report: ``PyTorch 2.13.0 eval mode, float64``.
    """

    runner: Runner
    own: Runner
    rounding: Runner
    description: str


class OnnxReference(Reference):
    """An ONNX file as it was given, run with every optimiser of ONNX Runtime off."""

    def __init__(self, source: Path | str | bytes) -> None:
        given = "the model" if isinstance(source, bytes) else Path(source).name
        title = f"{given} as given"
        runner = OnnxRunner(source, optimise=False, title=f"{title}, ONNX Runtime")
        description = f"{title}, in ONNX Runtime {runner.version} with its optimisers off"
        super().__init__(runner, runner, runner, description)


def reference_for(module: Plain, inputs: Sequence[torch.Tensor | Array]) -> Reference:
    """The module in float64, or as it is where it cannot run so; the description says which.

    Args:
        module: In eval mode; never changed.
        inputs: One batch, to try it on.

    Raises:
        RunFailed: The module cannot run on these inputs at all.
    """
    import torch

    from bnexport.parity.torch_runner import TorchRunner

    arrays = as_arrays(inputs)
    own, wide = TorchRunner(module), TorchRunner(module, dtype=torch.float64)
    title = f"PyTorch {own.version} eval mode"
    try:
        with wide:
            outputs = wide.run(arrays)
        wide.know(arrays, outputs)
    except RunFailed as failure:
        with own:
            own.run(arrays)
        why = f"{own.precision} (in float64 it fails: {failure.why})"
        return Reference(own, own, own, f"{title}, {why}")
    rounding = TorchRunner(module, dtype=torch.float32) if own.precision == "float64" else own
    rounded = any(array.dtype.kind == "f" and array.dtype.itemsize < 8 for array in outputs)
    note = ", as far as its own casts allow" if rounded else ""
    return Reference(wide, own, rounding, f"{title}, float64{note}")


def as_it_is(module: Plain) -> Reference:
    """The module in its own arithmetic, for a quick proof.

    Args:
        module: In eval mode; never changed.
    """
    from bnexport.parity.torch_runner import TorchRunner

    own = TorchRunner(module)
    return Reference(own, own, own, f"PyTorch {own.version} eval mode, {own.precision}")


def as_arrays(inputs: Sequence[torch.Tensor | Array]) -> Arrays:
    """Tensors or arrays as arrays."""
    import torch

    return tuple(
        from_torch([each])[0] if isinstance(each, torch.Tensor) else each for each in inputs
    )
