"""Example inputs for an ONNX graph: its own declared inputs, and what the user adds where an axis is free."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import onnx_ir as ir

from bnexport.errors import UsageError
from bnexport.inputs import Examples, InputSpec

__all__ = ["examples_of"]

_KEEP_INDICES = {
    *(
        "Cast",
        "Flatten",
        "Identity",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    )
}
_WHOLE = ("int", "uint", "bool")
_NAMES = {"float": "float32", "double": "float64"}


def examples_of(
    graph: ir.Model, given: Sequence[InputSpec] = (), data: Path | None = None
) -> Examples:
    """Examples that fit the inputs of ``graph``.

    Args:
        graph: A file as it was read.
        given: What the user says; an input without a name is matched by its place.
        data: A file of real samples.

    Raises:
        UsageError: A name is not an input of the graph, or an axis other than the batch is free and
            nothing says its size.
    """
    values = [value for value in graph.graph.inputs if value.name not in graph.graph.initializers]
    names = [value.name or "" for value in values]
    if data is not None:
        from bnexport.inputs.files import read_for_graph

        examples = read_for_graph(data, [_spec(value, free=True) for value in values])
        for spec, value in zip(examples.specs, values, strict=True):
            check_fit(spec, value)
        return examples
    chosen = _by_name(given, names)
    return Examples(tuple(_chosen(value, chosen.get(value.name or "")) for value in values))


def _by_name(given: Sequence[InputSpec], names: Sequence[str]) -> dict[str, InputSpec]:
    chosen: dict[str, InputSpec] = {}
    for index, spec in enumerate(given):
        name = spec.name or (names[index] if index < len(names) else "")
        if name not in names:
            raise UsageError(
                f"the model has no input {spec.name or index!r}", "", f"It has: {', '.join(names)}."
            )
        chosen[name] = replace(spec, name=name)
    return chosen


def _chosen(value: ir.Value, given: InputSpec | None) -> InputSpec:
    """What the user says of an input, in the type that the file declares unless another is said."""
    spec = _spec(value) if given is None else given
    dtype = spec.dtype or _dtype(value) or "float32"
    check_fit(replace(spec, dtype=dtype), value)
    if not _known(dtype):
        why = f"it holds {dtype}, of which no sample can be drawn"
        raise UsageError(f"input {value.name!r} cannot be fed", why, "bnexport verifies tensors")
    return replace(spec, dtype=dtype, high=spec.high or _range(value))


def check_fit(spec: InputSpec, value: ir.Value) -> None:
    """Refuse what the file says of itself that it cannot take.

    Raises:
        UsageError: The rank, a size, or the kind of element is another than the file declares.
    """
    declared = list(value.shape) if value.shape is not None else []
    sizes = zip(spec.shape[1:], declared[1:], strict=False)
    fits = not declared or (
        len(declared) == len(spec.shape)
        and all(not isinstance(own, int) or own == size for size, own in sizes)
    )
    kinds = spec.dtype.startswith(_WHOLE), _dtype(value).startswith(_WHOLE)
    if not fits or (_dtype(value) and kinds[0] != kinds[1]):
        shape = "x".join("N" if not isinstance(size, int) else str(size) for size in declared)
        why = f"the file takes {shape} of {_dtype(value)}"
        raise UsageError(f"input {spec} does not fit", why)


def _known(dtype: str) -> bool:
    import torch

    return isinstance(getattr(torch, dtype, None), torch.dtype)


def _range(value: ir.Value) -> int | None:
    """The size of the smallest table that the input is an index into, as it is; None: there is none."""
    waiting, seen, sizes = [value], set[ir.Value](), list[int]()
    while waiting:
        each = waiting.pop()
        if each in seen:
            continue
        seen.add(each)
        for node, place in each.uses():
            if node.op_type == "Gather" and place == 1:
                sizes += _table(node)
            elif node.op_type in _KEEP_INDICES and place == 0:
                waiting += node.outputs
    return min(sizes, default=None)


def _table(gather: ir.Node) -> list[int]:
    """The length of the axis that it picks from, where that is known."""
    data = gather.inputs[0]
    if data is None or data.shape is None:
        return []
    size = data.shape[gather.attributes.get_int("axis", 0)]
    return [size] if isinstance(size, int) else []


def _dtype(value: ir.Value) -> str:
    dtype = value.dtype.name.lower() if value.dtype else ""
    return _NAMES.get(dtype, dtype)


def _spec(value: ir.Value, *, free: bool = False) -> InputSpec:
    """The declared input; ``free``: other axes than the batch may be free, and count as 1."""
    name = value.name or ""
    if value.shape is None or value.dtype is None:
        raise UsageError(f"input {name!r} has no declared shape", "", _hint(name, ()))
    sizes: list[int | None] = []
    for axis, size in enumerate(value.shape):
        if axis == 0 and not isinstance(size, int):
            sizes.append(None)
        elif isinstance(size, int) or free:
            sizes.append(size if isinstance(size, int) else 1)
        else:
            why = f"axis {axis} ({size}) is free"
            raise UsageError(f"input {name!r} needs a shape", why, _hint(name, value.shape))
    return InputSpec(name, tuple(sizes), _dtype(value))


def _hint(name: str, shape: Iterable[object]) -> str:
    sizes = [str(size) if isinstance(size, int) else "224" for size in shape][1:] or [
        "3",
        "224",
        "224",
    ]
    return f"Say it with --input {name}:{'x'.join(['N', *sizes])}."
