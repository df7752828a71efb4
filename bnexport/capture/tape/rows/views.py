"""What moves numbers and leaves them as they are: reshaping, transposing, joining, splitting, padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir
import torch

from bnexport.capture.tape.kinds import Sizes
from bnexport.capture.tape.site import Row, Site
from bnexport.capture.tape.sizes import Size, Unsure, alike

__all__ = ["ROWS"]


def _reshape(site: Site) -> ir.Value:
    """To the sizes that came out: at most one depends on the batch and may be left to be computed."""
    before, after = site.shape(), site.out_shape
    if site.dtype() != site.out_type:
        raise Unsure("a view of the bits as another type")
    if alike(before, after):
        return site.value()
    if _flattens(before, after):
        return site.op("Flatten", [site.value()], {"axis": 1})
    return site.op("Reshape", [site.value(), site.integers(_target(before, after))])


def _flattens(before: Sizes, after: Sizes) -> bool:
    return len(before) > 2 and len(after) == 2 and alike(before[:1], after[:1])


def _target(before: Sizes, after: Sizes) -> list[int]:
    """The target of a Reshape: 0 keeps a size in its place, one -1 is computed."""
    target, free = [], 0
    for axis, size in enumerate(after):
        if not isinstance(size, Size):
            target.append(int(size))
        elif axis < len(before) and alike((before[axis],), (size,)):
            target.append(0)
        else:
            target.append(-1)
            free += 1
    if free > 1 or (0 in after and free):
        raise Unsure("a shape in which several sizes depend on the batch")
    return target


def _permute(site: Site) -> ir.Value:
    dims = site.plain("dims")
    return _transposed(site, [dim % site.rank() for dim in dims])


def _transpose(site: Site) -> ir.Value:
    first, second = site.axis("dim0"), site.axis("dim1")
    return _swapped(site, first, second)


def _swapped(site: Site, first: int, second: int) -> ir.Value:
    order = list(range(site.rank()))
    order[first], order[second] = order[second], order[first]
    return _transposed(site, order)


def _transposed(site: Site, order: Sequence[int]) -> ir.Value:
    if list(order) == sorted(order):
        return site.value()
    return site.op("Transpose", [site.value()], {"perm": list(order)})


def _t(site: Site) -> ir.Value:
    rank = site.rank()
    if rank > 2:
        raise Unsure("T of more than two axes")
    return _transposed(site, list(range(rank))[::-1])


def _mt(site: Site) -> ir.Value:
    return _swapped(site, site.rank() - 1, site.rank() - 2)


def _movedim(site: Site) -> ir.Value:
    source, destination = (site.plain(name) for name in ("source", "destination"))
    source = source if isinstance(source, tuple) else (source,)
    destination = destination if isinstance(destination, tuple) else (destination,)
    order = list(
        torch.movedim(torch.empty(list(range(1, site.rank() + 1))), source, destination).shape
    )
    return _transposed(site, [size - 1 for size in order])


def _squeeze(site: Site) -> ir.Value:
    before, after = site.shape(), site.out_shape
    if alike(before, after):
        return site.value()
    given = site.plain("dim")
    axes = site.axes() if given is not None else tuple(range(len(before)))
    gone = [axis for axis in axes if not isinstance(before[axis], Size) and before[axis] == 1]
    if given is None and any(isinstance(size, Size) for size in before):
        # At a batch of one the batch axis goes too, which the sizes here do not tell.
        raise Unsure("squeeze() drops the batch axis of a batch of one")
    if any(isinstance(before[axis], Size) for axis in axes):
        raise Unsure("squeeze() drops the batch axis of a batch of one")
    return site.op("Squeeze", [site.value(), site.integers(gone)])


def _unsqueeze(site: Site) -> ir.Value:
    axis = site.axis(rank=site.rank() + 1)
    return site.op("Unsqueeze", [site.value(), site.integers([axis])])


def _expand(site: Site) -> ir.Value:
    before, after = site.shape(), site.out_shape
    if alike(before, after):
        return site.value()
    target: list[Any] = []
    for axis, size in enumerate(after):
        old = before[axis - (len(after) - len(before))] if axis >= len(after) - len(before) else 1
        # A 1 keeps what is there: it is broadcast against the size that the input has.
        target.append(1 if isinstance(size, Size) and isinstance(old, Size) else size)
    return site.op("Expand", [site.value(), site.e.sizes(target)])


def _repeat(site: Site) -> ir.Value:
    times = site["sizes"]
    value, shape = site.value(), site.shape()
    if any(isinstance(count, Size) for count in times):
        return _repeated_batch(site, times)
    if len(times) > len(shape):
        shape = (1,) * (len(times) - len(shape)) + shape
        value = site.op("Reshape", [value, site.integers(_target(site.shape(), shape))], {}, shape)
    for axis, count in enumerate(times):
        if count != 1 and isinstance(shape[axis], Size):
            raise Unsure("it repeats the batch")
    if all(count == 1 for count in times):
        return value
    return site.op("Tile", [value, site.integers(list(times))])


def _repeated_batch(site: Site, times: Sizes) -> ir.Value:
    """As often as there are samples: each axis that is repeated is one of size 1."""
    before, after = site.shape(), site.out_shape
    padded = (1,) * (len(after) - len(before)) + before
    for old, count in zip(padded, times, strict=True):
        if not alike((old,), (1,)) and not alike((count,), (1,)):
            raise Unsure("it repeats the batch")
    return site.op("Expand", [site.value(), site.e.sizes(after)])


def _cat(site: Site) -> ir.Value:
    tensors = site["tensors"]
    refs = [ref for ref in tensors if not alike(site.e.shape(ref), (0,))]
    axis = site.axis(rank=len(site.out_shape))
    for ref in refs:
        if isinstance(site.e.shape(ref)[axis], Size):
            raise Unsure("cat works along the batch")
    values = [site.cast(site.e.value(ref), site.out_type) for ref in refs]
    if len(values) == 1:
        return values[0]
    return site.op("Concat", values, {"axis": axis})


def _stack(site: Site) -> ir.Value:
    rank = len(site.out_shape)
    axis = site.axis(rank=rank)
    parts = []
    for ref in site["tensors"]:
        sizes = list(site.e.shape(ref))
        value = site.cast(site.e.value(ref), site.out_type)
        sizes.insert(axis, 1)
        parts.append(site.op("Unsqueeze", [value, site.integers([axis])], {}, tuple(sizes)))
    return site.op("Concat", parts, {"axis": axis})


def _split(site: Site) -> list[ir.Value]:
    """chunk, split and their like: the parts' sizes are those that came out."""
    axis = site.axis()
    site.apart(axis)
    return _parts(site, axis)


def _parts(site: Site, axis: int) -> list[ir.Value]:
    refs = site.call.outputs
    if len(refs) == 1:
        return [site.value()]
    sizes = [int(site.e.shape(ref)[axis]) for ref in refs]
    if sum(sizes) != site.shape()[axis]:
        raise Unsure(f"{site.call.name} into parts that overlap")
    first = site.op("Split", [site.value(), site.integers(sizes)], {"axis": axis}, count=len(refs))
    node = first.producer()
    assert node is not None
    return list(node.outputs)


def _pad(site: Site) -> ir.Value:
    given, mode, rank = site.plain("pad"), site.plain("mode"), site.rank()
    before, after = [0] * rank, [0] * rank
    for index, (low, high) in enumerate(zip(given[::2], given[1::2], strict=True)):
        before[rank - 1 - index], after[rank - 1 - index] = low, high
    site.apart(*(axis for axis in range(rank) if before[axis] or after[axis]))
    if not any(before) and not any(after):
        return site.value()
    modes = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    if mode not in modes or (mode == "circular" and site.e.opset < 19):
        raise Unsure(f"padding in mode {mode}")
    operands = [site.value(), site.integers(before + after)]
    if mode == "constant" and site.plain("value"):
        operands.append(site.scalar(site.plain("value")))
    return site.op("Pad", operands, {"mode": modes[mode]})


def _pixel_shuffle(site: Site) -> ir.Value:
    if site.rank() != 4:
        raise Unsure("pixel_shuffle of this rank")
    return site.op(
        "DepthToSpace", [site.value()], {"blocksize": site.plain("upscale_factor"), "mode": "CRD"}
    )


def _pixel_unshuffle(site: Site) -> ir.Value:
    """[N, C, H r, W r] as [N, C, H, r, W, r], then [N, C r r, H, W]."""
    shape, r = site.shape(), site.plain("downscale_factor")
    if len(shape) != 4:
        raise Unsure("pixel_unshuffle of this rank")
    n, c, h, w = shape
    six, turned = (n, c, h // r, r, w // r, r), (n, c, r, r, h // r, w // r)
    apart = site.op("Reshape", [site.value(), site.integers(_target(shape, six))], {}, six)
    moved = site.op("Transpose", [apart], {"perm": [0, 1, 3, 5, 2, 4]}, turned)
    return site.op("Reshape", [moved, site.integers(_target(turned, site.out_shape))])


def _channel_shuffle(site: Site) -> ir.Value:
    shape, groups = site.shape(), site.plain("groups")
    n, c, *rest = shape
    apart, turned = (n, groups, c // groups, *rest), (n, c // groups, groups, *rest)
    value = site.op("Reshape", [site.value(), site.integers(_target(shape, apart))], {}, apart)
    value = site.op("Transpose", [value], {"perm": [0, 2, 1, *range(3, len(apart))]}, turned)
    return site.op("Reshape", [value, site.integers(_target(turned, shape))])


def _tril(upper: int) -> Any:
    def emit(site: Site) -> ir.Value:
        site.apart(site.rank() - 1, site.rank() - 2)
        k = site.scalar(site.plain("diagonal"), ir.DataType.INT64)
        return site.op("Trilu", [site.value(), k], {"upper": upper})

    return emit


ROWS = {
    "view": Row("input *shape", _reshape),
    "reshape": Row("input *shape", _reshape),
    "reshape_as": Row("input other", _reshape),
    "flatten": Row("input start_dim=0 end_dim=-1", _reshape),
    "unflatten": Row("input dim sizes", _reshape),
    "ravel": Row("input", _reshape),
    "permute": Row("input *dims", _permute),
    "transpose": Row("input dim0 dim1", _transpose),
    "t": Row("input", _t),
    "mt": Row("input", _mt),
    "movedim": Row("input source destination", _movedim),
    "squeeze": Row("input dim=None", _squeeze),
    "unsqueeze": Row("input dim", _unsqueeze),
    "expand": Row("input *size", _expand),
    "expand_as": Row("input other", _expand),
    "broadcast_to": Row("input *size", _expand),
    "repeat": Row("input *sizes", _repeat),
    "tile": Row("input *sizes", _repeat),
    "cat": Row("tensors dim=0", _cat),
    "stack": Row("tensors dim=0", _stack),
    "chunk": Row("input chunks dim=0", _split),
    "split": Row("input split_size dim=0", _split),
    "tensor_split": Row("input indices_or_sections dim=0", _split),
    "pad": Row("input pad mode=constant value=None", _pad),
    "pixel_shuffle": Row("input upscale_factor", _pixel_shuffle),
    "pixel_unshuffle": Row("input downscale_factor", _pixel_unshuffle),
    "channel_shuffle": Row("input groups", _channel_shuffle),
    "native_channel_shuffle": Row("input groups", _channel_shuffle),
    "tril": Row("input diagonal=0", _tril(0)),
    "triu": Row("input diagonal=0", _tril(1)),
}
