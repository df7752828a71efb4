"""Interpolation and sampling on grids."""

from __future__ import annotations

import onnx_ir as ir

from bnexport.capture.tape.emitter import Row, Site
from bnexport.capture.tape.sizes import Size, Unsure, alike

__all__ = ["ROWS"]

_CUBIC = -0.75  # torch's cubic coefficient


def _interpolate(site: Site) -> ir.Value:
    mode = site.plain("mode")
    if site.plain("antialias") or mode == "area":
        raise Unsure(f"interpolation in mode {mode} with antialias")
    attributes: dict[str, object]
    if mode == "nearest":
        attributes = {
            "mode": "nearest",
            "nearest_mode": "floor",
            "coordinate_transformation_mode": "asymmetric",
        }
    elif mode == "nearest-exact":
        attributes = {
            "mode": "nearest",
            "nearest_mode": "round_prefer_ceil",
            "coordinate_transformation_mode": "half_pixel",
        }
    elif mode in ("linear", "bilinear", "trilinear", "bicubic"):
        corners = "align_corners" if site.plain("align_corners") else "pytorch_half_pixel"
        cubic = {"mode": "cubic", "cubic_coeff_a": _CUBIC}
        kind: dict[str, object] = cubic if mode == "bicubic" else {"mode": "linear"}
        attributes = {**kind, "coordinate_transformation_mode": corners}
    else:
        raise Unsure(f"interpolation in mode {mode}")
    shape, out = site.shape(), site.out_shape
    site.apart(*range(1, len(shape)))
    if alike(shape, out) and site.plain("scale_factor") is None:
        return site.value()
    scales = _scales(site)
    if scales is not None:
        factors = site.e.shared([1.0, 1.0, *scales], ir.DataType.FLOAT)
        return site.op("Resize", [site.value(), None, factors], attributes)
    sizes = site.e.sizes(out)
    return site.op("Resize", [site.value(), None, None, sizes], attributes)


def _scales(site: Site) -> list[float] | None:
    """The factor of each axis, where it was given so, or is a whole number; None: the sizes must be given."""
    sizes, out = site.shape()[2:], site.out_shape[2:]
    given = site.plain("scale_factor")
    if given is not None and not site.plain("recompute_scale_factor"):
        factors = given if isinstance(given, tuple) else (given,) * len(sizes)
        return [float(each) for each in factors]
    if all(not isinstance(o, Size) and o % s == 0 for s, o in zip(sizes, out, strict=True)):
        return [o / s for s, o in zip(sizes, out, strict=True)]
    return None


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
