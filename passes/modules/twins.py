"""The plain layers that stand in for synchronised and in-place BatchNorms.

A twin takes over the layer's whole state (parameters, buffers, hooks, flags and other attributes),
so that names, `state_dict` keys and values are those of the layer.
"""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from bnexport.errors import Refused
from bnexport.passes.modules.copying import Memo

__all__ = ["BY_RANK", "ActivatedBatchNorm", "BatchNorm", "make_activated", "make_plain"]

# What a synchronised layer holds for its group; a plain one has no use for it.
_GROUP_STATE = ("process_group", "ddp_gpu_size", "group", "channel_last", "fuse_relu")
_DEFAULTS: dict[str, Any] = {"eps": 1e-5, "momentum": 0.1, "track_running_stats": True}
_ACTIVATIONS = ("relu", "leaky_relu", "elu", "identity")


class BatchNorm(_BatchNorm):
    """A BatchNorm for inputs of any rank from 2: the rank is not known, or not always the same."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2D input (got {input.dim()}D input)")


class ActivatedBatchNorm(BatchNorm):
    """BatchNorm and then an activation, as in the InPlaceABN family.

    Attributes:
        activation: ``relu``, ``leaky_relu``, ``elu`` or ``identity``.
        activation_param: The negative slope of ``leaky_relu``, or alpha of ``elu``.
    """

    activation: str
    activation_param: float

    def forward(self, input: Tensor) -> Tensor:
        """Normalise, then activate."""
        y = super().forward(input)
        if self.activation == "relu":
            return functional.relu(y)
        if self.activation == "leaky_relu":
            return functional.leaky_relu(y, self.activation_param)
        if self.activation == "elu":
            return functional.elu(y, self.activation_param)
        return y


BY_RANK: dict[int, type[_BatchNorm]] = {
    2: nn.BatchNorm1d,
    3: nn.BatchNorm1d,
    4: nn.BatchNorm2d,
    5: nn.BatchNorm3d,
}


def make_plain(layer: nn.Module, memo: Memo, kind: type[_BatchNorm] = BatchNorm) -> None:
    """Enter a ``kind`` with the state of ``layer`` in the memo."""
    _take_over(layer, memo, kind)


def make_activated(layer: nn.Module, memo: Memo, gamma: str = "plain") -> None:
    """Enter an `ActivatedBatchNorm` with the state of ``layer`` in the memo.

    Args:
        layer: Of the ABN family, or apex's with a fused ReLU.
        memo: The copy's memo.
        gamma: ``plain``, or ``positive`` where the layer scales by |weight| + eps.

    Raises:
        Refused: The activation is not one that the family is known to have.
    """
    activation, parameter = _activation(layer)
    twin = _take_over(layer, memo, ActivatedBatchNorm)
    vars(twin).update(activation=activation, activation_param=parameter)
    if gamma == "positive" and twin.weight is not None:
        weight = twin.weight.detach().abs() + twin.eps
        twin.weight = nn.Parameter(weight, twin.weight.requires_grad)


def _take_over(layer: nn.Module, memo: Memo, kind: type[_BatchNorm]) -> _BatchNorm:
    twin = kind.__new__(kind)
    memo[id(layer)] = twin
    state = copy.deepcopy(vars(layer), memo)
    for name in _GROUP_STATE:
        state.pop(name, None)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        held = state["_parameters"].pop(name, None)
        state["_buffers"].setdefault(name, held)
    for name in ("weight", "bias"):
        state["_parameters"].setdefault(name, None)
    vars(twin).update(_DEFAULTS | {"affine": state["_parameters"]["weight"] is not None} | state)
    vars(twin).setdefault("num_features", _channels(twin))
    return twin


def _channels(twin: _BatchNorm) -> int:
    known = (twin.weight, twin.running_mean, twin.bias)
    return next((each.numel() for each in known if isinstance(each, Tensor)), 0)


def _activation(layer: nn.Module) -> tuple[str, float]:
    if getattr(layer, "fuse_relu", False):
        return "relu", 0.0
    name = _first(layer, ("activation", "act_name"), "identity")
    parameter = _first(layer, ("activation_param", "slope", "act_param"), 0.01)
    name = "identity" if name in (None, "none") else name
    if name not in _ACTIVATIONS:
        kind = type(layer).__name__
        known = ", ".join(_ACTIVATIONS)
        raise Refused(
            f"{kind} with activation {name!r}",
            f"the activations that {kind} is known to have are {known}",
            "Replace the layer by nn.BatchNorm2d and the activation as a module of its own",
        )
    return str(name), float(parameter)


def _first(layer: nn.Module, names: tuple[str, ...], default: Any) -> Any:
    return next((getattr(layer, name) for name in names if hasattr(layer, name)), default)
