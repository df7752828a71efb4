"""Watch an exported file that was converted with ``--drift-taps``, wherever it runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from bnexport.drift.gathering import Gathering
from bnexport.drift.taps import read_taps
from bnexport.errors import UsageError
from bnexport.moments import Moments

__all__ = ["TapMonitor"]


class TapMonitor(Gathering):
    """Adds up the taps that each run of a file gives beside its outputs.

    ::

        monitor = TapMonitor.of(session)
        names = [output.name for output in session.get_outputs()]
        results = dict(zip(names, session.run(None, feed)))
        monitor.observe(results)

    Its states merge with those of a `DriftMonitor` of the model that was converted.

    Args:
        metadata: Of the file: ``session.get_modelmeta().custom_metadata_map``.
        block: So many samples in a row are taken to depend on each other.

    Attributes:
        outputs: The names of the taps. A run that is asked for other outputs only does not compute them.

    Raises:
        Refused: The file has no taps.
    """

    def __init__(self, metadata: Mapping[str, str], *, block: int = 1) -> None:
        super().__init__(block)
        self._taps = read_taps(metadata)
        self.outputs = tuple(tap.output for tap in self._taps)

    @classmethod
    def of(cls, session: Any, *, block: int = 1) -> Self:
        """Of an ONNX Runtime session."""
        return cls(session.get_modelmeta().custom_metadata_map, block=block)

    @classmethod
    def read(cls, path: str | Path, *, block: int = 1) -> Self:
        """Of an ONNX file, whose weights are not read.

        Raises:
            Refused: It cannot be read, or has no taps.
        """
        from bnexport.load import load

        model = load(path).model
        return cls(dict(getattr(model, "metadata_props", {})), block=block)

    def observe(self, results: Mapping[str, np.ndarray]) -> None:
        """Add one run.

        Args:
            results: Outputs by name; what is no tap is passed over.

        Raises:
            UsageError: A tap is missing, or has another shape.
        """
        if missing := [name for name in self.outputs if name not in results]:
            why = f"{len(missing)} of {len(self.outputs)} taps are missing: {missing[0]!r} first"
            raise UsageError("the outputs of a run", why, "Ask the session for all of its outputs")
        told = [tap.samples(np.asarray(results[tap.output])) for tap in self._taps]
        group, _ = self._begin(len(told[0][0]))
        if group is not None:
            for tap, (count, mean, squares) in zip(self._taps, told, strict=True):
                self._add(tap.name, tap.running, Moments(count, mean, squares), group)
