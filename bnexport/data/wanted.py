"""What is asked of the data: the size of a batch, where it ends, how images are prepared."""

from __future__ import annotations

from dataclasses import dataclass, field

from bnexport.errors import UsageError

__all__ = ["DataOptions", "ImageOptions"]

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class ImageOptions:
    """How a picture becomes an input; what is None comes from the model's own configuration.

    Attributes:
        size: Height and width in pixels.
        mean: Subtracted from each channel, in units of 0 to 1; one value for grey images.
        std: By which each channel is divided.
        fit: ``crop``: the shorter side is resized and the middle cut out; ``stretch``: both sides are resized.
    """

    size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    fit: str = "crop"


@dataclass(frozen=True)
class DataOptions:
    """How data is cut into batches.

    Attributes:
        batch_size: Samples a batch; what a factory or a stream yields is left as it is.
        limit: The most samples; None: all.
        images: How images are read.
    """

    batch_size: int = 32
    limit: int | None = None
    images: ImageOptions = field(default_factory=ImageOptions)

    def __post_init__(self) -> None:
        for name, value in (("batch size", self.batch_size), ("limit", self.limit)):
            if value is not None and value < 1:
                raise UsageError(f"a {name} of {value}", "it holds no sample", "Give 1 or more")
