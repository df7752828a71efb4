"""A siamese matcher; the trap: weights with several readers, one of them without a BatchNorm."""

from torch import Tensor, nn
from torch.nn import functional

from models.training import trained

INPUT = ("Nx3x32x32", "Nx3x32x32")


class Siamese(nn.Module):
    """One encoder for both images; the score joins a normalised and a raw view of ``mix``.

    ``conv`` and ``bn`` run once an image. ``mix`` runs with its BatchNorm on the first image's
    features and without it on the difference, so its weights cannot be scaled in place.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.bn = nn.BatchNorm2d(width)
        self.deep = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False)
        self.deep_bn = nn.BatchNorm2d(2 * width)
        self.mix = nn.Conv2d(2 * width, width, 1)
        self.mix_bn = nn.BatchNorm2d(width)
        self.score = nn.Linear(width, 1)

    def encode(self, image: Tensor) -> Tensor:
        """The features of one image."""
        x = functional.relu(self.bn(self.conv(image)))
        return functional.relu(self.deep_bn(self.deep(x)))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        a, b = self.encode(left), self.encode(right)
        context = functional.relu(self.mix_bn(self.mix(a)))
        difference = self.mix((a - b).abs())
        return self.score((context * difference).mean((2, 3)))


def build(seed: int = 0) -> nn.Module:
    """The matcher, as after training."""
    return trained(Siamese, seed, (3, 32, 32), (3, 32, 32))
