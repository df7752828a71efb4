"""Real data, a batch at a time, for what runs it through a model: drift and recalibration.

Importing this file does not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnexport.data.wanted import DataOptions, ImageOptions

if TYPE_CHECKING:
    import torch

    from bnexport.data.batches import Batches

__all__ = ["DataOptions", "ImageOptions", "open_data"]


def open_data(
    source: object, module: torch.nn.Module, options: DataOptions | None = None
) -> Batches:
    """Batches that ``module`` can be called with, in the order of the data.

    Args:
        source: A folder of images, an image, a ``.npy``, ``.npz`` or ``.pt`` file, ``package.module:factory``, ``-``
            for a stream of ``.npy`` arrays on standard input, or any iterable of batches (a DataLoader, a list).
        module: Says what an input is called, its dtype and, a timm model, how images are prepared for it.
        options: How large a batch is, where to end, how images are read.

    Raises:
        UsageError: The source cannot be used as given.
        Refused: It cannot be read.
        MissingRuntime: It needs Pillow, which is not installed.
    """
    from bnexport.data.opening import open_source

    return open_source(source, module, options or DataOptions())
