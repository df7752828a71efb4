"""Give a fresh network the weights and statistics of a trained one, without training it."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

STEPS = 20_000


def trained(factory: Callable[[], nn.Module], seed: int, *shapes: Sequence[int]) -> nn.Module:
    """Build in a random state of its own, scatter the affines, and measure the statistics.

    A third of the gammas are negative, as optimisers leave them. Means and variances are those of
    data that goes through the network, so that activations keep a sane size at any depth.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = factory()
        norms = [each for each in model.modules() if isinstance(each, _BatchNorm)]
        for norm in norms:
            scatter(norm)
        measure(model, norms, [torch.randn(16, *shape) for shape in shapes])
    return model.eval()


def scatter(norm: _BatchNorm) -> None:
    """Draw gamma in +-[0.5, 1.5], negative in every third channel, and beta around 0."""
    channels = norm.num_features
    sign = torch.where(torch.arange(channels) % 3 == 1, -1.0, 1.0)
    norm.weight.copy_((torch.rand(channels) + 0.5) * sign)
    norm.bias.copy_(0.3 * torch.randn(channels))


def measure(model: nn.Module, norms: Sequence[_BatchNorm], inputs: Sequence[Tensor]) -> None:
    """Set the running statistics to those of one batch, and the step count to a plausible one."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    model.train()
    model(*inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.fill_(STEPS)
