"""``run``: a model or a file on real inputs, its outputs by name."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bnexport.errors import UsageError
from bnexport.events import Event, Observer, silent, stage
from bnexport.fitting import batch_axis, chunks, fitted
from bnexport.inputs.files import stored_arrays
from bnexport.isolation import Isolation, isolating
from bnexport.parity.arrays import Array, Arrays, from_torch, is_floating
from bnexport.parity.runner import RunFailed, Runner, label
from bnexport.parity.runtimes import onnx_runners
from bnexport.parity.torch_runner import TorchRunner
from bnexport.passes.modules import undisturbed
from bnexport.publish import Staging, check_destination
from bnexport.runnable import ENGINE, ONNX, Declared, Model, Reading, open_model

__all__ = ["SCHEMA", "Ran", "run"]

SCHEMA = "bnexport.run/1"

_SERVED: Mapping[str, tuple[str, ...]] = {
    ONNX: ("ort", "ort-plain", "ort-rounded", "ort-cuda", "ort-trt"),
    ENGINE: ("trt",),
}
_OF_TORCH = ("torch",)
_NATIVE = {"b", "i", "u", "f", "c"}


@dataclass(frozen=True)
class Ran:
    """What a run gave.

    Attributes:
        outputs: By name, in order; bfloat16 as ``ml_dtypes`` has it.
        runtime: What ran it: ``ONNX Runtime 1.32.0 (cpu)``.
        inputs: The shapes that it was fed, by name.
        batches: How many samples each call had; empty: all inputs went in one call, as given.
        notes: Sentences: what was converted.
    """

    outputs: Mapping[str, Array]
    runtime: str
    inputs: Mapping[str, tuple[int, ...]]
    batches: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The document, of the form ``bnexport.run/1``: of each output what one asks first, not its numbers."""
        return {
            "schema": SCHEMA,
            "runtime": self.runtime,
            "inputs": {name: list(shape) for name, shape in self.inputs.items()},
            "batches": list(self.batches),
            "outputs": {name: _told(array) for name, array in self.outputs.items()},
            "notes": list(self.notes),
        }

    def save(self, path: str | PathLike[str]) -> None:
        """Write the outputs as one ``.npz``, whole or not at all; bfloat16 as float32, which holds its every value.

        Raises:
            OutputError: It cannot be written; what was there before is there still.
        """
        path = Path(path)
        with Staging(path) as staging:
            with zipfile.ZipFile(staging.folder / path.name, "w", allowZip64=True) as archive:
                for name, array in self.outputs.items():
                    # Not numpy.savez: an output may be called `file`, which is a parameter of it.
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                        np.lib.format.write_array(stream, _stored(array), allow_pickle=False)
            staging.commit(path.name)


@isolating(foreign=True)
def run(
    model: str | PathLike[str] | torch.nn.Module | None,
    inputs: str | PathLike[str] | Mapping[str, Any],
    output: str | PathLike[str] | None = None,
    *,
    arch: str | None = None,
    arch_args: Mapping[str, object] | None = None,
    allow: Sequence[str] = (),
    allow_partial: bool = False,
    trust_torchscript: bool = False,
    state_dict_key: str | None = None,
    runtime: str | None = None,
    batch: int | None = None,
    isolation: Isolation | None = None,
    observe: Observer = silent,
) -> Ran:
    """Run a model on real inputs, as it is deployed: a module in eval mode, a file in its runtime.

    Args:
        model: A file (of PyTorch, ONNX, ``torch.export``, TensorRT) or a live module; None with ``arch``.
        inputs: A file, ``.npz``, ``.npy`` or ``.pt``, or arrays by the names of the inputs.
        output: Where to write the outputs, as ``.npz``; None: nowhere.
        arch: As in `convert`, like the five below.
        arch_args: See ``arch``.
        allow: See ``arch``.
        allow_partial: See ``arch``.
        trust_torchscript: See ``arch``.
        state_dict_key: See ``arch``.
        runtime: ``torch``, ``ort``, ``ort-plain``, ``ort-rounded``, ``ort-cuda``, ``ort-trt`` or ``trt``; None: the
            first that serves the kind of file.
        batch: How many samples a call has; None: all inputs go in one call, as they are.
        isolation: How native work is kept apart: limits of time and memory, or in this process.
        observe: Told of progress.

    Raises:
        Refused: A file is missing or of no known kind, or would run code.
        UsageError: The inputs do not fit, or the runtime does not serve the model.
        MissingRuntime: The runtime is not usable here.
        NativeFailure: Native code crashed, hung or took too much memory.
        RunFailed: It failed.
        OutputError: The outputs cannot be written.
    """
    if batch is not None and batch < 1:
        raise UsageError(f"a batch of {batch}", "it holds no sample", "Use --batch 1 or more")
    if output is not None:
        check_destination(
            Path(output), [Path(p) for p in (model, inputs) if isinstance(p, str | PathLike)]
        )
    reading = Reading(arch, arch_args, allow, allow_partial, trust_torchscript, state_dict_key)
    with stage(observe, "load"):
        found = open_model(model, reading)
        name = _chosen(found, runtime)
        given = _given(inputs, found.known())
        declared = _declared(found, given)
        tensors, notes = fitted(given, declared, batch)
    with undisturbed(), stage(observe, "run"):
        runner, outputs = _runner(found, name, tuple(tensors))
        with runner:
            ran = _ran(runner, outputs, tensors, declared, batch, observe)
    told = (*(found.loaded.notes if found.loaded else ()), *notes)
    ran = replace(ran, notes=told)
    if output is not None:
        ran.save(output)
    return ran


def _chosen(model: Model, runtime: str | None) -> str:
    served = _SERVED.get(model.kind, _OF_TORCH)
    if runtime is not None and runtime not in served:
        why = f"{model.name} runs in {', '.join(served)}"
        raise UsageError(f"runtime {runtime!r} does not run it", why)
    return runtime or served[0]


def _given(
    inputs: str | PathLike[str] | Mapping[str, Any], known: Sequence[str]
) -> dict[str, torch.Tensor]:
    if isinstance(inputs, str | PathLike):
        return stored_arrays(inputs, known)
    made = {str(name): torch.as_tensor(value).detach().cpu() for name, value in inputs.items()}
    if unknown := [name for name in made if name not in known]:
        raise UsageError(f"input {', '.join(unknown)}", f"the model takes {', '.join(known)}")
    return made


def _declared(model: Model, given: Mapping[str, torch.Tensor]) -> list[Declared]:
    """What the model takes; of a module's optional parameters those that are given, in the order of ``forward``."""
    declared = list(model.declared())
    if model.loaded is None:
        return declared
    required = {each.name for each in declared}
    names = [name for name in model.known() if name in required or name in given]
    own = str(model.float_dtype()).removeprefix("torch.")
    return [
        Declared(name, own if name in given and given[name].is_floating_point() else "")
        for name in names
    ]


def _runner(model: Model, name: str, inputs: Sequence[str]) -> tuple[Runner, Any]:
    """The runner, fed by names, and a function that names the outputs once it has run."""
    if model.kind == ENGINE:
        return _of_engine(model, inputs)
    if model.graph is not None and model.path is not None:
        (runner,) = onnx_runners(model.path, [name], None)
        runner.take(inputs)
        names = tuple(value.name or "" for value in model.graph.graph.outputs)
        return runner, lambda: names
    plain = model.plain(inputs)
    return TorchRunner(plain), lambda: plain.outputs


def _of_engine(model: Model, inputs: Sequence[str]) -> tuple[Runner, Any]:
    from bnexport.targets.tensorrt import EngineRunner
    from bnexport.targets.tensorrt.sidecar import Sidecar

    if model.path is None:
        raise TypeError("an engine comes from a file")
    runner, names = EngineRunner(model.path), Sidecar.read(model.path).outputs
    runner.take(inputs)
    return runner, lambda: names


def _ran(
    runner: Runner,
    names: Any,
    tensors: dict[str, torch.Tensor],
    declared: Sequence[Declared],
    batch: int | None,
    observe: Observer,
) -> Ran:
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if batch is None:
        outputs = runner.run(from_torch(tensors.values()))
        return Ran(dict(zip(names(), outputs, strict=True)), label(runner), shapes)
    cut = batch_axis(declared, tensors, batch)
    total = len(tensors[cut[0]])
    sizes: list[int] = []
    parts: list[Arrays] = []
    for size, piece in chunks(tensors, cut, batch):
        parts.append(runner.run(from_torch(piece.values())))
        sizes.append(size)
        observe(Event("run", "note", f"{sum(sizes)} of {total}", fraction=sum(sizes) / total))
    joined = dict(zip(names(), _joined(parts, sizes, names()), strict=True))
    return Ran(joined, label(runner), shapes, tuple(sizes))


def _joined(parts: Sequence[Arrays], sizes: Sequence[int], names: Sequence[str]) -> Iterator[Array]:
    for name, pieces in zip(names, zip(*parts, strict=True), strict=True):
        for piece, size in zip(pieces, sizes, strict=True):
            if piece.shape[:1] != (size,):
                shape = "x".join(map(str, piece.shape)) or "a scalar"
                why = f"for {size} samples it is {shape}: its first axis is not the batch"
                raise RunFailed(f"output {name!r} cannot be joined", why, "Leave --batch out")
        yield np.concatenate(pieces)


def _stored(array: Array) -> Array:
    """As NumPy can read it back without ``ml_dtypes``."""
    return array if array.dtype.kind in _NATIVE else array.astype(np.float32)


def _told(array: Array) -> dict[str, Any]:
    wide = _stored(array)
    numbers = wide[np.isfinite(wide)] if is_floating(array) else wide
    ordered = numbers.size and numbers.dtype.kind != "c"
    return {
        "shape": list(array.shape),
        "dtype": str(array.dtype),
        "min": numbers.min().item() if ordered else None,
        "max": numbers.max().item() if ordered else None,
        "nan": int(np.isnan(wide).sum()) if is_floating(array) else 0,
        "inf": int(np.isinf(wide).sum()) if is_floating(array) else 0,
    }
