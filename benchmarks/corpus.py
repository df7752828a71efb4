"""bnexport as a peer for a judge of BatchNorm folding: ``export(model, args, path)``.

    python judge.py --extra benchmarks.corpus:export --peers x     # from a folder on whose path the repo is

The whole road is travelled, verification included: a file comes out only where it agrees with PyTorch.
"""

from __future__ import annotations

from pathlib import Path

import torch

import bnexport
from bnexport import errors
from bnexport.inputs import InputSpec


class Refused(Exception):
    """What the judge counts as a correct report."""


def export(model: torch.nn.Module, args: tuple[torch.Tensor, ...], path: str) -> None:
    """Convert ``model`` to ``path`` with the batch axis free.

    Raises:
        Refused: bnexport declined, and the message says why.
    """
    inputs = [
        InputSpec("", (None, *x.shape[1:]), str(x.dtype).removeprefix("torch.")) for x in args
    ]
    try:
        result = bnexport.convert(model, Path(path), inputs=inputs, batch=(1, 7))
    except errors.Refused as error:
        raise Refused(str(error)) from error
    for row in result.ledger.kept:
        print(f"{row.name}: kept: {row.reason}")
