"""``bench``: models and files timed side by side, in rounds in which each takes its turn."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

import torch

from bnexport.bench.benchmark import Benchmark
from bnexport.bench.contestant import Unfit
from bnexport.bench.entrants import Means, entrants
from bnexport.bench.feeding import check_batches, examples_for
from bnexport.bench.rounds import Budget
from bnexport.bench.stages import Course, measured
from bnexport.errors import UsageError
from bnexport.events import Observer, silent, stage
from bnexport.inputs import InputSpec, parse_input
from bnexport.isolation import Isolation, isolating
from bnexport.report.document import inputs_json
from bnexport.runnable import Reading, open_models

__all__ = ["Benchmark", "Unfit", "bench"]

_SECONDS = 10.0


@isolating(foreign=True)
def bench(
    models: str
    | PathLike[str]
    | torch.nn.Module
    | Sequence[str | PathLike[str] | torch.nn.Module] = (),
    *,
    arch: str | None = None,
    arch_args: Mapping[str, object] | None = None,
    allow: Sequence[str] = (),
    allow_partial: bool = False,
    trust_torchscript: bool = False,
    state_dict_key: str | None = None,
    inputs: Sequence[str | InputSpec] | None = None,
    inputs_from: str | PathLike[str] | None = None,
    batch: Sequence[int] = (1,),
    runtimes: Sequence[str] = (),
    threads: int | None = None,
    rounds: int | None = None,
    seconds: float | None = None,
    warmup: int = 10,
    seed: int = 0,
    cuda_graphs: bool = False,
    memory: bool = False,
    isolation: Isolation | None = None,
    observe: Observer = silent,
) -> Benchmark:
    """Time models against each other: latency, throughput, and each one's ratio to the first.

    Every contestant is fed the same inputs and takes its turn in every round, in an order that is drawn, so that what
    drifts on the machine hits all alike. Whether the outputs agree is not judged (that is `bnexport.verify`); that
    they are finite and of the same shapes is.

    Args:
        models: Files (of PyTorch, ONNX, ``torch.export``, TensorRT) or live modules; none with ``arch``.
        arch: As in `convert`, like the five below; of the file that holds weights, or a contestant by itself.
        arch_args: See ``arch``.
        allow: See ``arch``.
        allow_partial: See ``arch``.
        trust_torchscript: See ``arch``.
        state_dict_key: See ``arch``.
        inputs: ``[name:]Nx3x224x224[:dtype]``, one an input; None: as a file declares, or inferred.
        inputs_from: Real samples, ``.npz`` or ``.pt``.
        batch: Batch sizes to sweep over.
        runtimes: ``torch``, ``torch-compile`` and both with ``-cuda``, ``ort``, ``ort-plain``, ``ort-cuda``,
            ``ort-trt``, ``trt``; none: those on the GPU where there is one, else ``torch``, ``torch-compile``,
            ``ort``, ``trt``.
        threads: On the processor; None: as many as each runtime takes by itself.
        rounds: So many at each batch size; None: as many as fit in ``seconds``.
        seconds: What the rounds of a batch size may take; None: 10, or no limit with ``rounds``.
        warmup: Runs before the first round.
        seed: Of the orders.
        cuda_graphs: Whether PyTorch and engines replay CUDA graphs on a GPU.
        memory: Whether each is also run in a process of its own, for the memory that it takes.
        isolation: How native work is kept apart: limits of time and memory, or in this process.
        observe: Told of progress.

    Returns:
        Every result: see its ``results``, ``skipped`` and ``to_json()``.

    Raises:
        Refused: A file is missing or of no known kind, or would run code.
        UsageError: The options or inputs do not fit.
        MissingRuntime: A runtime that was asked for is not usable here, or none is.
        NativeFailure: Native code crashed, hung or took too much memory.
        RunFailed: A model does not run on the inputs.
        Unfit: A contestant gives NaN or Inf, or outputs of other shapes than the first.
    """
    load_average = os.getloadavg()[0]
    budget = _budget(rounds, seconds, warmup, seed)
    if threads is not None and threads < 1:
        raise UsageError(f"{threads} threads", "nothing can run", "Use --threads 1 or more")
    data = Path(inputs_from) if inputs_from is not None else None
    if inputs and data is not None:
        raise UsageError("inputs are given twice", "by shape and from a file", "Give one of them")
    specs = tuple(parse_input(item) if isinstance(item, str) else item for item in inputs or ())
    reading = Reading(arch, arch_args, allow, allow_partial, trust_torchscript, state_dict_key)
    given = [models] if isinstance(models, str | PathLike | torch.nn.Module) else list(models)
    with stage(observe, "load"):
        found = open_models(given, reading)
        chosen = entrants(found, runtimes)
        examples = examples_for(found, specs, data)
    batches = check_batches(examples, batch)
    course = Course(examples, Means(threads, cuda_graphs), budget, memory, reading)
    results, skipped = measured(chosen, course, batches, observe)
    settings = {
        "batch": list(batches),
        "runtimes": list(runtimes),
        "threads": threads,
        "torch_threads": threads or torch.get_num_threads(),
        "rounds": budget.rounds,
        "seconds": budget.seconds,
        "warmup": budget.warmup,
        "seed": budget.seed,
        "cuda_graphs": cuda_graphs,
    }
    notes = tuple(
        f"{model.name}: {note}"
        for model in found
        if model.loaded is not None
        for note in model.loaded.notes
    )
    told = inputs_json(examples)
    return Benchmark(tuple(results), tuple(skipped), settings, told, notes, load_average)


def _budget(rounds: int | None, seconds: float | None, warmup: int, seed: int) -> Budget:
    if rounds is not None and rounds < 1:
        raise UsageError(f"{rounds} rounds", "nothing would be measured", "Use --rounds 6 or more")
    if seconds is not None and not seconds > 0:
        raise UsageError(f"{seconds} seconds", "nothing would be measured", "Use --seconds 10")
    if warmup < 0:
        raise UsageError(f"a warm-up of {warmup} runs", "", "Use --warmup 10")
    if rounds is None and seconds is None:
        seconds = _SECONDS
    return Budget(rounds, seconds, warmup, seed=seed)
