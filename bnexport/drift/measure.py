"""Run data through a model and hold its BatchNorms against what they saw."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

from torch import nn

from bnexport.data import DataOptions, open_data
from bnexport.drift.judge import ALPHA, THRESHOLD, Drift, judge
from bnexport.drift.monitor import DriftMonitor
from bnexport.drift.state import DriftState
from bnexport.errors import UsageError
from bnexport.events import Event, Observer, silent, stage
from bnexport.load import load
from bnexport.moments import watchable
from bnexport.passes.modules import eval_mode, revert_sync_batchnorm, undisturbed

if TYPE_CHECKING:
    from bnexport.load.loaded import Loaded

__all__ = ["drift", "observe_data"]


def drift(
    model: str | PathLike[str] | nn.Module | Loaded,
    data: object,
    *,
    options: DataOptions | None = None,
    alpha: float = ALPHA,
    threshold: float = THRESHOLD,
    block: int = 1,
    observe: Observer = silent,
) -> Drift:
    """How far the data lies from the running statistics of each BatchNorm, and whether that is more than noise.

    Args:
        model: A file that `bnexport.load` reads by itself, what it gave, or a live module, which is left as it is.
        data: As of `bnexport.data.open_data`: a folder of images, arrays, ``module:factory``, batches.
        options: How the data is cut into batches.
        alpha: See `bnexport.drift.judge.judge`.
        threshold: See there.
        block: So many samples in a row are taken to depend on each other.
        observe: Told of progress.

    Raises:
        Refused: The model or the data cannot be read, or there is no module.
        UsageError: The model does not run on the data, has no BatchNorm, or the data is too little.
    """
    loaded = load(model)
    state, _ = observe_data(loaded, data, options, block=block, observe=observe)
    return judge(state, alpha=alpha, threshold=threshold)


def observe_data(
    loaded: Loaded,
    data: object,
    options: DataOptions | None = None,
    *,
    block: int = 1,
    observe: Observer = silent,
) -> tuple[DriftState, tuple[str, ...]]:
    """What the BatchNorms of a copy are fed, in eval mode, and notes on how the data was read.

    Raises:
        Refused: There is no module, or the data cannot be read.
        UsageError: The model does not run on the data, or has no BatchNorm.
    """
    module = revert_sync_batchnorm(watchable(loaded, "drift"))
    batches = open_data(data, module, options)
    monitor = DriftMonitor(module, every=1, block=block)
    done = 0
    with stage(observe, "observe", batches.name), undisturbed(), eval_mode(module), monitor:
        for batch in batches:
            try:
                batch.run(module)
            except Exception as error:
                raise _misfit(batches.name, error) from error
            done += len(batch)
            share = done / batches.samples if batches.samples else None
            observe(Event("observe", "step", f"{done} samples", fraction=share))
    if not done:
        raise UsageError(f"data {batches.name}", "it holds no sample", "Give some")
    return monitor.state(), batches.notes


def _misfit(name: str, error: Exception) -> UsageError:
    reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return UsageError(
        f"the model does not run on the data {name}",
        f"{type(error).__name__}: {reason}",
        "Give batches as its forward takes them",
    )
