"""Tensors that are made of a size which depends on the batch, or after the form of another."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from bnexport.capture.tape.site import Row, Site
from bnexport.capture.tape.sizes import Size, Unsure

__all__ = ["ROWS"]


def _filled(fill: float | str) -> Callable[[Site], ir.Value]:
    def emit(site: Site) -> ir.Value:
        number = site.plain(fill) if isinstance(fill, str) else fill
        shape = site.out_shape
        value = site.scalar(number)
        if not any(isinstance(size, Size) for size in shape):
            whole = site.e.integers([int(size) for size in shape])
            return site.op("Expand", [value, whole])
        return site.op("Expand", [value, site.e.sizes(shape)])

    return emit


def _arange(site: Site) -> ir.Value:
    raise Unsure("a range as long as the batch")


ROWS = {
    "zeros": Row("*size dtype=None", _filled(0)),
    "ones": Row("*size dtype=None", _filled(1)),
    "full": Row("size fill_value dtype=None", _filled("fill_value")),
    "new_zeros": Row("input *size dtype=None", _filled(0)),
    "new_ones": Row("input *size dtype=None", _filled(1)),
    "new_full": Row("input size fill_value dtype=None", _filled("fill_value")),
    "zeros_like": Row("input dtype=None", _filled(0)),
    "ones_like": Row("input dtype=None", _filled(1)),
    "full_like": Row("input fill_value dtype=None", _filled("fill_value")),
    "arange": Row("*bounds dtype=None", _arange),
}
