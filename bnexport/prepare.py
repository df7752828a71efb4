"""The prepare station: the module that is captured, made from a copy of the caller's."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from bnexport.passes.modules import (
    copy_module,
    is_synchronised,
    is_wrapper,
    revert_sync_batchnorm,
    undisturbed,
    unwrap,
)
from bnexport.signature import Plain

if TYPE_CHECKING:
    from bnexport.inputs import Examples

__all__ = ["Prepared", "prepare"]

_NAMED = 5


@dataclass(frozen=True)
class Prepared:
    """A module in eval mode, unwrapped, with plain BatchNorms.

    Attributes:
        module: A copy; the caller's module is as it was.
        notes: Sentences for the summary: what was found and put right.
    """

    module: nn.Module
    notes: tuple[str, ...]


def prepare(
    module: nn.Module,
    examples: Examples | None,
    *,
    just_built: bool = False,
    share: bool = False,
) -> Prepared:
    """Unwrap, set eval mode, and put plain BatchNorms in the place of synchronised ones, on a copy.

    Args:
        module: Left as it is, on error too, as are the random states, grad mode and default dtype.
        examples: For the forward pass that sees the rank at each SyncBatchNorm; None: ranks are
            read off the neighbouring layers.
        just_built: Whether a constructor made the module, which leaves all in train mode: that says
            nothing of the model, and no note is made of it.
        share: Whether the copy has the same parameters, for a module that nobody else holds.

    Raises:
        Refused: A layer or wrapper has no equivalent on one device.
        UsageError: The model does not run on the examples.
    """
    inside, wrappers = unwrap(module)
    notes = [f"{name} unwrapped" for name in wrappers]
    notes += [f"{name}: {type(each).__name__} unwrapped" for name, each in _wrappers(inside)]
    with undisturbed():
        copied = copy_module(inside, _itself) if share else copy_module(inside)
        if not (just_built and copied.training):
            notes += _training_notes(copied)
        _set_eval(copied)
        _lay_out(copied)
        synchronised = [each for each in copied.modules() if is_synchronised(each)]
        if synchronised:
            copied = _reverted(copied, examples)
            notes += _sync_notes(synchronised, copied)
    return Prepared(copied, tuple(notes))


def _itself(tensor: torch.Tensor) -> torch.Tensor | None:
    """A parameter; what a forward pass may write to is copied, and so is a tensor with a history, without it."""
    shared = isinstance(tensor, nn.Parameter) and tensor.is_leaf
    return tensor if shared else None


def _wrappers(module: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, each) for name, each in module.named_modules() if name and is_wrapper(each)]


def _training_notes(module: nn.Module) -> list[str]:
    """What was in train mode: the model as a whole, or parts of one that was in eval mode."""
    if module.training:
        return ["eval mode set: the model came in train mode"]
    names = [name for name, each in module.named_modules() if each.training]
    if not names:
        return []
    count = f"{len(names)} submodule{'s were' if len(names) > 1 else ' was'}"
    return [f"eval mode set: {count} left in train mode: {_listed(names)}"]


def _set_eval(module: nn.Module) -> None:
    # First the model's own way: an override may merge weights or switch a branch for inference.
    # The graph of an exported program has no modes and says so.
    with suppress(NotImplementedError):
        module.eval()
    for each in module.modules():
        if each.training:
            each.training = False


def _lay_out(module: nn.Module) -> None:
    """Row-major weights: of a channels-last one the exporter's Flatten becomes index arithmetic."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.layout is torch.strided and not tensor.is_contiguous():
            tensor.data = tensor.data.contiguous()


def _reverted(module: nn.Module, examples: Examples | None) -> nn.Module:
    if examples is None:
        return revert_sync_batchnorm(module)
    # Two samples: some layers treat a batch of one apart.
    device = next((each.device for each in module.parameters()), None)
    inputs = tuple(each.to(device) for each in examples.batch(2))
    plain = Plain(module, [spec.name for spec in examples.specs])
    return revert_sync_batchnorm(plain, inputs).get_submodule("model")


def _sync_notes(before: list[nn.Module], module: nn.Module) -> list[str]:
    names = [name for name, each in module.named_modules() if is_synchronised(each)]
    notes = []
    if done := len(before) - len(names):
        kinds = sorted({type(each).__name__ for each in before})
        notes.append(f"{done} {' and '.join(kinds)} made plain BatchNorm")
    if names:
        notes.append(f"kept for a forward of their own: {_listed(names)}")
    return notes


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
