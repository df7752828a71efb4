"""What a benchmark found, and the document that says it."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bnexport.bench.memory import Memory
from bnexport.bench.statistics import Latency, Ratio
from bnexport.report.document import versions

__all__ = ["SCHEMA", "Benchmark", "Participant", "Result"]

SCHEMA = "bnexport.bench/1"
_SHARES = (*range(0, 100, 5), 99, 100)  # percent


@dataclass(frozen=True)
class Participant:
    """A model in a runtime that was measured.

    Attributes:
        model: The file's name, or the module's.
        runtime: As ``--runtime`` names it.
        title: Of the runtime, with its version.
        device: ``cpu`` or ``cuda``.
        precision: The arithmetic: ``float32``, ``tf32``, ``float16``.
        cuda_graph: Whether its runs replayed a CUDA graph.
        path: The file.
        sha256: Of the file.
        bytes: Of the file, without data beside it.
    """

    model: str
    runtime: str
    title: str
    device: str
    precision: str
    cuda_graph: bool
    path: Path | None = None
    sha256: str | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class Result:
    """One participant at one batch size.

    Attributes:
        participant: Which one.
        batch: As asked for.
        samples: In a run: the batch, unless the inputs fix it.
        latency: In seconds.
        ratio: To the first participant, round by round; None for that one itself.
        outputs: The shapes of the outputs, by name.
        times: The seconds of every run, by rounds.
        memory: What a process of its own needed for it; None: not asked for.
    """

    participant: Participant
    batch: int
    samples: int
    latency: Latency
    ratio: Ratio | None
    outputs: Mapping[str, tuple[int, ...]]
    times: Sequence[Sequence[float]] = field(repr=False, default=())
    memory: Memory | None = None

    @property
    def samples_per_second(self) -> float:
        """Of runs one after the other, at the median latency."""
        return self.samples / self.latency.median

    def to_json(self, place: int) -> dict[str, Any]:
        """Its part of the document; ``place``: of the participant in the list."""
        flat = [taken for taken_in_round in self.times for taken in taken_in_round]
        return {
            "participant": place,
            "batch": self.batch,
            "samples": self.samples,
            "rounds": len(self.times),
            "runs": self.latency.runs,
            "latency_ms": _milliseconds(self.latency),
            "quantiles_ms": [
                [share, 1e3 * float(np.quantile(flat, share / 100))] for share in _SHARES
            ],
            "samples_per_second": self.samples_per_second,
            "ratio": None if self.ratio is None else asdict(self.ratio),
            "outputs": {name: list(shape) for name, shape in self.outputs.items()},
            "memory": None if self.memory is None else asdict(self.memory),
        }


@dataclass(frozen=True)
class Benchmark:
    """All that was measured in one run.

    Attributes:
        results: By batch size, then in the order of the participants.
        skipped: What was not asked for by name and cannot run here: model, runtime, reason.
        settings: By their names in the Python API.
        inputs: What every participant was fed: ``specs``, ``real``, ``assumed``.
        notes: Sentences for the summary.
        load_average: Of the machine, before the start: what others' work may have cost.
    """

    results: tuple[Result, ...]
    skipped: tuple[tuple[str, str, str], ...]
    settings: Mapping[str, Any]
    inputs: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    load_average: float = 0.0

    @property
    def participants(self) -> tuple[Participant, ...]:
        """Who was measured; the first is what the ratios are to."""
        return tuple(dict.fromkeys(each.participant for each in self.results))

    def to_json(self) -> dict[str, Any]:
        """The document, of the form ``bnexport.bench/1``."""
        places = {each: place for place, each in enumerate(self.participants)}
        return {
            "schema": SCHEMA,
            "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "device": _device() | {"load_average": self.load_average},
            "settings": dict(self.settings),
            "inputs": dict(self.inputs),
            "participants": [_participant(each) for each in self.participants],
            "results": [each.to_json(places[each.participant]) for each in self.results],
            "skipped": [
                {"model": model, "runtime": runtime, "reason": reason}
                for model, runtime, reason in self.skipped
            ],
            "notes": list(self.notes),
            "versions": versions(),
        }


def _participant(each: Participant) -> dict[str, Any]:
    return asdict(each) | {"path": str(each.path) if each.path else None}


def _milliseconds(latency: Latency) -> dict[str, float | None]:
    told = asdict(latency)
    del told["runs"]
    return {name: None if seconds is None else 1e3 * seconds for name, seconds in told.items()}


def _device() -> dict[str, Any]:
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {"cpu": _processor(), "cores": len(os.sched_getaffinity(0)), "gpu": gpu}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
