"""Inputs as a test gives them: shapes as text, a file of samples, or the samples themselves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from bnexport.errors import UsageError
from bnexport.inputs import InputSpec

if TYPE_CHECKING:
    Samples = np.ndarray | torch.Tensor
    Given = (
        str
        | InputSpec
        | os.PathLike[str]
        | Samples
        | Sequence[str | InputSpec]
        | Sequence[Samples]
        | Mapping[str, Samples]
    )

__all__ = ["read_given"]

_FILES = (".npz", ".npy", ".pt", ".pth")
_NAME = "inputs.pt"
_REMEDY = 'Give "Nx3x224x224", a file, an array or tensor with the batch first, or a tuple of them'


def read_given(
    inputs: Given | None, folder: Path
) -> tuple[list[str | InputSpec] | None, Path | None]:
    """What `bnexport.convert` takes as ``inputs`` and as ``inputs_from``.

    Args:
        inputs: Text ending in ``.npz``, ``.npy``, ``.pt`` or ``.pth`` names a file, as a path does;
            other text is a shape. Samples have the batch first; a mapping names the inputs.
        folder: Samples are written there, so that the conversion can be repeated from the command line.

    Raises:
        UsageError: It is none of these.
    """
    if inputs is None:
        return None, None
    if isinstance(inputs, os.PathLike) or (isinstance(inputs, str) and inputs.endswith(_FILES)):
        return None, Path(inputs)
    if isinstance(inputs, str | InputSpec):
        return [inputs], None
    if isinstance(inputs, Mapping):
        return None, _write({str(name): _tensor(each) for name, each in inputs.items()}, folder)
    several = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
    shapes = [each for each in several if isinstance(each, str | InputSpec)]
    if len(shapes) == len(several):
        return shapes, None
    return None, _write([_tensor(each) for each in several], folder)


def _write(samples: object, folder: Path) -> Path:
    torch.save(samples, folder / _NAME)
    return folder / _NAME


def _tensor(samples: object) -> torch.Tensor:
    """A copy: a view would be stored with all that it is a view of."""
    try:
        if isinstance(samples, torch.Tensor):
            return samples.detach().cpu().as_subclass(torch.Tensor).clone()
        if isinstance(samples, np.ndarray):
            return torch.tensor(samples)
        why = f"it is a {type(samples).__name__}"
    except TypeError as error:
        why = str(error)
    raise UsageError("inputs cannot be used as samples", why, _REMEDY)
