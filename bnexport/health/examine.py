"""Refuse a model that cannot be exported truthfully, naming every layer at fault."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from bnexport.errors import Refused
from bnexport.health.facts import batch_norms, not_finite
from bnexport.health.graphs import graph_problems
from bnexport.health.passes import watch
from bnexport.health.problem import Problem
from bnexport.passes.modules import unwrap

__all__ = ["UnhealthyModel", "examine"]

_SHOWN = 10
_STATISTICS = ("running_mean", "running_var")


class UnhealthyModel(Refused):
    """The model holds values or layers that no file could stand for.

    Attributes:
        problems: All of them; the message has the first ten.
    """

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        first, *rest = problems[:_SHOWN]
        remedies = list(dict.fromkeys(each.remedy for each in problems[:_SHOWN]))
        more = len(problems) - _SHOWN
        tail = [str(each) for each in rest] + ([f"and {more} more"] if more > 0 else [])
        super().__init__(first.where, "; ".join([first.what, *tail]), ". ".join(remedies))
        self.problems = problems


def examine(
    module: nn.Module,
    inputs: tuple[Tensor, ...] | None = None,
    names: Sequence[str] = (),
    first: Callable[..., Any] | None = None,
) -> None:
    """Look for what would make an exported file wrong; return where there is nothing.

    Args:
        module: In any mode; left as it is. Wrappers are looked through.
        inputs: At least two samples, for forward passes of a copy in eval mode: they find batch
            statistics and random numbers that the layers' settings do not show.
        names: The parameters of ``forward`` that the inputs feed; empty: they go by position.
        first: Called for the first of these passes, and runs ``module`` itself; None: the copy runs twice.

    Raises:
        UnhealthyModel: BatchNorms without usable running statistics, NaN or Inf among the
            values, batch statistics or random numbers in the forward pass.
        Refused: The model holds no layer.
        UsageError: The forward pass fails on ``inputs``.
    """
    inside, _ = unwrap(module)
    if not [*inside.parameters(), *inside.buffers(), *inside.children()]:
        raise Refused(
            "the model holds no layer",
            f"{type(inside).__name__} has no parameters, no buffers and no submodules",
            "Give the module that was trained, or the factory that builds it with --arch",
        )
    problems = [*_statistics(inside), *_values(inside), *graph_problems(inside)]
    if inputs is not None and not problems:
        # Only then: a pass over unhealthy values would report their consequences as well.
        problems += watch(inside, inputs, names, first)
    if problems:
        raise UnhealthyModel(tuple(problems))


def _statistics(module: nn.Module) -> list[Problem]:
    return [
        Problem(facts.name or facts.kind, f"{facts.kind}: {said}", _remedy(said))
        for facts in batch_norms(module)
        for said in facts.problems
    ]


def _remedy(said: str) -> str:
    if said.startswith("no running"):
        return (
            "Set track_running_stats=True and run training data through the model in train mode, "
            "or train it with GroupNorm"
        )
    return "Take an earlier checkpoint, or reset the statistics and run training data through it"


def _values(module: nn.Module) -> list[Problem]:
    """Non-finite parameters and buffers. Inf in a buffer is often meant: an attention mask."""
    remedy = "Take a checkpoint from before the training diverged"
    problems = []
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.is_meta or is_lazy(tensor):
            problems.append(_without_values(name, tensor))
            continue
        if name.rpartition(".")[2] in _STATISTICS:
            continue
        infinite = isinstance(tensor, nn.Parameter)
        if said := not_finite(tensor, infinite=infinite):
            problems.append(Problem(name, f"it holds {said}", remedy))
    return problems


def _without_values(name: str, tensor: torch.Tensor) -> Problem:
    why = "it is not initialised" if is_lazy(tensor) else "it is on the meta device, without values"
    return Problem(name, why, "Load the checkpoint's values before converting")
