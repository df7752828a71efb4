"""Put plain BatchNorms in the place of synchronised and in-place ones.

`torch.nn.SyncBatchNorm` and apex's become `BatchNorm1d`, `2d` or `3d` by the rank seen. Those of
the InPlaceABN family become BatchNorm and activation, by the formulas of mapillary's inplace_abn:

    ABN:                        act(weight x + bias)
    InPlaceABN, InPlaceABNSync: act((|weight| + eps) x + bias)      x: normalised
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bnexport.errors import Refused
from bnexport.passes.modules.copying import Maker, Memo, copy_module, copy_replacing
from bnexport.passes.modules.probing import agree, answer
from bnexport.passes.modules.ranks import infer_ranks, watch_ranks
from bnexport.passes.modules.twins import BY_RANK, BatchNorm, make_activated, make_plain

__all__ = ["is_synchronised", "revert_sync_batchnorm"]

_POSITIVE_GAMMA = ("InPlaceABN", "InPlaceABNSync", "InplaceAbn")
_ACTIVATED = ("ABN", *_POSITIVE_GAMMA)
_STATE = ("running_mean", "running_var", "weight", "bias", "eps")


def revert_sync_batchnorm(module: nn.Module, inputs: tuple[Tensor, ...] | None = None) -> nn.Module:
    """A copy of ``module`` that runs, and exports, on one device and without apex or inplace_abn.

    Names, `state_dict` keys, values, dtype, device, `requires_grad`, the training flag and hooks
    are kept; a layer that stands in several places has one twin. A layer whose rank is neither
    seen nor plain from its neighbour becomes `bnexport.passes.modules.BatchNorm`, which takes any.

    A subclass with a forward of its own gives way only where a probe shows that it computes what
    BatchNorm computes; otherwise it stays, since in eval mode it needs no process group.

    Args:
        module: Left as it is.
        inputs: For one forward pass of a copy, in eval mode, to see the ranks; without them, and
            for layers that the pass does not reach, the rank is read off the preceding layer.

    Raises:
        Refused: A layer of a known family has an option that has no plain equivalent.
        UsageError: The forward pass fails on ``inputs``.
    """
    kinds = {layer: make for layer in module.modules() if (make := _maker(layer))}
    if not kinds:
        return copy_module(module)
    plain = [layer for layer, make in kinds.items() if make is make_plain]
    ranks = _ranks(module, kinds, plain, inputs) if plain else {}
    makers = dict(kinds)
    for layer in plain:
        makers[layer] = partial(make_plain, kind=BY_RANK.get(ranks.get(layer, 0), BatchNorm))
    return copy_replacing(module, makers)


def is_synchronised(layer: nn.Module) -> bool:
    """Whether the layer is a SyncBatchNorm (torch's or apex's) or one of the InPlaceABN family."""
    return isinstance(layer, nn.SyncBatchNorm) or _is_apex(layer) or _is_activated(layer)


def _maker(layer: nn.Module) -> Maker | None:
    """How to make the layer's twin; None where it stays."""
    if _is_apex(layer):
        return _apex_maker(layer)
    if _is_activated(layer):
        return _activated_maker(layer)
    if not isinstance(layer, nn.SyncBatchNorm):
        return None
    if type(layer).forward is nn.SyncBatchNorm.forward and "forward" not in vars(layer):
        return None if hasattr(layer, "parametrizations") else make_plain
    asked = answer(layer)
    return make_plain if asked and agree(_made(layer, make_plain), asked) else None


def _apex_maker(layer: nn.Module) -> Maker:
    if getattr(layer, "channel_last", False):
        raise Refused(
            "apex SyncBatchNorm with channel_last=True",
            "it normalises the last axis, which BatchNorm cannot",
            "Build the model with torch.nn.SyncBatchNorm and load the same state_dict",
        )
    return make_activated if getattr(layer, "fuse_relu", False) else make_plain


def _activated_maker(layer: nn.Module) -> Maker:
    """The formula of the layer's class, or the one that agrees with its forward, if that runs."""
    positive: Maker = partial(make_activated, gamma="positive")
    named = any(each.__name__ in _POSITIVE_GAMMA for each in type(layer).__mro__)
    formulas = [positive, make_activated] if named else [make_activated, positive]
    asked = answer(layer)
    if asked is None:
        return formulas[0]
    for make in formulas:
        if agree(_made(layer, make), asked):
            return make
    raise Refused(
        f"{type(layer).__name__} of {type(layer).__module__}",
        "its forward computes neither of the formulas that its class is known for",
        "Replace the layer by nn.BatchNorm2d and an activation",
    )


def _made(layer: nn.Module, make: Callable[[nn.Module, Memo], None]) -> nn.Module:
    # No hooks: they belong to the call, and the layers are compared by their forward.
    memo: Memo = {}
    make(layer, memo)
    twin = memo[id(layer)]
    assert isinstance(twin, nn.Module)
    return twin


def _ranks(
    module: nn.Module,
    makers: dict[nn.Module, Maker],
    plain: list[nn.Module],
    inputs: tuple[Tensor, ...] | None,
) -> dict[nn.Module, int]:
    """The rank of each layer; 0 for one that sees several."""
    ranks = infer_ranks(module)
    if inputs is None:
        return ranks
    names = {layer: name for name, layer in module.named_modules() if layer in plain}
    seen = watch_ranks(copy_replacing(module, makers), names.values(), inputs)
    for layer, name in names.items():
        kinds = {BY_RANK.get(rank, BatchNorm) for rank in seen[name]}
        if kinds:
            ranks[layer] = min(seen[name]) if len(kinds) == 1 else 0
    return ranks


def _is_apex(layer: nn.Module) -> bool:
    return any(
        each.__name__ == "SyncBatchNorm" and each.__module__.split(".")[0] == "apex"
        for each in type(layer).__mro__
    )


def _is_activated(layer: nn.Module) -> bool:
    named = any(each.__name__ in _ACTIVATED for each in type(layer).__mro__)
    has_state = all(hasattr(layer, name) for name in _STATE)
    is_text = isinstance(getattr(layer, "activation", getattr(layer, "act_name", None)), str)
    return named and has_state and is_text and not isinstance(layer, _BatchNorm)
