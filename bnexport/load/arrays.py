"""NumPy numbers and arrays inside a module, from their records: numeric dtypes alone."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from bnexport.load.errors import Corrupt
from bnexport.load.records import Call, Global

__all__ = ["array", "is_array"]

_NUMERIC = re.compile(r"[?biufc]\d{0,2}")
_HOMES = ("numpy._core.multiarray.", "numpy.core.multiarray.")


def is_array(record: Call) -> bool:
    """Whether the record is a NumPy array, number or dtype."""
    return record.path.startswith(_HOMES) or record.path == "numpy.dtype"


def array(record: Call, path: str, where: str) -> Any:
    """The array, number or dtype.

    Raises:
        Corrupt: The record is malformed, or its dtype is not numeric.
    """
    try:
        return _build(record)
    except (TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise Corrupt(f"{path}, {where}", f"malformed NumPy value ({error})") from None


def _build(record: Call) -> Any:
    if record.path == "numpy.dtype":
        return _dtype(record)
    if record.path.endswith(".scalar"):
        kind, data = record.args
        return np.frombuffer(_bytes(data), _dtype(kind), count=1)[0]
    match record.args, record.state:
        case (Global(path="numpy.ndarray"), *_), (_, tuple(shape), Call() as kind, fortran, data):
            if not all(type(length) is int and length >= 0 for length in shape):
                raise ValueError("malformed shape")
            values = np.frombuffer(_bytes(data), _dtype(kind))
            if values.size != math.prod(shape):
                raise ValueError("its size is not that of its shape")
            return values.reshape(shape, order="F" if fortran else "C").copy()
    raise ValueError("an unknown layout")


def _dtype(record: Any) -> np.dtype[Any]:
    if not isinstance(record, Call) or record.path != "numpy.dtype":
        raise ValueError("no dtype")
    name = record.args[0]
    if not isinstance(name, str) or not _NUMERIC.fullmatch(name):
        raise ValueError("a dtype that is not numeric")
    order = record.state[1] if isinstance(record.state, tuple) else "<"
    return np.dtype(name).newbyteorder(">" if order == ">" else "<")


def _bytes(data: Any) -> bytes:
    if isinstance(data, Call) and data.path == "_codecs.encode":
        return str(data.args[0]).encode("latin1")
    if not isinstance(data, bytes):
        raise ValueError("no bytes")
    return data
