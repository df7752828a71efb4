"""What picks parts of a tensor: slices, indices, gathering, turning round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir
import torch

from bnexport.capture.tape.kinds import Sizes
from bnexport.capture.tape.site import Row, Site
from bnexport.capture.tape.sizes import Size, Unsure, alike
from bnexport.capture.tape.tape import Ref

__all__ = ["ROWS"]

_MOST = 2**63 - 1


def _unbind(site: Site) -> list[ir.Value]:
    axis = site.axis()
    site.apart(axis)
    count = len(site.call.outputs)
    return [
        site.op("Gather", [site.value(), site.scalar(index, ir.DataType.INT64)], {"axis": axis})
        for index in range(count)
    ]


def _narrow(site: Site) -> ir.Value:
    axis = site.axis()
    site.apart(axis)
    start, length = site.plain("start"), site.plain("length")
    start %= site.shape()[axis]
    return _slice(site, site.value(), [(axis, start, start + length, 1)], site.out_shape)


def _select(site: Site) -> ir.Value:
    axis = site.axis()
    site.apart(axis)
    return site.op(
        "Gather",
        [site.value(), site.scalar(site.plain("index"), ir.DataType.INT64)],
        {"axis": axis},
    )


def _slice(
    site: Site, value: ir.Value, cuts: Sequence[tuple[int, int, int, int]], shape: Sizes
) -> ir.Value:
    axes, starts, ends, steps = (list(each) for each in zip(*cuts, strict=True))
    operands = [value, *(site.integers(each) for each in (starts, ends, axes, steps))]
    return site.op("Slice", operands, {}, shape)


def _getitem(site: Site) -> ir.Value:
    """Slices first, then single indices from the last axis on, then new axes."""
    index = site["index"]
    items = list(index) if isinstance(index, tuple) else [index]
    items = _without_ellipsis(items, site.rank())
    shape, axis = list(site.shape()), 0
    cuts: list[tuple[int, int, int, int]] = []
    picks: list[tuple[int, Any]] = []
    new: list[int] = []
    kept = 0  # axes of the result so far
    for item in items:
        if item is None:
            new.append(kept)
            kept += 1
            continue
        if axis >= len(shape):
            raise Unsure("more indices than axes")
        if isinstance(item, slice):
            cut = _cut(site, item, axis, shape[axis])
            if cut is not None:
                cuts.append(cut)
                shape[axis] = len(range(*slice(cut[1], cut[2], cut[3]).indices(shape[axis])))
            kept += 1
        elif isinstance(item, Ref) and not isinstance(item, bool):
            picks.append((axis, item))
            kept += len(site.e.shape(item))
        elif type(item) is int:
            picks.append((axis, item))
        else:
            raise Unsure("an index of this kind")
        axis += 1
    return _picked(site, shape, cuts, picks, new)


def _picked(
    site: Site,
    shape: list[Any],
    cuts: list[tuple[int, int, int, int]],
    picks: list[tuple[int, Any]],
    new: list[int],
) -> ir.Value:
    value = site.value()
    if cuts:
        value = _slice(site, value, cuts, tuple(shape))
    if sum(isinstance(item, Ref) for _, item in picks) > 1:
        raise Unsure("several tensors as indices")
    if any(isinstance(item, Ref) for _, item in picks) and (len(picks) > 1 or new):
        raise Unsure("a tensor among other indices")
    for axis, item in reversed(picks):
        if isinstance(shape[axis], Size):
            raise Unsure("it picks samples of the batch")
        where = _index(site, item)
        sizes = site.e.shape(item) if isinstance(item, Ref) else ()
        shape[axis : axis + 1] = sizes
        value = site.op("Gather", [value, where], {"axis": axis}, tuple(shape))
    if new:
        value = site.op("Unsqueeze", [value, site.integers(new)])
    return value


def _index(site: Site, item: Any) -> ir.Value:
    if not isinstance(item, Ref):
        return site.scalar(item, ir.DataType.INT64)
    if site.e.dtype(item) not in (torch.int64, torch.int32):
        raise Unsure("an index that is a mask")
    return site.e.value(item)


def _without_ellipsis(items: list[Any], rank: int) -> list[Any]:
    places = [i for i, item in enumerate(items) if item is Ellipsis]
    if not places:
        return items
    used = sum(item is not None and item is not Ellipsis for item in items)
    whole = [slice(None)] * (rank - used)
    return items[: places[0]] + whole + items[places[0] + 1 :]


def _cut(site: Site, item: slice, axis: int, size: Any) -> tuple[int, int, int, int] | None:
    """Start, end and step along an axis; None where all of it is kept."""
    start, stop, step = item.start, item.stop, item.step
    if isinstance(size, Size):
        whole = start in (None, 0) and step in (None, 1)
        if not whole or not (stop is None or (isinstance(stop, Size) and alike((stop,), (size,)))):
            raise Unsure("it picks samples of the batch")
        return None
    start, stop, step = (site.check_plain(each, "index") for each in (start, stop, step))
    for each in (start, stop, step):
        if each is not None and type(each) is not int:
            raise Unsure("an index of this kind")
    first, last, step = slice(start, stop, step).indices(size)
    if (first, step) == (0, 1) and last == size:
        return None
    return axis, first, last, step


def _index_select(site: Site) -> ir.Value:
    axis = site.axis()
    site.apart(axis)
    if site.rank("index") != 1:
        raise Unsure("index_select by a number")
    return site.op("Gather", [site.value(), site.value("index")], {"axis": axis})


def _gather(site: Site) -> ir.Value:
    axis = site.axis()
    site.apart(axis)
    here, there = site.shape(), site.shape("index")
    if not (alike(here[:axis], there[:axis]) and alike(here[axis + 1 :], there[axis + 1 :])):
        raise Unsure("gather of a part")
    return site.op("GatherElements", [site.value(), site.value("index")], {"axis": axis})


def _flip(site: Site) -> ir.Value:
    if site.plain("dims") in ((), []):
        return site.value()
    axes = site.axes("dims")
    site.apart(*axes)
    return _slice(site, site.value(), [(axis, -1, -_MOST, -1) for axis in axes], site.out_shape)


def _roll(site: Site) -> ir.Value:
    shifts, dims = site.plain("shifts"), site.plain("dims")
    shifts = shifts if isinstance(shifts, tuple) else (shifts,)
    dims = dims if isinstance(dims, tuple) else (dims,)
    if len(shifts) != len(dims):
        raise Unsure("roll without axes")
    value, shape = site.value(), site.shape()
    for shift, dim in zip(shifts, dims, strict=True):
        axis = dim % len(shape)
        site.apart(axis)
        size = shape[axis]
        cut = -shift % size
        if cut:
            sizes = (cut, size - cut)
            left, right = ((*shape[:axis], n, *shape[axis + 1 :]) for n in sizes)
            head = _slice(site, value, [(axis, 0, cut, 1)], left)
            tail = _slice(site, value, [(axis, cut, size, 1)], right)
            value = site.op("Concat", [tail, head], {"axis": axis})
    return value


ROWS = {
    "unbind": Row("input dim=0", _unbind),
    "narrow": Row("input dim start length", _narrow),
    "select": Row("input dim index", _select),
    "getitem": Row("input index", _getitem),
    "index_select": Row("input dim index", _index_select),
    "gather": Row("input dim index sparse_grad=False", _gather),
    "flip": Row("input *dims", _flip),
    "roll": Row("input shifts dims=None", _roll),
}
