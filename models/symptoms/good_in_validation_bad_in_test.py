"""Validation is good and the test is bad: the statistics are those of other pictures than it is fed."""

from pathlib import Path

import numpy as np
import torch

from models.symptoms.stripes import accuracy, pictures, trained

COMMAND = ("drift", "model.pt", "--data", "deployed.npz")
FINDS = ("it starts in 1", "DRIFT")
CAMERA = {"gain": 0.25, "offset": 1.0}


def plant(folder: Path) -> None:
    """A trained network, and pictures of the camera that it is deployed behind."""
    torch.save(trained(), folder / "model.pt")
    np.savez(folder / "deployed.npz", input=pictures(256, 50, **CAMERA)[0].numpy())


def symptom(folder: Path) -> dict[str, float]:
    """The accuracy on pictures as in training, and on those of the camera."""
    return _accuracies(folder, "model.pt")


def repair(folder: Path) -> dict[str, float]:
    """New statistics for the new camera, without labels. Better: give the camera's pictures the old range."""
    from models.symptoms.commands import run

    flags = ["-o", "mended.pt", "--data", "deployed.npz", "--sequential"]
    run(["recalibrate", "model.pt", *flags], folder)
    return _accuracies(folder, "mended.pt")


def _accuracies(folder: Path, name: str) -> dict[str, float]:
    import bnexport

    net = bnexport.load(folder / name).model
    return {"validation": accuracy(net), "deployed": accuracy(net, **CAMERA)}
