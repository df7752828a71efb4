"""Recalibrate: PreciseBN, the statistics of a whole data set in place of an exponential average.

Y. Wu, J. Johnson: Rethinking "Batch" in BatchNorm, arXiv 2105.07576 (2021), section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from bnexport.data import DataOptions, open_data
from bnexport.data.batches import Batches
from bnexport.drift.monitor import running_of
from bnexport.errors import UsageError
from bnexport.events import Observer, silent, stage
from bnexport.health.facts import is_batch_norm
from bnexport.load import load
from bnexport.moments import watchable
from bnexport.passes.modules import eval_mode, revert_sync_batchnorm, undisturbed
from bnexport.recalibrate.estimate import Progress, at_once, one_by_one, reached
from bnexport.recalibrate.result import LayerChange, Recalibration
from bnexport.recalibrate.resume import Keeper
from bnexport.recalibrate.writing import check_output, write

if TYPE_CHECKING:
    from bnexport.load.loaded import Loaded

__all__ = ["Metric", "recalibrate"]

Metric = Callable[[nn.Module], float | Mapping[str, float]]
_NAMED = 5


def recalibrate(
    model: str | PathLike[str] | nn.Module | Loaded,
    data: object,
    output: str | PathLike[str] | None = None,
    *,
    options: DataOptions | None = None,
    sequential: bool = False,
    metric: Metric | None = None,
    state: str | PathLike[str] | None = None,
    state_dict_key: str | None = None,
    in_place: bool = False,
    observe: Observer = silent,
) -> Recalibration:
    """Estimate the running statistics of every BatchNorm anew, over all of the data.

    Each mean and variance is that of all values that the layer is fed, whatever the sizes of the batches; the variance
    is stored with n - 1, as PyTorch stores it. Nothing but the statistics changes.

    Args:
        model: A file that `bnexport.load` reads by itself, what it gave, or a live module.
        data: As of `bnexport.data.open_data`.
        output: Where the model goes: a file of the same kind as was read, all else in it as it was; of a live module, a
            state dict.
        options: How the data is cut into batches.
        sequential: Whether each layer is estimated behind the new statistics of those before it: a pass for each.
        metric: Called with a copy in eval mode, before and after.
        state: A file in which what was gathered is kept while it runs, to go on from after an interruption.
        state_dict_key: The entry of the checkpoint that holds the model, where one was given to ``load``.
        in_place: Whether a live module gets the statistics itself.
        observe: Told of progress.

    Raises:
        UsageError: The model has no BatchNorm, does not run on the data, or an argument cannot be used.
        Refused: The model or the data cannot be read, or a layer is fed NaN or Inf.
        OutputError: The output cannot be written.
    """
    loaded = load(model)
    inside = watchable(loaded, "recalibration")
    if in_place and not isinstance(model, nn.Module):
        raise UsageError("in_place", "the model was read from a file", "Give a live module")
    if output is not None:
        check_output(Path(output), loaded, state_dict_key)
        if state is not None and Path(state).resolve() == Path(output).resolve():
            raise UsageError(f"state {state}", "it is the output, too", "Name another file")
    copied = revert_sync_batchnorm(inside)
    found = _estimated(copied, data, options, sequential, metric, state, observe)
    if output is not None:
        write(Path(output), loaded, inside, found, state_dict_key)
        found = replace(found, output=str(output))
    if in_place:
        found.apply(inside)
    return found


def _estimated(
    copied: nn.Module,
    data: object,
    options: DataOptions | None,
    sequential: bool,
    metric: Metric | None,
    state: str | PathLike[str] | None,
    observe: Observer,
) -> Recalibration:
    layers = _layers(copied)
    batches = open_data(data, copied, options)
    if sequential and not batches.again:
        why = "it can be read once, and each layer needs a pass over it"
        raise UsageError(f"data {batches.name}", why, "Give a file, a folder or a factory")
    before = {name: running_of(layer) for name, layer in layers.items()}
    with undisturbed(0), eval_mode(copied):
        old = _measured(metric, copied)
        with stage(observe, "estimate", batches.name):
            calls, progress = _run(copied, layers, batches, sequential, state, observe)
        every = {**progress.done, **progress.moments}
        changes = tuple(
            LayerChange(
                name,
                (before[name].mean, before[name].var),
                (every[name].mean[0], every[name].variance(unbiased=True)[0]),
                int(every[name].count.item()),
                before[name].eps,
            )
            for name in calls
        )
        passes = len(calls) if sequential else 1
        notes = (*batches.notes, *_notes(layers, calls))
        counted = batches.counted
        found = Recalibration(changes, counted[1], counted[0], passes, sequential, notes)
        found.apply(copied)
        new = _measured(metric, copied)
    return replace(found, metric={name: (old[name], new[name]) for name in old.keys() & new.keys()})


def _run(
    copied: nn.Module,
    layers: Mapping[str, nn.Module],
    batches: Batches,
    sequential: bool,
    state: str | PathLike[str] | None,
    observe: Observer,
) -> tuple[dict[str, int], Progress]:
    keeper = Keeper.of(None if state is None else Path(state), copied, batches, sequential)
    start = keeper.start()
    if not sequential:
        with keeper:
            done = at_once(copied, layers, batches, start or Progress({}, {}), keeper, observe)
        return dict.fromkeys(done.moments, 1), done
    calls = reached(copied, layers, batches)
    with keeper:
        done = one_by_one(
            copied, layers, calls, batches, start or Progress({}, {}), keeper, observe
        )
    return calls, done


def _layers(module: nn.Module) -> dict[str, nn.Module]:
    """The BatchNorms that have statistics to estimate."""
    found = {
        name: layer
        for name, layer in module.named_modules()
        if is_batch_norm(layer)
        and isinstance(layer.running_mean, torch.Tensor)
        and isinstance(layer.running_var, torch.Tensor)
    }
    if not found:
        why = "it has no BatchNorm with running statistics"
        raise UsageError(f"recalibration of {type(module).__name__}", why, "Inspect the model")
    return found


def _notes(layers: Mapping[str, nn.Module], calls: Mapping[str, int]) -> list[str]:
    missing = [name for name in layers if name not in calls]
    if not missing:
        return []
    named = ", ".join(missing[:_NAMED]) + (", ..." if len(missing) > _NAMED else "")
    return [f"never reached by the data, and left as they were: {named}"]


def _measured(metric: Metric | None, module: nn.Module) -> dict[str, float]:
    if metric is None:
        return {}
    try:
        found: Any = metric(module)
        told = found if isinstance(found, Mapping) else {"metric": found}
        return {str(name): float(value) for name, value in told.items()}
    except Exception as error:
        # The metric is the user's: whatever it raises is the reason why there is no number.
        why = f"it raised {type(error).__name__}: {error}"
        raise UsageError(
            "the metric", why, "It is called with the model, and returns a number or a dict"
        ) from error
