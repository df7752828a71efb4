"""The folder of conversions: each with its files, its manifest and its report, whole or not there at all."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

from bnexport.destination import manifest_of, report_of
from bnexport.disk import file_sha256
from bnexport.manifest import write_manifest
from bnexport.publish import Staging
from bnexport.report.document import SCHEMA, Document, write_report
from bnexport.shelf import Shelf

__all__ = ["ConversionStore"]
logger = logging.getLogger(__name__)

_LARGEST = 20 << 30  # bytes
_REPORT = "report.json"


class ConversionStore:
    """What cannot be read or written there costs a conversion and nothing else.

    The files that it gives are held against the hashes in their report. Whoever can write to the folder can put another
    file and another hash there: it is to be trusted as the files themselves are.

    Args:
        folder: Made when a conversion is kept.
        largest: In bytes: past it, what was not used for the longest time goes.
    """

    def __init__(self, folder: str | os.PathLike[str], largest: int = _LARGEST) -> None:
        self._shelf = Shelf(Path(folder), largest)

    def take(self, request: str, destination: Path) -> Document | None:
        """Publish the conversion of this request at ``destination``; None where there is none, or it is damaged.

        Args:
            request: What was asked for, as a hash; files bear the names that they had.
            destination: Where its main file goes.

        Raises:
            OutputError: It cannot be written there.
        """
        key = _key(request, destination)
        entry = self._shelf.find(key)
        if entry is None:
            return None
        with Staging(destination) as staging:
            try:
                report = _copied(entry, staging.folder, destination, request)
            except (OSError, ValueError, KeyError, TypeError) as error:
                logger.debug("conversion %s not taken: %s", entry, error)
                self._shelf.drop(key)
                return None
            _publish(staging, report, destination)
        return {**report, "unchanged": True}

    def keep(self, request: str, destination: Path, report: Document) -> None:
        """Copy the conversion that lies at ``destination``."""

        def fill(folder: Path) -> None:
            for file in report["files"]:
                name = Path(file["path"]).name
                shutil.copyfile(destination.parent / name, folder / name)
            write_report(folder / _REPORT, report)

        key = _key(request, destination)
        self._shelf.drop(key)  # which was damaged, or is made anew on purpose
        self._shelf.put(key, fill)


def _key(request: str, destination: Path) -> str:
    """Files refer to one another by name, so the name is part of what is asked for."""
    return hashlib.sha256(f"{request}\0{destination.name}".encode()).hexdigest()


def _copied(entry: Path, folder: Path, destination: Path, request: str) -> dict[str, Any]:
    """The files in ``folder``, and the report with the paths that they will have.

    Raises:
        ValueError: They are not those that were kept.
    """
    report = json.loads((entry / _REPORT).read_text(encoding="utf-8"))
    if report["schema"] != SCHEMA or report["request"] != request or report["ok"] is not True:
        raise ValueError("its report is of another conversion")
    files = []
    for file in report["files"]:
        name = Path(file["path"]).name
        shutil.copyfile(entry / name, folder / name)
        if file_sha256(folder / name) != file["sha256"]:
            raise ValueError(f"{name} was changed")
        files.append({**file, "path": str(destination.parent / name)})
    if not files or Path(files[0]["path"]).name != destination.name:
        raise ValueError("it has another name")
    return {**report, "files": files}


def _publish(staging: Staging, report: Document, destination: Path) -> None:
    names = [Path(file["path"]).name for file in report["files"]]
    report_name, manifest = report_of(destination).name, manifest_of(destination).name
    write_report(staging.folder / report_name, report)
    known = {Path(file["path"]).name: file["sha256"] for file in report["files"]}
    write_manifest(staging.folder / manifest, [*names, report_name], known)
    staging.commit(names[0], [*names[1:], manifest, report_name])
