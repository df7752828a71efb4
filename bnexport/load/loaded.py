"""What the load station hands on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir
    import torch

__all__ = ["Loaded"]


@dataclass(frozen=True)
class Loaded:
    """A model, where it came from, and what a reader should know about how it was read.

    Attributes:
        model: A live module, or the graph of an ONNX file.
        format: What the source was: ``module``, ``pickled module``, ``checkpoint``, ``safetensors``,
            ``architecture``, ``exported program``, ``torchscript`` or ``onnx``.
        name: What to call the model; names the output where the user gives none.
        path: The file it was read from.
        sha256: Of that file's bytes, in hexadecimal.
        notes: Sentences for the summary: what was unwrapped, stripped, ignored or assumed.
        example: Positional inputs that travelled with the model (a ``.pt2`` archive's).
    """

    model: torch.nn.Module | ir.Model
    format: str
    name: str
    path: Path | None = None
    sha256: str | None = None
    notes: tuple[str, ...] = ()
    example: tuple[torch.Tensor, ...] | None = None
