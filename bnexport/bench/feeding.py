"""The inputs of a benchmark: the same numbers for every contestant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bnexport.errors import UsageError
from bnexport.inputs import Examples, InputSpec, complete, infer, read_inputs
from bnexport.inputs.files import read_for_graph
from bnexport.inputs.graph import examples_of
from bnexport.passes.modules import undisturbed, unwrap
from bnexport.runnable import Model

__all__ = ["check_batches", "examples_for", "samples_in"]


def examples_for(
    models: Sequence[Model], specs: Sequence[InputSpec], data: Path | None
) -> Examples:
    """Where the batches come from: what the user says, as the first model that knows its inputs completes it.

    An ONNX file declares them, so it is asked first, and an engine next; of a module they are inferred.

    Raises:
        UsageError: They cannot be told, or do not fit.
    """
    graph = next((model.graph for model in models if model.graph is not None), None)
    if graph is not None:
        return examples_of(graph, tuple(specs), data)
    engine = next((model for model in models if model.tensors), None)
    if engine is not None:
        return _of_engine(engine, specs, data)
    return _of_module(models[0], specs, data)


def _of_module(model: Model, specs: Sequence[InputSpec], data: Path | None) -> Examples:
    inside = unwrap(model.module)[0]
    if data is not None:
        return read_inputs(data, inside)
    if specs:
        return Examples(complete(specs, inside))
    example = model.loaded.example if model.loaded is not None else None
    with undisturbed():
        return infer(inside, example)


def _of_engine(model: Model, specs: Sequence[InputSpec], data: Path | None) -> Examples:
    declared = [InputSpec(each.name, each.shape or (), each.dtype) for each in model.declared()]
    if data is not None:
        return read_for_graph(data, declared)
    chosen = {
        spec.name or declared[place].name: spec for place, spec in enumerate(specs[: len(declared)])
    }
    names = [each.name for each in declared]
    if unknown := [name for name in chosen if name not in names] or len(specs) > len(names):
        why = f"it takes {', '.join(names)}"
        raise UsageError(f"{model.name} has no such input: {unknown}", why)
    made = []
    for each in declared:
        spec = chosen.get(each.name)
        if spec is None and None in each.shape[1:]:
            why = "an axis other than the batch is free"
            raise UsageError(f"input {each.name!r} needs a shape", why, "Say it with --input")
        own = (
            each if spec is None else replace(spec, name=each.name, dtype=spec.dtype or each.dtype)
        )
        made.append(own)
    return Examples(tuple(made))


def check_batches(examples: Examples, batches: Sequence[int]) -> tuple[int, ...]:
    """The batches to sweep over; of inputs without a free batch axis, the one that they have.

    Raises:
        UsageError: Several are asked for, and the inputs have no free batch axis.
    """
    if not batches:
        raise UsageError("no batch to measure", "", "Use --batch 1,8")
    if any(None in spec.shape for spec in examples.specs):
        return tuple(dict.fromkeys(batches))
    if len(batches) > 1:
        shapes = ", ".join(map(str, examples.specs))
        why = f"the inputs have no free batch axis: {shapes}"
        raise UsageError("batches cannot be swept over", why, "Leave --batch out")
    return tuple(batches)


def samples_in(examples: Examples, batch: int) -> int:
    """How many samples a run takes: the batch, or the first axis of inputs whose sizes are all fixed."""
    if any(None in spec.shape for spec in examples.specs):
        return batch
    return next((spec.shape[0] or 1 for spec in examples.specs if spec.shape), 1)
