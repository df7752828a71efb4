"""Fine-tuning makes it worse: batches of a few alike samples overwrite the statistics of the pre-training."""

from pathlib import Path

import numpy as np
import torch

from models.symptoms.stripes import accuracy, fit, pictures, trained

COMMAND = ("drift", "tuned.pt", "--data", "train.npz")
FINDS = ("DRIFT", "it starts in")


def plant(folder: Path) -> None:
    """A network that is tuned on one class after another, as the clips of one video come."""
    torch.save(_tuned(frozen=False), folder / "tuned.pt")
    np.savez(folder / "train.npz", input=pictures(512, 60)[0].numpy())


def symptom(folder: Path) -> dict[str, float]:
    """The accuracy before and after."""
    return {"before": accuracy(trained()), "after": accuracy(_tuned(frozen=False))}


def repair(folder: Path) -> dict[str, float]:
    """The same with frozen BatchNorms."""
    return {"before": accuracy(trained()), "after": accuracy(_tuned(frozen=True))}


def _tuned(*, frozen: bool) -> torch.nn.Module:
    import bnexport

    net = trained()
    if not frozen:
        return fit(net, 61, 8, 1e-4, seed=5000, ordered=True)
    with bnexport.freeze_batch_norm(net):
        return fit(net, 61, 8, 1e-4, seed=5000, ordered=True)
