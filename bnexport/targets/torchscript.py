"""TorchScript: the module traced in eval mode and frozen."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import torch

from bnexport.disk import output_errors
from bnexport.errors import ExportError
from bnexport.passes.modules import eval_mode, undisturbed

__all__ = ["write_torchscript"]
logger = logging.getLogger(__name__)


def write_torchscript(
    module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], path: Path
) -> None:
    """Trace ``module`` on ``inputs``, freeze the trace and write it.

    torch's own check runs the trace on the inputs it was made with, which cannot see a batch size
    that was fixed; verification at several batch sizes can, so the check is left out.

    Args:
        module: Takes positional tensors, returns a tuple of tensors. Its flags are as before.
        inputs: A batch of more than one sample, lest a size of 1 is taken for a constant.
        path: Where the file goes.

    Raises:
        ExportError: The module cannot be traced.
        OutputError: The file cannot be written.
    """
    content = _traced(module, inputs)
    with output_errors(path):
        path.write_bytes(content)


def _traced(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> bytes:
    with undisturbed(), eval_mode(module), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            traced = torch.jit.trace(module, inputs, check_trace=False)  # type: ignore[no-untyped-call]
            # To memory first: the native file writer ends the process when the disk is full.
            content: bytes = torch.jit.freeze(traced).save_to_buffer()
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).partition("\n")[0]
            what, remedy = "the model cannot be traced to TorchScript", "Use --target onnx or pt2"
            raise ExportError(what, reason.rstrip("."), remedy) from error
    for warning in caught:
        logger.debug("%s: %s", warning.category.__name__, warning.message)
    return content
