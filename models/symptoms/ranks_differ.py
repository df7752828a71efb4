"""The ranks differ: each has statistics of its own share of the data, and one of them is deployed."""

from pathlib import Path

import torch
from torch import nn

from models.symptoms.stripes import accuracy, network, pictures, trained

COMMAND = ("compare-ranks", "rank0.pt", "rank1.pt", "rank2.pt", "rank3.pt")
FINDS = ("SyncBatchNorm was not used", "the ranks saw different data", "--merge")
RANKS = 4


def plant(folder: Path) -> None:
    """Four ranks with the same weights, as all-reduce keeps them; each saw one class only."""
    net = trained()
    for rank in range(RANKS):
        torch.save(_fed(net, rank).state_dict(), folder / f"rank{rank}.pt")


def symptom(folder: Path) -> dict[str, float]:
    """The accuracy of each rank's checkpoint."""
    return {f"rank {rank}": _accuracy(folder / f"rank{rank}.pt") for rank in range(RANKS)}


def repair(folder: Path) -> dict[str, float]:
    """One checkpoint with the statistics of all ranks. In training: SyncBatchNorm, and shuffled shards."""
    from models.symptoms.commands import run

    run([*COMMAND, "--merge", "merged.pt"], folder)
    return {"merged": _accuracy(folder / "merged.pt")}


def _fed(net: nn.Module, rank: int) -> nn.Module:
    """The network after a hundred batches of one class; no weight moves."""
    import copy

    own = copy.deepcopy(net).train()
    with torch.no_grad():
        for step in range(100):
            own(pictures(32, 9000 + step, only=rank)[0])
    return own.eval()


def _accuracy(path: Path) -> float:
    net = network()
    net.load_state_dict(torch.load(path, weights_only=True))
    return accuracy(net)
