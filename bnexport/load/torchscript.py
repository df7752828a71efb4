"""Load a TorchScript archive, which runs code from the file: only on the user's word."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from bnexport.load.errors import Corrupt, Unsafe

__all__ = ["load_torchscript"]


def load_torchscript(path: Path, *, trust: bool) -> torch.nn.Module:
    """The scripted module, on the CPU.

    Raises:
        Unsafe: The user has not said that the file may be trusted.
        Corrupt: torch cannot read it.
    """
    if not trust:
        why = "a TorchScript archive, whose code runs when it is loaded"
        remedy = "If you trust the file, pass --trust-torchscript; or save model.state_dict()"
        raise Unsafe(str(path), why, remedy)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module: torch.nn.Module = torch.jit.load(  # type: ignore[no-untyped-call]
                str(path), map_location="cpu"
            )
        except (RuntimeError, ValueError, OSError) as error:
            reason = str(error).strip().split("\n", 1)[0][:200]
            raise Corrupt(str(path), f"torch cannot read this TorchScript ({reason})") from None
    return module
