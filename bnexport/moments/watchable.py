"""Whether the layers of a model are called one by one, so that hooks see what they are fed."""

from __future__ import annotations

import torch
from torch import nn

from bnexport.errors import Refused
from bnexport.load.loaded import Loaded
from bnexport.passes.modules import unwrap

__all__ = ["watchable"]


def watchable(loaded: Loaded, what: str) -> nn.Module:
    """The module, out of its wrappers.

    Args:
        loaded: A model.
        what: What is to be done with it, for the message.

    Raises:
        Refused: It is a graph or was compiled: its BatchNorms are operators, or may be folded.
    """
    compiled = torch.jit.ScriptModule | torch.fx.GraphModule
    if not isinstance(loaded.model, nn.Module) or isinstance(loaded.model, compiled):
        why = "its layers are not called one by one, and BatchNorms may be folded"
        raise Refused(
            f"{what} of a model of the kind {loaded.format!r}",
            why,
            "Give the module that it was made from",
        )
    return unwrap(loaded.model)[0]
