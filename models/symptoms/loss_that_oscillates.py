"""The validation loss oscillates below batch 16: not the weights move, but the running statistics."""

import statistics
from pathlib import Path

import numpy as np
import torch

from models.symptoms.stripes import fit, loss, pictures, trained

COMMAND = ("drift", "model.pt", "--data", "train.npz", "--threshold", "0.002")
FINDS = ("DRIFT", "bnexport recalibrate")
STEPS = 40


def plant(folder: Path) -> None:
    """A network whose last steps were of 2 samples each, at a learning rate of 0."""
    net = trained()
    fit(net, STEPS, batch=2, rate=0.0, seed=7000)
    torch.save(net, folder / "model.pt")
    np.savez(folder / "train.npz", input=pictures(1024, 60)[0].numpy())


def symptom(folder: Path) -> dict[str, float]:
    """How the validation loss scatters over steps in which no weight moves."""
    two, many = _losses(2), _losses(64)
    return {"loss at batch 2": two[0], "its scatter": two[1], "scatter at batch 64": many[1]}


def repair(folder: Path) -> dict[str, float]:
    """Frozen statistics scatter no more; those of all data are the best there are."""
    import bnexport
    from models.symptoms.commands import run

    run(["recalibrate", "model.pt", "-o", "mended.pt", "--data", "train.npz"], folder)
    mended = loss(bnexport.load(folder / "mended.pt").model)
    return {"loss at batch 2": mended, "its scatter": _losses(2, frozen=True)[1]}


def _losses(batch: int, *, frozen: bool = False) -> tuple[float, float]:
    """Their mean, and their deviation over it."""
    import bnexport

    net = trained()
    if frozen:
        bnexport.freeze_batch_norm(net)
    losses: list[float] = []
    fit(net, STEPS, batch, 0.0, seed=7000, watch=lambda each: losses.append(loss(each)))
    mean = statistics.mean(losses)
    return mean, statistics.pstdev(losses) / mean
