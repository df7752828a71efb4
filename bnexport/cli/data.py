"""``--data`` and what goes with it, for the commands that run real data through a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from bnexport.data import DataOptions

__all__ = ["data_of", "data_options"]

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def data_options(command: Decorated) -> Decorated:
    """What is run through the model; `data_of` takes the options together."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def data_of(options: dict[str, Any]) -> DataOptions:
    """Take from ``options`` what `data_options` added, but for ``data`` itself."""
    from bnexport.data import DataOptions, ImageOptions

    size, mean, std = (options.pop(f"image_{name}") for name in ("size", "mean", "std"))
    images = ImageOptions(size, mean, std, options.pop("image_fit"))
    return DataOptions(options.pop("batch_size"), options.pop("limit"), images)


def _size(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """Parse ``224`` or ``240x320``: height and width."""
    if value is None:
        return None
    sides = value.lower().split("x")
    if len(sides) > 2 or not all(
        side.isascii() and side.isdecimal() and int(side) for side in sides
    ):
        raise click.BadParameter(f"{value!r} is not HEIGHTxWIDTH, as in 224x224.", ctx, param)
    return int(sides[0]), int(sides[-1])


def _numbers(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[float, ...] | None:
    """Parse ``0.485,0.456,0.406``."""
    if value is None:
        return None
    try:
        return tuple(float(word) for word in value.split(","))
    except ValueError:
        message = f"{value!r} is not a number a channel, as in 0.485,0.456,0.406."
        raise click.BadParameter(message, ctx, param) from None


_OPTIONS = (
    click.option(
        "--data",
        required=True,
        metavar="DATA",
        help="A folder of images, a .npy, .npz or .pt file, MODULE:FACTORY that yields batches, or - for a "
        "stream of .npy arrays.",
    ),
    click.option(
        "--batch-size",
        type=click.IntRange(min=1),
        default=32,
        show_default=True,
        metavar="N",
        help="Samples a batch, of files and images.",
    ),
    click.option(
        "--limit", type=click.IntRange(min=1), metavar="N", help="End after so many samples."
    ),
    click.option(
        "--image-size",
        callback=_size,
        metavar="HxW",
        help="Of images.  [default: the model's own, or 224]",
    ),
    click.option(
        "--image-mean",
        callback=_numbers,
        metavar="R,G,B",
        help="Subtracted from images of 0 to 1.  [default: the model's own, or ImageNet's]",
    ),
    click.option(
        "--image-std", callback=_numbers, metavar="R,G,B", help="By which they are divided."
    ),
    click.option(
        "--image-fit",
        type=click.Choice(("crop", "stretch")),
        default="crop",
        show_default=True,
        help="Cut out the middle, or resize both sides.",
    ),
)
