"""What TensorRT refuses, in words, and what to do about it: docs/tensorrt.md has what was tried."""

from __future__ import annotations

import re

__all__ = ["plain", "remedy"]

_QUOTED = re.compile(r'&& "(.*)"')
# The C++ condition that failed, and whatever stands before it.
_ASSERTION = re.compile(r"^.*Assertion failed: .*?: ", re.DOTALL)
_UNKNOWN = "Use --target onnx, or replace the operator in the model"

_OUTSIDE = "compute it before or after the engine"
_ADVICE: tuple[tuple[str, str, str], ...] = (
    # operator, words of the refusal, remedy
    ("", "Strided & Dilated Deconv", "Give that ConvTranspose a stride or a dilation, not both"),
    (
        "MaxPool",
        "",
        "Leave return_indices out: upsample with Resize or ConvTranspose, not MaxUnpool",
    ),
    ("NonZero", "", "Keep the shape: torch.where or a product in place of indexing by a mask"),
    ("Col2Im", "", "In place of Fold, write a ConvTranspose with fixed weights, or PixelShuffle"),
    ("DFT", "", f"Use torch.stft, which becomes a convolution, or {_OUTSIDE}"),
    ("STFT", "", f"Use a convolution with the window's sines and cosines, or {_OUTSIDE}"),
    ("Resize", "Antialias", "Say antialias=False, or resize before the engine"),
    ("Einsum", "", "Write the Einsum with lower-case letters, no ellipsis, at most two operands"),
    ("", "UINT8", "Go by way of int32: x.to(torch.int32)"),
    ("Cast", "data type", "Cast to int32, int64, float16 or float32"),
    (
        "",
        "reduction type",
        f"A scatter that adds is not supported: use a product with a mask, or {_OUTSIDE}",
    ),
    ("", "initializer", "Store that constant as float32, float16, int32, int64 or bool"),
    ("", "build-time constant", "Make it a constant of the model, not something it computes"),
    ("Unique|Det|Bernoulli|SequenceAt", "", f"Take it out of the exported part: {_OUTSIDE}"),
    ("Loop|Scan|If", "", "Write the loop out, or the branch as torch.where"),
    ("", "plugin", "Replace the operator in the model: no plugin is loaded on purpose"),
    ("", "Int8|Q/DQ|quant", "Quantise with NVIDIA ModelOpt, and convert what it writes"),
)


def plain(text: str) -> str:
    """The parser's sentence without the C++ condition that it grew from."""
    if "Plugin not found" in text or "not found in plugin registry" in text:
        return "it is no operator of TensorRT, and no plugin of that name is loaded"
    if text.strip() in ("false", ""):
        return "it is not supported"
    quoted = _QUOTED.search(text)
    sentence = quoted.group(1) if quoted else _ASSERTION.sub("", text)
    return sentence.strip().rstrip(".!")


def remedy(operator: str, why: str) -> str:
    """What to do about a refusal.

    Args:
        operator: The ONNX operator; empty where it is not known.
        why: What was said of it.
    """
    for operators, words, advice in _ADVICE:
        named = not operators or operator in operators.split("|")
        if named and (not words or re.search(words, why, re.IGNORECASE)):
            return f"{advice}; or use --target onnx"
    return _UNKNOWN
