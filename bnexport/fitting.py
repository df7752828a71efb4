"""Real inputs held against what a model says that it takes, and cut into batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch

from bnexport.errors import UsageError
from bnexport.runnable import Declared

__all__ = ["batch_axis", "chunks", "fitted"]

Tensors = dict[str, torch.Tensor]


def fitted(
    given: Mapping[str, torch.Tensor], declared: Sequence[Declared], batch: int | None = None
) -> tuple[Tensors, list[str]]:
    """The inputs in their order and types, and what had to be converted, in sentences.

    Args:
        given: By name.
        declared: What the model takes; of optional inputs only those given.
        batch: How many samples a call has; a first axis declared of that size may be longer. None: not cut.

    Returns:
        The inputs, and a note on each whose type is another than its own.

    Raises:
        UsageError: One is missing, or has another rank, size or kind of element.
    """
    missing = [each.name for each in declared if each.name not in given]
    if missing:
        why = f"it takes {_listed(declared)}, and {', '.join(given) or 'nothing'} is given"
        raise UsageError(f"no input {', '.join(missing)}", why, "Store it in the file, by its name")
    notes: list[str] = []
    made: Tensors = {}
    for each in declared:
        tensor = given[each.name]
        _check_shape(tensor, each, batch)
        made[each.name] = _typed(tensor, each)
        if made[each.name].dtype != tensor.dtype:
            notes.append(f"input {each.name!r}: {_name(tensor.dtype)} read as {each.dtype}")
    return made, notes


def batch_axis(
    declared: Sequence[Declared], inputs: Mapping[str, torch.Tensor], batch: int
) -> tuple[str, ...]:
    """The inputs whose first axis is the batch, and is to be cut.

    Those whose first axis is free; of a module, which declares nothing, every one that has an axis. A model whose
    batch was frozen at export has none: there it is those of that size.

    Raises:
        UsageError: There is none, they hold different numbers of samples, or a frozen batch does not divide them.
    """
    free = [each.name for each in declared if each.shape is None or each.shape[:1] == (None,)]
    names = [name for name in free if inputs[name].dim()]
    frozen = [each.name for each in declared if each.shape and each.shape[0] == batch]
    counts = {name: len(inputs[name]) for name in names or frozen}
    what, remedy = "the inputs cannot be cut into batches", "Leave --batch out"
    if len(set(counts.values())) != 1:
        said = ", ".join(f"{name} has {count}" for name, count in counts.items())
        why = f"the numbers of samples differ: {said}" if said else "no input has a free first axis"
        raise UsageError(what, why, remedy)
    total = next(iter(counts.values()))
    if not names and total % batch:
        why = f"the model takes {batch} at a time alone, and {total} are given"
        raise UsageError(what, why, f"Give a multiple of {batch}")
    return tuple(counts)


def chunks(inputs: Tensors, names: Sequence[str], size: int) -> Iterator[tuple[int, Tensors]]:
    """The inputs in pieces of ``size`` samples, the last of what is left; and how many each holds."""
    total = len(inputs[names[0]])
    for start in range(0, total, size):
        piece = {
            name: tensor[start : start + size] if name in names else tensor
            for name, tensor in inputs.items()
        }
        yield len(piece[names[0]]), piece


def _check_shape(tensor: torch.Tensor, declared: Declared, batch: int | None) -> None:
    if not tensor.numel():
        raise UsageError(f"input {declared.name!r}", "it is empty", "Give at least one sample")
    if declared.shape is None:
        return
    cut = batch is not None and declared.shape[:1] == (batch,)
    sizes = list(zip(tensor.shape, declared.shape, strict=False))[1 if cut else 0 :]
    fits = len(tensor.shape) == len(declared.shape)
    if not fits or any(own not in (None, size) for size, own in sizes):
        found = "x".join(map(str, tensor.shape)) or "a scalar"
        why = f"it is {found}, and the model takes {_shape(declared)}"
        raise UsageError(f"input {declared.name!r} has another shape", why)


def _typed(tensor: torch.Tensor, declared: Declared) -> torch.Tensor:
    """Of a float, the width that the model takes; of an integer, if no value changes."""
    wanted = getattr(torch, declared.dtype, None) if declared.dtype else tensor.dtype
    if not isinstance(wanted, torch.dtype) or wanted == tensor.dtype:
        return tensor
    made = tensor.to(wanted) if _kind(wanted) == _kind(tensor.dtype) else None
    if made is None or (
        _kind(wanted) == "integer" and not torch.equal(made.to(tensor.dtype), tensor)
    ):
        why = f"it holds {_name(tensor.dtype)}, and the model takes {declared.dtype}"
        raise UsageError(f"input {declared.name!r} has another type", why, "Convert it first")
    return made


def _kind(dtype: torch.dtype) -> str:
    if dtype.is_complex or dtype.is_floating_point:
        return "complex" if dtype.is_complex else "float"
    return "flag" if dtype == torch.bool else "integer"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _listed(declared: Sequence[Declared]) -> str:
    return ", ".join(
        " ".join(filter(None, (each.name, "" if each.shape is None else _shape(each), each.dtype)))
        for each in declared
    )


def _shape(declared: Declared) -> str:
    sizes = enumerate(declared.shape or ())
    return "x".join(
        ("N" if axis == 0 else "?") if size is None else str(size) for axis, size in sizes
    )
