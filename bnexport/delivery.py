"""Deliver: name what was built, write the report and the manifest, and publish all of it at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bnexport.build import Artifact
from bnexport.conversion import Conversion, ConversionFailed
from bnexport.destination import manifest_of, report_of
from bnexport.errors import ParityFailure
from bnexport.events import Observer, stage
from bnexport.manifest import write_manifest
from bnexport.publish import Staging
from bnexport.report.document import (
    Facts,
    OutputFile,
    document,
    ledger_json,
    parity_json,
    write_report,
)
from bnexport.targets.tensorrt import write_sidecar

__all__ = ["deliver"]

_ADVICE = {
    "fp16": "Use --precision mixed, which keeps in float32 what float16 breaks",
    "bf16": "Use --precision fp16 or mixed: float16 rounds an eighth as far",
}


def deliver(
    staging: Staging,
    destination: Path,
    built: Sequence[Artifact],
    facts: Facts,
    keep_failed: bool,
    observe: Observer,
) -> Conversion:
    """Move everything into place at once; or, where a check failed, nothing."""
    wanted = [artifact for artifact in built if artifact.wanted]
    failed = not facts.parity.ok
    names: list[str] = []
    files: list[OutputFile] = []
    for artifact in wanted:
        for staged, role in _staged(artifact, facts):
            name = destination.name if staged == wanted[0].path else staged.name
            name = _failed_name(name) if failed and not name.endswith(".data") else name
            os.replace(staged, staging.folder / name)
            path = destination.parent / name
            files.append(OutputFile.read(staging.folder / name, path, role))
            names.append(name)
    facts = replace(facts, files=tuple(files))
    report, manifest = (of(Path(names[0])).name for of in (report_of, manifest_of))
    written = document(facts)
    write_report(staging.folder / report, written)
    known = {name: file.sha256 for name, file in zip(names, files, strict=True)}
    write_manifest(staging.folder / manifest, [*names, report], known)
    folder = destination.parent
    conversion = Conversion(
        path=files[0].path,
        files=(*(file.path for file in files), folder / manifest, folder / report),
        ledger=facts.ledger,
        parity=facts.parity,
        report=folder / report,
        document=written,
    )
    if not failed or keep_failed:
        with stage(observe, "publish"):
            staging.commit(names[0], [*names[1:], manifest, report])
    try:
        facts.parity.raise_for_failure()
    except ParityFailure as failure:
        raise ConversionFailed(_advised(failure, facts), conversion, keep_failed) from None
    return conversion


def _advised(failure: ParityFailure, facts: Facts) -> ParityFailure:
    """Half precision that is not enough has a remedy."""
    remedy = _ADVICE.get(facts.precision.asked) if facts.precision else None
    return ParityFailure(failure.what, failure.why, remedy) if remedy else failure


def _staged(artifact: Artifact, facts: Facts) -> list[tuple[Path, str]]:
    """The artifact's files in the staging folder, with their roles."""
    if artifact.engine is None:
        role = artifact.target
        return [(artifact.path, role), *((path, "external data") for path in artifact.beside)]
    sidecar = write_sidecar(
        artifact.path,
        artifact.engine,
        onnx_sha256=artifact.onnx_sha256,
        ledger=ledger_json(facts.ledger),
        parity=parity_json(facts.parity),
    )
    return [(artifact.path, "engine"), (sidecar, "sidecar")]


def _failed_name(name: str) -> str:
    stem, dot, suffix = name.partition(".")
    return f"{stem}.failed{dot}{suffix}"
