"""What the files of a conversion are called."""

from __future__ import annotations

import os
from pathlib import Path

from bnexport.errors import UsageError

__all__ = ["SUFFIXES", "destination_of", "manifest_of", "report_of", "stem_of"]

SUFFIXES = {
    "onnx": ".onnx",
    "trt": ".engine",
    "trt-rtx": ".engine",
    "torchscript": ".torchscript.pt",
    "pt2": ".pt2",
}


def destination_of(
    output: str | os.PathLike[str] | None, name: str, source: Path | None, target: str
) -> Path:
    """Where the main artifact goes.

    Args:
        output: As the user gave it; None: the model's name in the current folder.
        name: Of the model.
        source: The file that it was read from.
        target: The first one.

    Raises:
        UsageError: It is the model itself.
    """
    suffix = SUFFIXES[target]
    destination = Path(output) if output is not None else Path(name + suffix)
    if source is None or destination.resolve() != source.resolve():
        return destination
    if output is not None:
        raise UsageError(f"output {output}", "it is the model itself", "Name another with -o.")
    return Path(f"{name}.folded{suffix}")


def stem_of(destination: Path, target: str) -> str:
    """The name that the files of all targets share: the destination's, less its own suffix."""
    name, suffix = destination.name, SUFFIXES[target]
    return name.removesuffix(suffix) if name.endswith(suffix) else destination.stem


def report_of(destination: Path) -> Path:
    """``model.onnx.report.json`` for ``model.onnx``."""
    return destination.with_name(f"{destination.name}.report.json")


def manifest_of(destination: Path) -> Path:
    """``model.onnx.sha256`` for ``model.onnx``."""
    return destination.with_name(f"{destination.name}.sha256")
