"""Run the data, and gather the moments of what each BatchNorm is fed.

In one pass each BatchNorm normalises by its own batch, as it does in training, so that no layer sees the old
statistics of those before it. It is told to by writing the batch's statistics into the copy's buffers before each call:
so it works for any class, and everything else, dropout too, stays in eval mode.

One after another (``sequential``), a layer is estimated behind the new statistics of all before it, which is what it
sees once deployed. That takes a pass over the data for each layer, each as long as the way to that layer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn

from bnexport.data.batches import Batches
from bnexport.errors import Refused, UsageError
from bnexport.events import Event, Observer
from bnexport.moments import Moments, Seen, watching
from bnexport.recalibrate.result import put

__all__ = ["Progress", "at_once", "one_by_one", "reached"]

_REMEDY = "Give batches as its forward takes them"


@dataclass(frozen=True)
class Progress:
    """How far the estimation is; what a state file holds.

    Attributes:
        moments: Of the layers in work, G = 1.
        done: Moments of the layers that are finished, in the order of the calls.
        batches: Of the data that were run in this pass.
        samples: In these.
    """

    moments: Mapping[str, Moments]
    done: Mapping[str, Moments]
    batches: int = 0
    samples: int = 0


Keep = Callable[[Progress], None]


class _Reached(Exception):
    """The layer that is sought was fed; the rest of the network need not run."""


def reached(module: nn.Module, layers: Mapping[str, nn.Module], data: Batches) -> dict[str, int]:
    """How often one batch calls each layer, in the order of the first calls.

    Raises:
        UsageError: The data is empty, or the model does not run on it.
    """
    calls: dict[str, int] = {}

    def see(seen: Seen) -> None:
        calls[seen.name] = calls.get(seen.name, 0) + 1

    with watching(layers, see):
        for batch in data:
            _run(module, batch, data.name)
            return calls
    raise UsageError(f"data {data.name}", "it holds no sample", "Give some")


def at_once(
    module: nn.Module,
    layers: Mapping[str, nn.Module],
    data: Batches,
    start: Progress,
    keep: Keep,
    observe: Observer,
) -> Progress:
    """All layers in one pass over the data.

    Args:
        module: A copy, in eval mode; its statistics are overwritten.
        layers: Its BatchNorms.
        data: From the beginning.
        start: Where to go on from.
        keep: Told of the progress after each batch.
        observe: Told of it, too.

    Raises:
        UsageError: The model does not run on the data, or a layer sees one value a channel.
        Refused: A layer is fed NaN or Inf.
    """
    moments = dict(start.moments)

    def see(seen: Seen) -> None:
        found = Moments.of(seen.values)
        _check(seen, found)
        if found.count.item() < 2:
            why = "it sees one value a channel, which has no variance"
            remedy = (
                "Give larger batches (--batch-size 16), or take layer after layer (--sequential)"
            )
            raise UsageError(f"BatchNorm {seen.name!r}", why, remedy)
        moments[seen.name] = moments[seen.name] + found if seen.name in moments else found
        put(seen.layer, found.mean[0], found.variance()[0], 0)

    with watching(layers, see):
        progress = replace(start, moments=moments)
        return _over(module, data, progress, keep, observe, "all layers")


def one_by_one(
    module: nn.Module,
    layers: Mapping[str, nn.Module],
    calls: Mapping[str, int],
    data: Batches,
    start: Progress,
    keep: Keep,
    observe: Observer,
) -> Progress:
    """Layer after layer, each behind the new statistics of those before it; see `at_once`."""
    progress = start
    for name, found in start.done.items():
        put(layers[name], found.mean[0], found.variance(unbiased=True)[0], 0)
    for place, name in enumerate(calls):
        if name in progress.done:
            continue
        moments = dict(progress.moments) or {name: Moments.none(_channels(layers[name]))}
        see = _gather(moments, stop=calls[name] == 1)
        text = f"layer {place + 1} of {len(calls)}, {name or 'the model'}"
        with watching({name: layers[name]}, see):
            progress = _over(module, data, replace(progress, moments=moments), keep, observe, text)
        found = progress.moments[name]
        put(layers[name], found.mean[0], found.variance(unbiased=True)[0], 0)
        progress = Progress({}, {**progress.done, name: found})
        keep(progress)
    return progress


def _gather(moments: dict[str, Moments], *, stop: bool) -> Callable[[Seen], None]:
    def see(seen: Seen) -> None:
        found = Moments.of(seen.values)
        _check(seen, found)
        moments[seen.name] = moments[seen.name] + found
        if stop:
            raise _Reached

    return see


def _over(
    module: nn.Module, data: Batches, start: Progress, keep: Keep, observe: Observer, text: str
) -> Progress:
    """Run the data but for what was run already."""
    began, progress = time.perf_counter(), start
    for place, batch in enumerate(data):
        if place < start.batches:
            continue
        _run(module, batch, data.name)
        progress = replace(
            progress, batches=progress.batches + 1, samples=progress.samples + len(batch)
        )
        keep(replace(progress, moments=dict(progress.moments)))
        observe(_event(progress, start, data.samples, text, time.perf_counter() - began))
    if not progress.batches:
        raise UsageError(f"data {data.name}", "it holds no sample", "Give some")
    return progress


def _event(now: Progress, start: Progress, samples: int | None, text: str, seconds: float) -> Event:
    if not samples:
        return Event("estimate", "step", f"{text}, {now.samples} samples")
    share = min(now.samples / samples, 1.0)
    each = seconds / max(now.samples - start.samples, 1)
    left = each * max(samples - now.samples, 0)
    return Event("estimate", "step", f"{text}, {left:.0f} s left", fraction=share)


def _run(module: nn.Module, batch: object, name: str) -> None:
    try:
        batch.run(module)  # type: ignore[attr-defined]
    except (_Reached, Refused, UsageError) as error:
        if not isinstance(error, _Reached):
            raise
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        what = f"the model does not run on the data {name}"
        raise UsageError(what, f"{type(error).__name__}: {reason}", _REMEDY) from error


def _check(seen: Seen, found: Moments) -> None:
    if not bool(found.mean.isfinite().all() and found.squares.isfinite().all()):
        why = "it is fed NaN or Inf"
        remedy = "See whether the data holds any, or the weights before it: bnexport inspect"
        raise Refused(f"BatchNorm {seen.name!r}", why, remedy)


def _channels(layer: nn.Module) -> int:
    found = layer.running_mean
    return found.numel() if isinstance(found, torch.Tensor) else 0
