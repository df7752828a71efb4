"""The load station: a path, a live module or the name of an architecture becomes a model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bnexport.load.loaded import Loaded

if TYPE_CHECKING:
    import torch

__all__ = ["Loaded", "load"]


def load(
    source: str | os.PathLike[str] | torch.nn.Module | Loaded | None = None,
    *,
    arch: str | None = None,
    arch_args: Mapping[str, object] | None = None,
    allow: Sequence[str] = (),
    allow_partial: bool = False,
    trust_torchscript: bool = False,
    state_dict_key: str | None = None,
) -> Loaded:
    """Load a model; nothing in the file runs, unless it is TorchScript and trusted.

    Args:
        source: A file, told apart by its content, a live module, or what is loaded already; None with
            ``arch`` alone.
        arch: ``package.module:factory``, which builds the module that a checkpoint is for.
        arch_args: Keyword arguments of the factory.
        allow: Classes that a pickled module may use beside torch's own layers: ``pkg.mod.Class``, ``pkg.mod`` for
            those defined in it or below, or ``__main__.Net=pkg.mod:Net``. They are imported from the environment.
        allow_partial: Let keys that are missing, left over or of another shape pass, with a note.
        trust_torchscript: Load a TorchScript archive, which runs code of the file.
        state_dict_key: The entry of a checkpoint that holds the model, dotted where it is nested.

    Raises:
        Refused: The source cannot be read, is not safe to read, or needs something that was not given.
        UsageError: An argument cannot be used as given.
    """
    from bnexport.load.sources import Request, load_source

    return load_source(
        Request(
            source=source,
            arch=arch,
            arch_args=dict(arch_args or {}),
            allow=tuple(allow),
            allow_partial=allow_partial,
            trust_torchscript=trust_torchscript,
            state_dict_key=state_dict_key,
        )
    )
