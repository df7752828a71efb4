"""The report document: what a conversion did, as JSON of the form that ``schema.json`` gives."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnexport import __version__

if TYPE_CHECKING:
    from bnexport.inputs import Examples
    from bnexport.ledger import Ledger
    from bnexport.load.loaded import Loaded
    from bnexport.parity.result import Parity
    from bnexport.precision import Precision

__all__ = [
    "SCHEMA",
    "Document",
    "Facts",
    "OutputFile",
    "PassRun",
    "Size",
    "Source",
    "document",
    "dumps",
    "ledger_json",
    "parity_json",
    "versions",
    "write_report",
]

SCHEMA = "bnexport.report/1"

Document = dict[str, Any]

DISTRIBUTIONS = (
    "torch",
    "onnx",
    "onnx-ir",
    "onnxscript",
    "onnxsim",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt",
    "tensorrt-rtx",
    "numpy",
)


@dataclass(frozen=True)
class Source:
    """The model as it came in, without the model itself (see `Loaded` for the attributes)."""

    name: str
    format: str
    path: Path | None = None
    sha256: str | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, loaded: Loaded) -> Source:
        """What the report keeps of ``loaded``."""
        return cls(loaded.name, loaded.format, loaded.path, loaded.sha256, loaded.notes)


@dataclass(frozen=True)
class PassRun:
    """One pass of the pipeline, as it went.

    Attributes:
        name: The pass's name, as ``bnexport passes`` lists it.
        modified: Whether it changed the graph.
        seconds: Wall time.
        nodes_before: Nodes in the graph, subgraphs included.
        nodes_after: The same, after the pass.
    """

    name: str
    modified: bool
    seconds: float
    nodes_before: int
    nodes_after: int


@dataclass(frozen=True)
class Size:
    """How large the model is at one point of the road.

    Attributes:
        bytes: Of the source file (before), or of the ONNX file with its external data (after);
            of the weights where there is no file.
        nodes: Nodes in the graph; 0 where there is no graph.
    """

    bytes: int
    nodes: int = 0


@dataclass(frozen=True)
class OutputFile:
    """One published file.

    Attributes:
        path: Where it is published.
        role: ``onnx``, ``external data``, ``engine``, ``sidecar``, ``torchscript`` or ``pt2``.
        bytes: Its length.
        sha256: Of its bytes, in hexadecimal.
    """

    path: Path
    role: str
    bytes: int
    sha256: str

    @classmethod
    def read(cls, staged: Path, path: Path, role: str) -> OutputFile:
        """Measure the file that lies at ``staged`` and will be published as ``path``."""
        with staged.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return cls(path, role, staged.stat().st_size, digest)


@dataclass(frozen=True)
class Facts:
    """Everything that the report says of one conversion.

    Attributes:
        source: The model as it came in.
        examples: The inputs it was captured and verified with.
        targets: What was built: ``onnx``, ``trt``, ...
        options: The options that shaped the result, by their names in `convert`; JSON values.
        ledger: What became of every BatchNorm.
        parity: Every check.
        before: The size of the model as captured, before any pass.
        after: The size of what is published.
        passes: The passes that ran, in order.
        files: What is published, the report itself left out.
        notes: Sentences of the later stations: what was replaced, which GPUs an engine is for.
        seconds: Wall time, by stage.
        precision: What was lowered to half precision; None: nothing.
        request: The hash of what was asked for, by which it is known again; None: it cannot be told.
    """

    source: Source
    examples: Examples
    targets: tuple[str, ...]
    options: Mapping[str, Any]
    ledger: Ledger
    parity: Parity
    before: Size
    after: Size
    passes: tuple[PassRun, ...] = ()
    files: tuple[OutputFile, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    precision: Precision | None = None
    request: str | None = None


def document(facts: Facts, created: datetime | None = None) -> Document:
    """The report of one conversion: valid JSON data, of the form `SCHEMA` names.

    Args:
        facts: What happened.
        created: The date to give it; None: now.
    """
    when = (created or datetime.now(UTC)).astimezone(UTC)
    report = {
        "schema": SCHEMA,
        "created": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "ok": facts.parity.ok,
        "request": facts.request,
        "source": asdict(facts.source),
        "inputs": inputs_json(facts.examples),
        "targets": facts.targets,
        "options": facts.options,
        "notes": facts.notes,
        "ledger": ledger_json(facts.ledger),
        "precision": asdict(facts.precision) if facts.precision else None,
        "passes": [asdict(run) for run in facts.passes],
        "sizes": {"before": asdict(facts.before), "after": asdict(facts.after)},
        "parity": parity_json(facts.parity),
        "files": [asdict(file) for file in facts.files],
        "seconds": facts.seconds,
        "versions": versions(),
    }
    return {key: _plain(value) for key, value in report.items()}


def ledger_json(ledger: Ledger) -> Document:
    """The ledger's totals and rows."""
    return {"totals": ledger.totals, "rows": [asdict(row) for row in ledger.rows]}


def parity_json(parity: Parity) -> Document:
    """The verdict, every check, and what was skipped."""
    result: Document = _plain({"ok": parity.ok, **asdict(parity)})
    return result


def versions() -> dict[str, str]:
    """The versions of bnexport, Python, the platform, and the libraries that shape a result."""
    found = {"bnexport": __version__, "python": platform.python_version()}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found | {"platform": platform.platform()}


def dumps(data: Document) -> str:
    """``data`` as JSON text that any parser takes: NaN and the infinities become strings."""
    return json.dumps(_plain(data), indent=2, allow_nan=False, ensure_ascii=False)


def write_report(path: Path, data: Document) -> None:
    """Write ``data`` to ``path`` and to the disk (``path`` lies in the staging folder)."""
    with path.open("w", encoding="utf-8") as stream:
        stream.write(dumps(data) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def inputs_json(examples: Examples) -> Document:
    specs = [
        {
            "name": spec.name,
            "shape": ["N" if size is None else size for size in spec.shape],
            "dtype": spec.dtype,
        }
        for spec in examples.specs
    ]
    return {"specs": specs, "real": examples.data is not None, "assumed": examples.assumed}


def _plain(value: Any) -> Any:
    """``value`` in JSON's own types."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _not_finite(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [_plain(item) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return _plain(value.item())  # a numpy or torch scalar
    return str(value)


def _not_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
