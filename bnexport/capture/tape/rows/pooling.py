"""Pooling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from bnexport.capture.tape.site import Row, Site
from bnexport.capture.tape.sizes import Unsure

__all__ = ["ROWS"]

Emit = Callable[[Site], ir.Value]


def _windows(site: Site, axes: int) -> tuple[list[int], list[int], list[int], list[int]]:
    """Kernel, stride, padding, and how far the last window of each axis reaches past the padding."""
    if site.rank() != axes + 2:
        raise Unsure("pooling of one sample without a batch axis")
    site.apart(*range(1, axes + 2))
    kernel = site.several("kernel_size", axes)
    given = site.plain("stride")
    stride = kernel if given in (None, (), []) else site.several("stride", axes)
    padding = site.several("padding", axes)
    dilation = site.several("dilation", axes) if "dilation" in site.arguments else [1] * axes
    beyond = []
    for i in range(axes):
        reach = (site.out_shape[2 + i] - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1
        beyond.append(max(0, reach - site.shape()[2 + i] - 2 * padding[i]))
    return kernel, stride, padding, beyond


def _max_pool(axes: int) -> Emit:
    def emit(site: Site) -> ir.Value:
        if site.plain("return_indices"):
            raise Unsure("max pooling that gives its indices")
        kernel, stride, padding, beyond = _windows(site, axes)
        # What ceil_mode adds is padding of its own: no runtime has to agree on how it rounds.
        ends = [p + more for p, more in zip(padding, beyond, strict=True)]
        dilation = site.several("dilation", axes)
        attributes = {
            "kernel_shape": kernel,
            "strides": stride,
            "pads": padding + ends,
            "dilations": dilation if any(d != 1 for d in dilation) else None,
        }
        if any(more >= size for more, size in zip(ends, kernel, strict=True)):
            raise Unsure("max pooling whose last window lies in the padding")
        return site.op("MaxPool", [site.value()], attributes)

    return emit


def _avg_pool(axes: int) -> Emit:
    def emit(site: Site) -> ir.Value:
        if site.arguments.get("divisor_override") is not None:
            raise Unsure("average pooling with a divisor of its own")
        kernel, stride, padding, beyond = _windows(site, axes)
        if any(beyond):
            raise Unsure("average pooling with ceil_mode that adds a window")
        attributes = {
            "kernel_shape": kernel,
            "strides": stride,
            "pads": padding * 2,
            "count_include_pad": int(site.plain("count_include_pad")) if any(padding) else None,
        }
        return site.op("AveragePool", [site.value()], attributes)

    return emit


def _adaptive_avg(axes: int) -> Emit:
    def emit(site: Site) -> ir.Value:
        sizes, out = _adaptive(site, axes)
        if sizes == out:
            return site.value()
        if all(size == 1 for size in out):
            return site.op("GlobalAveragePool", [site.value()])
        if all(size % part == 0 for size, part in zip(sizes, out, strict=True)):
            kernel = [size // part for size, part in zip(sizes, out, strict=True)]
            return site.op(
                "AveragePool", [site.value()], {"kernel_shape": kernel, "strides": kernel}
            )
        return _averaged(site, sizes, out)

    return emit


def _adaptive(site: Site, axes: int) -> tuple[list[int], list[int]]:
    if site.rank() != axes + 2:
        raise Unsure("pooling of one sample without a batch axis")
    site.apart(*range(1, axes + 2))
    return [int(size) for size in site.shape()[2:]], [int(size) for size in site.out_shape[2:]]


def _averaged(site: Site, sizes: Sequence[int], out: Sequence[int]) -> ir.Value:
    """Windows of unequal sizes: a product with a matrix of means along each of the last two axes."""
    if len(sizes) > 2:
        raise Unsure("adaptive average pooling of this rank")
    dtype, lead = site.out_type, site.shape()[:2]
    value = site.value()
    last = site.e.shared(_means(sizes[-1], out[-1]).T, dtype)
    shape = (*lead, *sizes[:-1], out[-1])
    value = site.op("MatMul", [value, last], {}, shape)
    if len(sizes) == 2:
        value = site.op("MatMul", [site.e.shared(_means(sizes[0], out[0]), dtype), value])
    return value


def _means(size: int, parts: int) -> np.ndarray:
    matrix = np.zeros((parts, size))
    for part in range(parts):
        start, end = part * size // parts, math.ceil((part + 1) * size / parts)
        matrix[part, start:end] = 1 / (end - start)
    return matrix


def _adaptive_max(axes: int) -> Emit:
    def emit(site: Site) -> ir.Value:
        if site.plain("return_indices"):
            raise Unsure("max pooling that gives its indices")
        sizes, out = _adaptive(site, axes)
        if all(size == 1 for size in out):
            return site.op("GlobalMaxPool", [site.value()])
        if any(size % part for size, part in zip(sizes, out, strict=True)):
            raise Unsure("adaptive max pooling with windows of unequal sizes")
        kernel = [size // part for size, part in zip(sizes, out, strict=True)]
        return site.op("MaxPool", [site.value()], {"kernel_shape": kernel, "strides": kernel})

    return emit


_MAX = "input kernel_size stride=None padding=0 dilation=1 ceil_mode=False return_indices=False"
_AVG = "input kernel_size stride=None padding=0 ceil_mode=False count_include_pad=True divisor_override=None"

ROWS = {
    **{f"max_pool{n}d": Row(_MAX, _max_pool(n)) for n in (1, 2, 3)},
    **{f"avg_pool{n}d": Row(_AVG, _avg_pool(n)) for n in (1, 2, 3)},
    **{f"adaptive_avg_pool{n}d": Row("input output_size", _adaptive_avg(n)) for n in (1, 2, 3)},
    **{
        f"adaptive_max_pool{n}d": Row("input output_size return_indices=False", _adaptive_max(n))
        for n in (1, 2, 3)
    },
}
