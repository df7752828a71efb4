"""What torch's functions are called, one name for all spellings; and a look inside those written in Python."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import torch

__all__ = ["READ", "canonical", "opened"]

# Asked of a tensor without a look at its numbers.
READ = frozenset(
    [
        "shape",
        "size",
        "dim",
        "ndimension",
        "ndim",
        "dtype",
        "device",
        "layout",
        "is_cuda",
        "is_cpu",
        "is_floating_point",
        "is_complex",
        "requires_grad",
        "is_contiguous",
        "numel",
        "nelement",
        "__len__",
        "element_size",
        "is_quantized",
        "is_sparse",
        "is_leaf",
        "grad_fn",
        "get_device",
        "names",
        "is_mkldnn",
        "is_mps",
        "is_meta",
        "is_nested",
        "is_xla",
        "is_inference",
        "__hash__",
        "T",
        "mT",
        "H",
        "is_signed",
    ]
)
_SPELLINGS = {
    "__and__": "bitwise_and",
    "__or__": "bitwise_or",
    "__xor__": "bitwise_xor",
    "__invert__": "bitwise_not",
    "__add__": "add",
    "__radd__": "add",
    "__iadd__": "add",
    "__sub__": "sub",
    "__isub__": "sub",
    "__rsub__": "rsub",
    "__mul__": "mul",
    "__rmul__": "mul",
    "__imul__": "mul",
    "__div__": "div",
    "__truediv__": "div",
    "__itruediv__": "div",
    "__idiv__": "div",
    "__rtruediv__": "rdiv",
    "__rdiv__": "rdiv",
    "__floordiv__": "floor_divide",
    "__mod__": "remainder",
    "__pow__": "pow",
    "__rpow__": "rpow",
    "__ipow__": "pow",
    "__neg__": "neg",
    "__matmul__": "matmul",
    "__eq__": "eq",
    "__ne__": "ne",
    "__lt__": "lt",
    "__le__": "le",
    "__gt__": "gt",
    "__ge__": "ge",
    "__abs__": "abs",
    "__getitem__": "getitem",
    "absolute": "abs",
    "negative": "neg",
    "subtract": "sub",
    "multiply": "mul",
    "divide": "div",
    "true_divide": "div",
    "clip": "clamp",
    "concat": "cat",
    "concatenate": "cat",
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "not_equal": "ne",
    "swapaxes": "transpose",
    "swapdims": "transpose",
    "moveaxis": "movedim",
    "T": "t",
    "H": "t",
    "mT": "mt",
    "adjoint": "mt",
    "view_as": "reshape_as",
    "special_expit": "sigmoid",
    "upsample": "interpolate",
    "_softmax": "softmax",
    "_max_pool1d": "max_pool1d",
    "_max_pool2d": "max_pool2d",
    "_max_pool3d": "max_pool3d",
    "_adaptive_max_pool1d": "adaptive_max_pool1d",
    "_adaptive_max_pool2d": "adaptive_max_pool2d",
    "type_as": "to_like",
    "fix": "trunc",
    "row_stack": "vstack",
    "linalg_matmul": "matmul",
    "unsafe_chunk": "chunk",
    "unsafe_split": "split",
    "split_with_sizes": "split",
    "split_with_sizes_copy": "split",
    "_unsafe_view": "view",
    "view_copy": "view",
    "feature_dropout": "dropout",
    "alpha_dropout": "dropout",
    "dropout1d": "dropout",
    "dropout2d": "dropout",
    "dropout3d": "dropout",
    "feature_alpha_dropout": "dropout",
}


def canonical(function: Callable[..., Any]) -> str:
    """The function's name, in-place or not, method or not; an operator of somebody's library keeps its namespace."""
    name = getattr(function, "__name__", type(function).__name__)
    if isinstance(function, torch._ops.OpOverloadPacket):
        return function._qualified_op_name
    if function in _APART:
        return _APART[function]
    if isinstance(function, types.FunctionType) and not _is_torchs(function):
        return f"{function.__module__}.{name}"  # somebody's, which may do anything by any name
    if name == "__get__":
        name = function.__self__.__name__  # type: ignore[attr-defined]
    elif name == "__set__":
        return f"__set__ {function.__self__.__name__}"  # type: ignore[attr-defined]
    space = getattr(function, "namespace", None)
    if space is not None:  # an operator called through torch.ops
        return f"{space}::{name}"
    if name.endswith("_") and not name.endswith("__") and not name.startswith("__"):
        name = name[:-1]
    return _SPELLINGS.get(name, name)


def _is_torchs(function: types.FunctionType) -> bool:
    return (function.__module__ or "").partition(".")[0] == "torch"


# Those whose arguments have another order than those of the function of the same name.
_APART: dict[Any, str] = {
    torch.Tensor.where: "tensor_where",
    torch.embedding: "torch.embedding",
    torch.batch_norm: "torch.batch_norm",
    torch.instance_norm: "torch.instance_norm",
}


def opened(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """A function of torch that is written in Python, such that the calls inside it are seen; None for any other."""
    if not isinstance(function, types.FunctionType) or not _of_torch(function):
        return None
    return _opened(function)


def _of_torch(function: types.FunctionType) -> bool:
    return function.__module__ in (
        "torch.nn.functional",
        "torch.functional",
        "torch._tensor",
        "torch",
        "torch._jit_internal",
    )


@functools.cache
def _opened(function: types.FunctionType) -> Callable[..., Any]:
    """The same code in which nobody asks whether the call should go to a mode: it has been there."""
    names = ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")
    here = {**function.__globals__, **dict.fromkeys(names, _no)}
    copy = types.FunctionType(
        function.__code__, here, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


def _no(*_: object) -> bool:
    return False
