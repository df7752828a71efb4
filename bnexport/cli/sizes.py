"""Sizes as people write them: ``512MiB``, ``1.5GB``, ``4096``."""

from __future__ import annotations

import re

__all__ = ["parse_size"]

_UNITS = {
    "": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate(" kmgt") if power},
    **{f"{letter}ib": 1024**power for power, letter in enumerate(" kmgt") if power},
    "b": 1,
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.ASCII)


def parse_size(text: str) -> int:
    """The bytes.

    Raises:
        ValueError: It is no size.
    """
    found = _SIZE.fullmatch(text.strip().lower())
    if found is None or found[2] not in _UNITS:
        raise ValueError(f"{text!r} is not a size, as in 8GiB")
    return int(float(found[1]) * _UNITS[found[2]])
