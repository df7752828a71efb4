"""All findings of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from torch import nn

from bnexport.health.findings import statistics, surroundings
from bnexport.health.findings.finding import SEVERITIES, Finding
from bnexport.health.findings.norm import Norm, norms_of
from bnexport.health.findings.whole import counters, frozen, modes
from bnexport.health.wiring import Place
from bnexport.passes.modules import unwrap

__all__ = ["diagnose", "diagnose_norms"]

RuleOfOne = Callable[[Norm], Iterator[Finding]]


def diagnose(
    module: nn.Module, places: Mapping[str, Place] | None = None, *, modes_count: bool = True
) -> tuple[Finding, ...]:
    """What is questionable about the normalisation of ``module``; the gravest first, then in the order of the layers.

    Args:
        module: Left as it is. Wrappers are looked through.
        places: Where its BatchNorms stand, from `bnexport.health.wiring`; without, nothing is said of neighbours.
        modes_count: Whether train mode says anything: not where a constructor has just made the module.
    """
    inside, _ = unwrap(module)
    norms = norms_of(inside, dict(places or {}))
    also = [*modes(inside, norms), *frozen(inside, norms)] if modes_count else []
    return diagnose_norms(norms, also)


def diagnose_norms(norms: Sequence[Norm], also: Iterable[Finding] = ()) -> tuple[Finding, ...]:
    """What can be said of these layers one by one, and ``also``; the gravest first."""
    every: tuple[RuleOfOne, ...] = (*statistics.EVERY, *surroundings.EVERY)
    found = [*also, *(finding for norm in norms for rule in every for finding in rule(norm))]
    found += counters(norms)
    return tuple(sorted(found, key=lambda each: -SEVERITIES.index(each.severity)))
