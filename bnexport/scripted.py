"""A TorchScript module as an ordinary one: torch.export takes no ScriptModule, its converter does."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch

from bnexport.errors import ExportError

__all__ = ["from_script"]


def from_script(module: torch.jit.ScriptModule, inputs: Sequence[torch.Tensor]) -> torch.nn.Module:
    """The same computation as a graph module, in eval mode where the script still has a mode.

    Raises:
        ExportError: torch's converter does not know an operator of the script.
    """
    from torch._export.converter import TS2EPConverter

    if hasattr(module, "training"):  # a frozen script has lost the flag together with the choice
        module.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return TS2EPConverter(module, tuple(inputs)).convert().module()
        except Exception as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise ExportError(
                "the TorchScript module cannot be captured",
                lines[0][:300],
                "Convert from the model's Python code with --arch and its weights.",
            ) from error
