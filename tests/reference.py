"""The ONNX reference evaluator, with what it lacks: transposed convolution in groups, pools with uneven pads."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from torch.nn import functional

__all__ = ["evaluate"]


class ConvTranspose(OpRun):  # type: ignore[misc]
    """Over whole windows first; then the pads are what is cut off, as the standard has it."""

    def _run(
        self,
        x: np.ndarray,
        weight: np.ndarray,
        bias: np.ndarray | None = None,
        *,
        auto_pad: str | None = None,
        dilations: list[int] | None = None,
        group: int | None = None,
        kernel_shape: list[int] | None = None,
        output_padding: list[int] | None = None,
        output_shape: list[int] | None = None,
        pads: list[int] | None = None,
        strides: list[int] | None = None,
    ) -> tuple[np.ndarray]:
        rank = x.ndim - 2
        assert auto_pad in (None, "NOTSET")
        assert output_shape is None
        convolve: Any = getattr(torch, f"conv_transpose{rank}d")
        whole = convolve(
            torch.from_numpy(x.copy()),
            torch.from_numpy(weight.copy()),
            stride=strides or [1] * rank,
            groups=group or 1,
            dilation=dilations or [1] * rank,
        ).numpy()
        pads, extra = pads or [0] * 2 * rank, output_padding or [0] * rank
        whole = np.pad(whole, [(0, 0), (0, 0), *((0, more) for more in extra)])
        ends = [size - p for size, p in zip(whole.shape[2:], pads[rank:], strict=True)]
        cut = tuple(slice(p, end) for p, end in zip(pads[:rank], ends, strict=True))
        result = whole[(slice(None), slice(None), *cut)]
        return (result if bias is None else result + bias.reshape(-1, *[1] * rank),)


class MaxPool(OpRun):  # type: ignore[misc]
    """Without a ceiling; what is padded is never the largest."""

    def _run(
        self,
        x: np.ndarray,
        *,
        auto_pad: str | None = None,
        ceil_mode: int | None = None,
        dilations: list[int] | None = None,
        kernel_shape: list[int] | None = None,
        pads: list[int] | None = None,
        storage_order: int | None = None,
        strides: list[int] | None = None,
    ) -> tuple[np.ndarray]:
        rank = x.ndim - 2
        assert auto_pad in (None, "NOTSET")
        assert not ceil_mode
        pads = pads or [0] * 2 * rank
        around = [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)]
        padded = np.pad(x, around, constant_values=-np.inf)
        pool: Any = getattr(functional, f"max_pool{rank}d")
        pooled = pool(torch.from_numpy(padded), kernel_shape, strides or 1, dilation=dilations or 1)
        return (pooled.numpy(),)


def evaluate(
    model: onnx.ModelProto | onnx.NodeProto, feeds: dict[str, np.ndarray]
) -> list[np.ndarray]:
    """The outputs of a model or of one operator, in the types that it states."""
    results: list[np.ndarray] = ReferenceEvaluator(model, new_ops=[ConvTranspose, MaxPool]).run(
        None, feeds
    )
    return results
