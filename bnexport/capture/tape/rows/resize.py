"""Interpolation and sampling on grids."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import torch
from torch.nn import functional

from bnexport.capture.tape.site import Row, Site
from bnexport.capture.tape.sizes import Size, Unsure, alike

__all__ = ["ROWS"]

_CUBIC = -0.75  # torch's cubic coefficient
_LINEAR = ("linear", "bilinear", "trilinear", "bicubic")


def _interpolate(site: Site) -> ir.Value:
    mode = site.plain("mode")
    if site.plain("antialias") or mode not in ("nearest", "nearest-exact", *_LINEAR):
        raise Unsure(f"interpolation in mode {mode} with antialias")
    shape, out = site.shape(), site.out_shape
    site.apart(*range(1, len(shape)))
    if mode == "bicubic" and any(
        factor not in (None, 1.0) and size == new
        for factor, size, new in zip(_given(site), _sizes(site), _outs(site), strict=True)
    ):
        raise Unsure(
            "interpolation that moves pixels and leaves the size, which runtimes take for none"
        )
    if alike(shape, out):
        return site.value()
    return _nearest(site, mode) if mode not in _LINEAR else _linear(site, mode)


def _nearest(site: Site, mode: str) -> ir.Value:
    """Which pixels torch takes is asked of torch: where ONNX's formula rounds to others, they are gathered."""
    factors = _given(site)
    taken = [
        _taken(size, out, factor, mode)
        for size, out, factor in zip(_sizes(site), _outs(site), factors, strict=True)
    ]
    scales = [
        factor if factor is not None else out / size
        for size, out, factor in zip(_sizes(site), _outs(site), factors, strict=True)
    ]
    whole = all(
        factor is not None or out % size == 0
        for size, out, factor in zip(_sizes(site), _outs(site), factors, strict=True)
    )
    exact = mode == "nearest-exact"
    as_onnx = all(
        _is_onnx(pixels, size, scale, exact) and _as_many(size, scale, len(pixels))
        for pixels, size, scale in zip(taken, _sizes(site), scales, strict=True)
    )
    if not as_onnx:
        return _gathered(site, taken)
    attributes: dict[str, object] = {
        "mode": "nearest",
        "nearest_mode": "round_prefer_ceil" if exact else "floor",
        "coordinate_transformation_mode": "half_pixel" if exact else "asymmetric",
    }
    return _resize(site, attributes, scales if whole else None)


def _taken(size: int, out: int, factor: float | None, mode: str) -> np.ndarray:
    """The pixels that torch takes along one axis."""
    line = torch.arange(size, dtype=torch.float32).view(1, 1, -1)
    if factor is None:
        found = functional.interpolate(line, size=out, mode=mode)
    else:
        found = functional.interpolate(line, scale_factor=factor, mode=mode)
    return found.flatten().long().numpy()


def _is_onnx(taken: np.ndarray, size: int, scale: float, exact: bool) -> bool:
    """Whether they are those of the operator, computed as runtimes do."""
    places = np.arange(len(taken), dtype=np.float32)
    if exact:
        source = (places + np.float32(0.5)) / np.float32(scale) - np.float32(0.5)
        found = np.floor(source + np.float32(0.5))
        edge = source - np.floor(source)
        if np.any(np.abs(edge - 0.5) < 1e-4):
            return False  # a hair's breadth decides
    else:
        source = places / np.float32(scale)
        found = np.floor(source)
        near = np.abs(source - np.round(source))
        if np.any((near > 0) & (near < 1e-4)):
            return False
    return bool(np.array_equal(np.clip(found, 0, size - 1), taken))


def _gathered(site: Site, taken: list[np.ndarray]) -> ir.Value:
    value, shape = site.value(), list(site.shape())
    for axis, pixels in enumerate(taken, 2):
        if len(pixels) == shape[axis] and np.array_equal(pixels, np.arange(len(pixels))):
            continue
        shape[axis] = len(pixels)
        index = site.integers([int(pixel) for pixel in pixels])
        value = site.op("Gather", [value, index], {"axis": axis}, tuple(shape))
    return value


def _linear(site: Site, mode: str) -> ir.Value:
    if not site.out_type.is_floating_point():
        raise Unsure("interpolation of whole numbers, which is rounded")
    corners = "align_corners" if site.plain("align_corners") else "half_pixel"
    cubic = {"mode": "cubic", "cubic_coeff_a": _CUBIC}
    kind: dict[str, object] = cubic if mode == "bicubic" else {"mode": "linear"}
    given, sizes, outs = _given(site), _sizes(site), _outs(site)
    factors = [f if f is not None else o / s for f, o, s in zip(given, outs, sizes, strict=True)]
    exact = all(f is not None or o % s == 0 for f, o, s in zip(given, outs, sizes, strict=True))
    if exact and not all(map(_as_many, sizes, factors, outs)):
        raise Unsure("interpolation by a factor that gives another size in single precision")
    attributes = {**kind, "coordinate_transformation_mode": corners}
    return _resize(site, attributes, factors if exact else None)


def _resize(site: Site, attributes: dict[str, object], factors: list[float] | None) -> ir.Value:
    """By factors where they are exact or were given; else to the sizes."""
    if factors is not None:
        numbers = site.e.shared([1.0, 1.0, *factors], ir.DataType.FLOAT)
        return site.op("Resize", [site.value(), None, numbers], attributes)
    sizes = site.e.sizes(site.out_shape)
    return site.op("Resize", [site.value(), None, None, sizes], attributes)


def _given(site: Site) -> list[float | None]:
    """The factor of each axis, where torch computes by it; None: it computes by the sizes."""
    count = site.rank() - 2
    given = site.plain("scale_factor")
    if given is None or site.plain("recompute_scale_factor"):
        return [None] * count
    factors = given if isinstance(given, tuple) else (given,) * count
    return [float(each) for each in factors]


def _as_many(size: int, factor: float, out: int) -> bool:
    """Whether a runtime, which has the factor in single precision, comes to the same size."""
    return int(np.floor(np.float32(size) * np.float32(factor))) == out


def _sizes(site: Site) -> list[int]:
    return [int(size) for size in site.shape()[2:]]


def _outs(site: Site) -> list[int]:
    if any(isinstance(size, Size) for size in site.out_shape[2:]):
        raise Unsure("interpolation to a size that depends on the batch")
    return [int(size) for size in site.out_shape[2:]]


def _grid_sample(site: Site) -> ir.Value:
    if site.rank() != 4 and site.e.opset < 20:
        raise Unsure("grid_sample of volumes, which ONNX has from opset 20 on")
    modern = {"bilinear": "linear", "bicubic": "cubic", "nearest": "nearest"}
    mode = site.plain("mode")
    attributes = {
        "mode": modern[mode] if site.e.opset >= 20 else mode,
        "padding_mode": site.plain("padding_mode"),
        "align_corners": int(bool(site.plain("align_corners"))),
    }
    return site.op("GridSample", [site.value(), site.value("grid")], attributes)


ROWS = {
    "interpolate": Row(
        "input size=None scale_factor=None mode=nearest align_corners=None recompute_scale_factor=None antialias=False",
        _interpolate,
    ),
    "grid_sample": Row(
        "input grid mode=bilinear padding_mode=zeros align_corners=None", _grid_sample
    ),
}
