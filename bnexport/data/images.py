"""Pictures from a folder, prepared as the model was trained on them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from bnexport.data.wanted import ImageOptions
from bnexport.errors import MissingRuntime, Refused, UsageError
from bnexport.passes.modules import unwrap

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["PICTURES", "Preparation", "pictures", "preparation"]

PICTURES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
# What nearly all networks for colour pictures were trained with.
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_USUAL = (224, 224)


@dataclass(frozen=True)
class Preparation:
    """How a picture becomes an input of shape (C, H, W).

    Attributes:
        channels: 1 for grey, 3 for colour.
        size: Height and width.
        mean: Of each channel.
        std: Of each channel.
        shrink: What part of the shorter side is cut out; 1: all of it.
        fit: ``crop`` or ``stretch``.
    """

    channels: int
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    shrink: float
    fit: str

    def __call__(self, image: Image) -> np.ndarray:
        """The input, float32."""
        image = image.convert("L" if self.channels == 1 else "RGB")
        values = np.array(self._fitted(image), dtype=np.float32) / np.float32(255)
        values = values.reshape(*self.size, self.channels)
        values -= np.array(self.mean, np.float32)
        values /= np.array(self.std, np.float32)
        return np.ascontiguousarray(values.transpose(2, 0, 1))

    def _fitted(self, image: Image) -> Image:
        high, wide = self.size
        if self.fit == "stretch":
            return image.resize((wide, high), _bicubic())
        scale = max(high / self.shrink / image.height, wide / self.shrink / image.width)
        resized = image.resize(
            (max(wide, round(image.width * scale)), max(high, round(image.height * scale))),
            _bicubic(),
        )
        left, top = (resized.width - wide) // 2, (resized.height - high) // 2
        return resized.crop((left, top, left + wide, top + high))


def preparation(module: nn.Module, options: ImageOptions) -> tuple[Preparation, tuple[str, ...]]:
    """From what the user gave, then the model's own configuration (timm's), then what is usual.

    Returns:
        The preparation, and what to tell the user of it.

    Raises:
        UsageError: The model does not take pictures, or the numbers of channels differ.
    """
    inside, _ = unwrap(module)
    own: dict[str, Any] = getattr(inside, "pretrained_cfg", None) or {}
    channels = _channels(inside)
    usual = _IMAGENET if channels == 3 else ((0.5,), (0.5,))
    mean = options.mean or tuple(own.get("mean") or ()) or usual[0]
    std = options.std or tuple(own.get("std") or ()) or usual[1]
    size = options.size or (own.get("input_size") or (0, *_USUAL))[1:]
    if {len(mean), len(std)} != {channels} or min(std) <= 0:
        why = f"the model takes {channels} channels; the mean is {mean}, the deviation {std}"
        raise UsageError("image mean and deviation", why, "Give one number a channel, above 0")
    shrink = 1.0 if options.size else float(own.get("crop_pct") or 1.0)
    how = Preparation(channels, (int(size[0]), int(size[1])), mean, std, shrink, options.fit)
    told = options.size and options.mean and options.std
    return how, () if told else (_sentence(how, bool(own)),)


def pictures(paths: Sequence[Path], how: Preparation, batch_size: int) -> Iterator[np.ndarray]:
    """Batches of prepared pictures.

    Raises:
        MissingRuntime: Pillow is not installed.
        Refused: A picture cannot be read.
    """
    for first in range(0, len(paths), batch_size):
        yield np.stack([how(_opened(path)) for path in paths[first : first + batch_size]])


def _opened(path: Path) -> Image:
    try:
        from PIL import Image
    except ImportError:
        raise MissingRuntime(
            f"data {path.parent}",
            "Pillow reads pictures, and is not installed",
            "pip install pillow",
        ) from None
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        remedy = "Take it out of the folder, or write it anew"
        raise Refused(f"picture {path}", f"it cannot be read ({error})", remedy) from error


def _channels(module: nn.Module) -> int:
    first = next((each for each in module.modules() if isinstance(each, nn.Conv2d)), None)
    if first is None or first.in_channels not in (1, 3):
        why = "it has no convolution" if first is None else f"it takes {first.in_channels} channels"
        raise UsageError(
            f"pictures for {type(module).__name__}", why, "Give its inputs as an .npz file"
        )
    return first.in_channels


def _sentence(how: Preparation, own: bool) -> str:
    mean, std = (", ".join(f"{x:.4g}" for x in each) for each in (how.mean, how.std))
    whence = "the model's own configuration" if own else "assumed"
    cut = f", the middle {how.shrink:.3g}" if not math.isclose(how.shrink, 1.0) else ""
    return (
        f"images at {how.size[0]}x{how.size[1]} ({how.fit}{cut}), mean {mean}, deviation {std} ({whence}): "
        "change with --image-size, --image-mean, --image-std"
    )


def _bicubic() -> Any:
    from PIL.Image import Resampling

    return Resampling.BICUBIC
