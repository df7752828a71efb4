"""What can be read off a module about its forward: its parameters, its dtype, its index range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from bnexport.passes.modules import copy_module, undisturbed, unwrap
from bnexport.signature import parameter_names, signature

__all__ = ["all_parameters", "float_dtype", "index_ranges", "required_parameters"]

if TYPE_CHECKING:
    from bnexport.inputs import InputSpec

# How many names to offer for a forward that takes *args.
_VARIADIC = 8
_TABLES = (nn.Embedding, nn.EmbeddingBag)


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


def index_ranges(module: nn.Module, specs: Sequence[InputSpec]) -> list[int | None]:
    """Of each input, the size of the smallest table that it is an index into; None where there is no table.

    A forward pass of a copy, on zeros, shows which table reads which input. One that is not read as it is (an offset
    is added to it, say) may be an index into any.
    """
    tables = [each for each in module.modules() if isinstance(each, _TABLES)]
    least = min((each.num_embeddings for each in tables), default=None)
    if len({each.num_embeddings for each in tables}) < 2:
        return [least] * len(specs)
    zeros = [
        torch.zeros(
            [size or 2 for size in spec.shape], dtype=getattr(torch, spec.dtype or "float32")
        )
        for spec in specs
    ]
    read = _tables_of(
        module, {spec.name: tensor for spec, tensor in zip(specs, zeros, strict=True)}
    )
    return [min(read.get(_memory(tensor), []), default=least) for tensor in zeros]


def _tables_of(module: nn.Module, inputs: Mapping[str, torch.Tensor]) -> dict[int, list[int]]:
    """The sizes of the tables that read each input, by where that lies in memory; empty if it does not run."""
    found: dict[int, list[int]] = {}

    def note(table: nn.Module, given: tuple[object, ...]) -> None:
        if isinstance(table, _TABLES) and given and isinstance(given[0], torch.Tensor):
            found.setdefault(_memory(given[0]), []).append(table.num_embeddings)

    copy = copy_module(module).eval()
    for table in copy.modules():
        if isinstance(table, _TABLES):
            table.register_forward_pre_hook(note)
    with undisturbed(0):
        try:
            copy(**inputs)
        except Exception:  # whatever the model's own code raises: then every table counts
            return {}
    return found


def _memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
