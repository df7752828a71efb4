"""The smallest set of nodes that must stay in float32, found by trying."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

__all__ = ["Search"]


@dataclass
class Search:
    """Lowers as much as passes.

    A group that passes is lowered as a whole, one that does not is halved: k bad ones among n take
    some k log2(n) trials. What is left cannot be lowered beside the rest: no smaller set of the
    nodes that stay passes.

    Attributes:
        ratio: Says how far a trial with these nodes lowered is off, in units of its limit: at most 1
            passes.
        most: The most trials; when they are used up, what has not passed stays.
        lowered: The nodes that can be lowered together.
        stays: Those that cannot, with the ratio that they lead to; None: it was not tried alone.
        trials: How many were made.
    """

    ratio: Callable[[frozenset[str]], float]
    most: int
    lowered: set[str] = field(default_factory=set)
    stays: dict[str, float | None] = field(default_factory=dict)
    trials: int = 0

    def run(self, nodes: Sequence[str]) -> None:
        """Lower what passes of ``nodes``, which are in order of execution."""
        waiting = [list(nodes)]
        while waiting:
            group = waiting.pop()
            if not group:
                continue
            if self.trials >= self.most:
                self.stays |= dict.fromkeys(group)
                continue
            self.trials += 1
            ratio = self.ratio(frozenset(self.lowered.union(group)))
            if ratio <= 1.0:
                self.lowered |= set(group)
            elif len(group) == 1:
                self.stays[group[0]] = ratio
            else:
                middle = len(group) // 2
                waiting += [group[middle:], group[:middle]]
