"""Who takes part: each model in each runtime that serves its kind, by the names under which users ask for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from bnexport.bench import engine_contestant, onnx_contestant, torch_contestant
from bnexport.bench.contestant import Contestant
from bnexport.bench.on_stream import OnStream
from bnexport.errors import MissingRuntime, UsageError
from bnexport.parity.onnx_runner import cuda_obstacle
from bnexport.parity.runtimes import onnx_runners
from bnexport.runnable import ENGINE, MODULE, ONNX, SCRIPT, Model

__all__ = ["RUNTIMES", "Entrant", "Means", "entrants", "made"]

# By kind, what serves it; those that compile take a module that Dynamo can read.
_SERVED: Mapping[str, tuple[str, ...]] = {
    MODULE: ("torch", "torch-compile", "torch-cuda", "torch-compile-cuda"),
    SCRIPT: ("torch", "torch-cuda"),
    ONNX: ("ort", "ort-plain", "ort-cuda", "ort-trt"),
    ENGINE: ("trt",),
}
_USUAL = {
    MODULE: ("torch", "torch-compile"),
    SCRIPT: ("torch",),
    ONNX: ("ort",),
    ENGINE: ("trt",),
}
_USUAL_ON_GPU = {
    MODULE: ("torch-cuda", "torch-compile-cuda"),
    SCRIPT: ("torch-cuda",),
    ONNX: ("ort-cuda",),
    ENGINE: ("trt",),
}
RUNTIMES = tuple(dict.fromkeys(name for names in _SERVED.values() for name in names))
_GPU_REMEDY = "Run it on a machine with an NVIDIA GPU and a torch built for CUDA, or leave it out"


@dataclass(frozen=True)
class Entrant:
    """A model in a runtime.

    Attributes:
        model: What is run.
        runtime: One of `RUNTIMES`.
        asked: Whether the user named the runtime: then it must run.
    """

    model: Model
    runtime: str
    asked: bool

    def __str__(self) -> str:
        return f"{self.model.name} in {self.runtime}"


@dataclass(frozen=True)
class Means:
    """How every contestant is run.

    Attributes:
        threads: On the processor; None: as many as each runtime takes by itself.
        cuda_graphs: Whether PyTorch and engines replay CUDA graphs on a GPU.
    """

    threads: int | None = None
    cuda_graphs: bool = False


def entrants(models: Sequence[Model], runtimes: Sequence[str]) -> list[Entrant]:
    """Who takes part, in the order of the models, then of the runtimes.

    Args:
        models: What is run.
        runtimes: Those asked for; none: on a machine with a GPU those that use it, else the usual ones.

    Raises:
        UsageError: A runtime is not known or serves none of the models, or a model is served by none.
    """
    for name in runtimes:
        if name not in RUNTIMES:
            raise UsageError(f"runtime {name!r}", f"there are {', '.join(RUNTIMES)}")
    if not runtimes:
        return [Entrant(model, name, False) for model in models for name in _usual(model)]
    found = [
        Entrant(model, name, True)
        for model in models
        for name in dict.fromkeys(runtimes)
        if name in _SERVED[model.kind]
    ]
    _check_served(found, models, runtimes)
    return found


def _usual(model: Model) -> tuple[str, ...]:
    if not torch.cuda.is_available():
        return _USUAL[model.kind]
    if model.kind == ONNX and cuda_obstacle():
        return (
            "ort",
            *_USUAL_ON_GPU[model.kind],
        )  # the second is listed as skipped, with the reason
    return _USUAL_ON_GPU[model.kind]


def _check_served(
    found: Sequence[Entrant], models: Sequence[Model], runtimes: Sequence[str]
) -> None:
    for name in runtimes:
        if all(each.runtime != name for each in found):
            kinds = ", ".join(f"{model.name} runs in {_served(model)}" for model in models)
            raise UsageError(f"runtime {name!r} runs none of the models", kinds)
    for model in models:
        if all(each.model is not model for each in found):
            what = f"{model.name} would not be measured"
            why = f"it runs in {_served(model)}, and {', '.join(runtimes)} is asked for"
            raise UsageError(what, why, "Leave the file out, or ask for more with --runtime")


def _served(model: Model) -> str:
    return ", ".join(_SERVED[model.kind])


def made(
    entrant: Entrant, names: Sequence[str], means: Means, precision: str | None = None
) -> Contestant:
    """The contestant, not yet entered.

    Args:
        entrant: The model and the runtime.
        names: Of the inputs, in order.
        means: How it is run.
        precision: What an ONNX file computes in; None: told from its weights.

    Raises:
        MissingRuntime: What it needs is not usable here.
        Refused: The file is.
        UsageError: The model takes other inputs.
    """
    if entrant.model.kind == ONNX:
        return _of_onnx(entrant, names, means, precision)
    if entrant.model.kind == ENGINE:
        return _of_engine(entrant, names, means)
    return _of_torch(entrant, names, means)


def _of_torch(entrant: Entrant, names: Sequence[str], means: Means) -> Contestant:
    model, compiled = entrant.model, "compile" in entrant.runtime
    if entrant.runtime.endswith("-cuda"):
        if not torch.cuda.is_available():
            raise MissingRuntime(entrant.runtime, "torch here finds no CUDA device", _GPU_REMEDY)
        return torch_contestant.OnCuda(
            model.plain(names),
            model.float_dtype(),
            model.name,
            compiled=compiled,
            cuda_graph=means.cuda_graphs,
        )
    plain = model.plain(names).to("cpu")
    dtype = model.float_dtype()
    return torch_contestant.OnProcessor(plain, dtype, model.name, compiled=compiled)


def _of_onnx(
    entrant: Entrant, names: Sequence[str], means: Means, precision: str | None
) -> Contestant:
    path = entrant.model.path
    if path is None:
        raise TypeError("an ONNX model comes from a file")
    if entrant.runtime in ("ort", "ort-plain"):
        (runner,) = onnx_runners(path, [entrant.runtime], None, precision, means.threads)
        return onnx_contestant.OnProcessor(runner, names, entrant.model.name)
    if obstacle := cuda_obstacle():
        raise MissingRuntime(entrant.runtime, obstacle, _GPU_REMEDY)
    on = OnStream()
    stream = int(on.stream.cuda_stream)
    (runner,) = onnx_runners(path, [entrant.runtime], None, precision, means.threads, stream)
    return onnx_contestant.OnCuda(runner, names, entrant.model.name, on)


def _of_engine(entrant: Entrant, names: Sequence[str], means: Means) -> Contestant:
    from bnexport.targets.tensorrt import EngineRunner, can_run
    from bnexport.targets.tensorrt.sidecar import Sidecar

    path = entrant.model.path
    if path is None:
        raise TypeError("an engine comes from a file")
    facts = Sidecar.read(path)
    if obstacle := can_run(facts.targets):
        raise MissingRuntime(f"engine {path} cannot run here", obstacle)
    return engine_contestant.OfEngine(
        EngineRunner(path),
        names,
        entrant.model.name,
        facts.outputs,
        cuda_graph=means.cuda_graphs,
    )
