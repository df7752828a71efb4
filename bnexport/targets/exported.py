"""pt2: the exported program, as ``torch.export.load`` reads it."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import torch

from bnexport.disk import output_errors
from bnexport.errors import ExportError

__all__ = ["write_exported"]


def write_exported(program: torch.export.ExportedProgram, path: Path) -> None:
    """Write ``program``.

    Raises:
        ExportError: It holds something that cannot be serialised.
        OutputError: The file cannot be written.
    """
    archive = io.BytesIO()  # torch's own writer ends the process when the disk is full
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            torch.export.save(program, archive)
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).partition("\n")[0]
            what, remedy = "the exported program cannot be saved", "Use --target onnx"
            raise ExportError(what, reason.rstrip("."), remedy) from error
    with output_errors(path):
        path.write_bytes(archive.getbuffer())
