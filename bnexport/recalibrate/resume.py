"""A long estimation that can be broken off: what was gathered, in a small file."""

from __future__ import annotations

import hashlib
import io
import json
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bnexport.data.batches import Batches
from bnexport.errors import Refused, UsageError
from bnexport.moments import Moments
from bnexport.publish import Staging
from bnexport.recalibrate.estimate import Progress

__all__ = ["Keeper", "fingerprint"]

_SCHEMA = "bnexport.recalibration-state/1"
_SECONDS = 30.0
_PARTS = ("count", "mean", "squares")
_REMEDY = "Leave it out to begin anew, or name another file"


def fingerprint(module: nn.Module) -> str:
    """Of every parameter and buffer, by name."""
    found = hashlib.sha256()
    for name, value in module.state_dict().items():
        if isinstance(value, torch.Tensor):
            found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            flat = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            found.update(flat.numpy().tobytes())
    return found.hexdigest()


class Keeper:
    """Writes the progress every half minute, and at the end of the block, by an exception too.

    Args:
        path: The file; None: nothing is written.
        about: What a state must agree in to be gone on from: model, data, mode.
    """

    def __init__(self, path: Path | None, about: Mapping[str, Any]) -> None:
        self._path, self._about = path, dict(about)
        self._last = time.monotonic()
        self._progress: Progress | None = None

    @classmethod
    def of(cls, path: Path | None, module: nn.Module, data: Batches, sequential: bool) -> Keeper:
        """For one estimation."""
        about = {
            "model": fingerprint(module) if path else "",
            "data": data.name,
            "samples": data.samples,
            "batch_size": data.batch_size,
            "sequential": sequential,
        }
        return cls(path, about)

    def start(self) -> Progress | None:
        """Where to go on from; None where there is no file.

        Raises:
            UsageError: The state is of another model, of other data or another mode.
            Refused: The file is no state.
        """
        if self._path is None or not self._path.exists():
            return None
        try:
            about, progress = _parsed(self._path)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            why = f"it is no state of a recalibration ({error})"
            raise Refused(f"state {self._path}", why, _REMEDY) from error
        for name, value in self._about.items():
            if about.get(name) != value:
                told = "" if name == "model" else f" ({about.get(name)!r}, not {value!r})"
                why = f"it is of another {name.replace('_', ' ')}{told}"
                raise UsageError(f"state {self._path}", why, _REMEDY)
        return progress

    def __call__(self, progress: Progress) -> None:
        """Take note, and write now and then."""
        self._progress = progress
        if time.monotonic() - self._last > _SECONDS:
            self._write()

    def __enter__(self) -> Keeper:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None:
            self._write()
        elif self._path is not None:
            self._path.unlink(missing_ok=True)  # it is done

    def _write(self) -> None:
        self._last = time.monotonic()
        if self._path is None or self._progress is None:
            return
        data = _bytes(self._about, self._progress)
        with Staging(self._path, patience=30) as staging:
            (staging.folder / self._path.name).write_bytes(data)
            staging.commit(self._path.name, ())


def _bytes(about: Mapping[str, Any], progress: Progress) -> bytes:
    every = {**progress.done, **progress.moments}
    told = {
        "schema": _SCHEMA,
        **about,
        "names": list(every),
        "done": len(progress.done),
        "batches": progress.batches,
        "seen": progress.samples,
    }
    arrays = {"about": np.frombuffer(json.dumps(told).encode(), np.uint8)}
    for place, moments in enumerate(every.values()):
        for name in _PARTS:
            arrays[f"{place}.{name}"] = getattr(moments, name).numpy()
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def _parsed(path: Path) -> tuple[dict[str, Any], Progress]:
    with np.load(path, allow_pickle=False) as file:
        about: dict[str, Any] = json.loads(bytes(file["about"]))
        if about["schema"] != _SCHEMA:
            raise ValueError(f"its schema is {about['schema']!r}")
        every = {}
        for place, name in enumerate(about["names"]):
            count, mean, squares = (torch.tensor(file[f"{place}.{part}"]) for part in _PARTS)
            if not (count.shape == (1, 1) and mean.shape == squares.shape and len(mean) == 1):
                raise ValueError(f"the arrays of {name!r} do not fit")
            every[str(name)] = Moments(count.double(), mean.double(), squares.double())
    names, done = list(every), int(about["done"])
    progress = Progress(
        {name: every[name] for name in names[done:]},
        {name: every[name] for name in names[:done]},
        int(about["batches"]),
        int(about["seen"]),
    )
    return about, progress
