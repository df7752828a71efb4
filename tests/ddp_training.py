"""Two ranks of one training: ``python ddp_training.py RANK STORE FOLDER`` trains each kind and saves what it has."""

import sys
from pathlib import Path

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

RANKS = 2


class Synchronised(nn.BatchNorm2d):
    """The forward pass of SyncBatchNorm, which torch has for accelerators only: the moments of all ranks' batches.

    Its gradient leaves out that the moments depend on the batch. The statistics and their agreement do not need it.
    """

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        own = torch.stack([x.mean((0, 2, 3)), x.square().mean((0, 2, 3))])
        every = [torch.empty_like(own) for _ in range(RANKS)]
        distributed.all_gather(every, own.detach())
        mean, square = torch.stack(every).mean(0)
        biased = square - mean**2
        count = RANKS * x.numel() / x.shape[1]
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(biased * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        normal = (x - mean[:, None, None]) / (biased + self.eps).sqrt()[:, None, None]
        return normal * self.weight[:, None, None] + self.bias[:, None, None]


def network(norm=nn.BatchNorm2d, momentum=0.1):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), norm(6, momentum=momentum), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.Flatten(1)
    )


def data(rank, step, apart=0.0, flat=False):
    """``flat``: all pixels of a sample are alike."""
    made = torch.Generator().manual_seed(1000 * rank + step)
    size = 1 if flat else 8
    return torch.randn(8, 3, size, size, generator=made).expand(8, 3, 8, 8) + apart * rank


def train(
    rank,
    folder,
    name,
    norm=nn.BatchNorm2d,
    apart=0.0,
    steps=20,
    momentum=0.1,
    broadcast=False,
    flat=False,
    rate=0.01,
    validate=False,
):
    model = DistributedDataParallel(network(norm, momentum), broadcast_buffers=broadcast)
    optimiser = torch.optim.SGD(model.parameters(), rate)
    for step in range(steps):
        optimiser.zero_grad()
        model(data(rank, step, apart, flat)).square().mean().backward()
        optimiser.step()
    if validate:
        model.eval()(data(rank, steps, apart, flat))
    torch.save({"model": model.state_dict(), "step": steps}, folder / f"{name}{rank}.pt")


def refused():
    """What SyncBatchNorm says to a tensor of the processor."""
    try:
        nn.SyncBatchNorm(3)(torch.randn(2, 3, 4, 4))
    except ValueError as error:
        return str(error)
    return ""


def main(rank, store, folder):
    distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=RANKS
    )
    (folder / f"refused{rank}.txt").write_text(refused())
    train(rank, folder, "plain")
    train(rank, folder, "synced", Synchronised)
    train(rank, folder, "apart", apart=2.0)
    train(rank, folder, "once", steps=1, momentum=1.0, apart=0.3)
    train(rank, folder, "synced_once", Synchronised, steps=1, momentum=1.0, apart=0.3)
    train(rank, folder, "cumulative", steps=3, momentum=None, apart=0.3, rate=0)
    train(rank, folder, "broadcast", broadcast=True, rate=0)
    train(rank, folder, "validated", broadcast=True, apart=2.0, validate=True)
    slow = {"flat": True, "momentum": 0.03, "steps": 60}
    train(rank, folder, "slow", **slow)
    train(rank, folder, "slow_broadcast", broadcast=True, **slow)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
