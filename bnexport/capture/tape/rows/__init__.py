"""The table: how each function that convolutional networks call is written in ONNX."""

from __future__ import annotations

from collections.abc import Mapping

from bnexport.capture.tape.rows import (
    activation,
    arithmetic,
    create,
    indexing,
    linear,
    norm,
    pooling,
    recurrent,
    reduce,
    resize,
    views,
)
from bnexport.capture.tape.site import Row

__all__ = ["TABLE"]

TABLE: Mapping[str, Row] = {
    **linear.ROWS,
    **norm.ROWS,
    **activation.ROWS,
    **arithmetic.ROWS,
    **views.ROWS,
    **indexing.ROWS,
    **pooling.ROWS,
    **reduce.ROWS,
    **create.ROWS,
    **resize.ROWS,
    **recurrent.ROWS,
}
