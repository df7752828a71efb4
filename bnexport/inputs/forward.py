"""What can be read off a module about its forward: its parameters, its dtype, its index range."""

from __future__ import annotations

import torch
from torch import nn

from bnexport.passes.modules import unwrap
from bnexport.signature import parameter_names, signature

__all__ = ["all_parameters", "embedding_size", "float_dtype", "required_parameters"]

# How many names to offer for a forward that takes *args.
_VARIADIC = 8


def required_parameters(module: nn.Module) -> tuple[str, ...]:
    """The parameters of ``forward`` that have no default; its first one where all have."""
    inside, _ = unwrap(module)
    return parameter_names(inside) or all_parameters(inside)[:1]


def all_parameters(module: nn.Module) -> tuple[str, ...]:
    """Every parameter of ``forward``, in order; ``x``, ``x_1`` and so on for ``*args``."""
    inside, _ = unwrap(module)
    names: list[str] = []
    for name, parameter in signature(inside).parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += ["x", *(f"x_{place}" for place in range(1, _VARIADIC))]
        elif parameter.kind is not parameter.VAR_KEYWORD:
            names.append(name)
    return tuple(names)


def float_dtype(module: nn.Module) -> torch.dtype:
    """The dtype that the module computes in: its first floating-point parameter or buffer's."""
    for tensor in [*module.parameters(), *module.buffers()]:
        if tensor.is_floating_point():
            return tensor.dtype
    return torch.float32


def embedding_size(module: nn.Module) -> int | None:
    """The smallest table that an index may have to fit; None where there is no embedding."""
    sizes = [
        each.num_embeddings
        for each in module.modules()
        if isinstance(each, nn.Embedding | nn.EmbeddingBag)
    ]
    return min(sizes, default=None)
