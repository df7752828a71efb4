"""Several models in one process: libraries are imported once, and one worker does the native work of all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bnexport.conversion import Conversion
from bnexport.convert import convert
from bnexport.errors import BnexportError, UsageError
from bnexport.isolation import Isolation, current, isolated
from bnexport.unchanged import place_of

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from bnexport.load.loaded import Loaded

__all__ = ["Outcome", "convert_many"]


@dataclass(frozen=True)
class Outcome:
    """What became of one model.

    Attributes:
        model: As it was given.
        conversion: What was made; None where it failed.
        error: Why it failed; None where it did not.
    """

    model: str | os.PathLike[str] | torch.nn.Module | Loaded | None
    conversion: Conversion | None = None
    error: BnexportError | None = None

    @property
    def ok(self) -> bool:
        """Whether it was converted."""
        return self.error is None


def convert_many(
    models: Iterable[str | os.PathLike[str] | torch.nn.Module | Mapping[str, Any]],
    *,
    isolation: Isolation | None = None,
    **options: Any,
) -> tuple[Outcome, ...]:
    """Convert several models; one that fails does not keep the others from it.

    Args:
        models: Each as `bnexport.convert` takes it, or a dict of that function's arguments: ``model``, and whatever
            is not the same for all.
        isolation: Of all of them together.
        options: Arguments of `bnexport.convert` for every model that does not say otherwise: ``cache``, say.

    Returns:
        One outcome a model, in their order.

    Raises:
        UsageError: Two of them go to one file, or ``isolation`` is given for one alone.
    """
    calls = [{**options, **_arguments(each)} for each in models]
    _check(calls)
    outcomes = []
    with isolated(isolation):
        for call in calls:
            if (scope := current()) is not None:
                scope.foreign = False  # the model before may have been a file of somebody else's
            model = call.pop("model", None)
            try:
                outcomes.append(Outcome(model, convert(model, **call)))
            except BnexportError as error:
                outcomes.append(Outcome(model, error=error))
    return tuple(outcomes)


def _arguments(model: Any) -> dict[str, Any]:
    return dict(model) if isinstance(model, Mapping) else {"model": model}


def _check(calls: Sequence[Mapping[str, Any]]) -> None:
    places: dict[Path, int] = {}
    for number, call in enumerate(calls, 1):
        if "isolation" in call:
            why = "one worker serves all of them"
            raise UsageError("isolation of one model", why, "Give it to convert_many itself")
        if call.get("model") is None and call.get("output") is None:
            continue  # named by its architecture, once that is known
        place = place_of(call.get("model"), call.get("output"), call.get("target", "onnx"))
        first = places.setdefault(place.resolve(), number)
        if first != number:
            why = f"models {first} and {number} of the list both go there"
            raise UsageError(f"{place} would be written twice", why, "Give each an output")
