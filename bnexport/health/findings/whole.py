"""What shows only when the layers are seen together: modes, dropout, frozen beside live, counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from bnexport.health.findings.catalogue import RULES
from bnexport.health.findings.finding import Finding
from bnexport.health.findings.norm import Norm

__all__ = ["counters", "frozen", "modes"]

_NAMED = 4
# By class name as well: timm's, torchvision's and each project's own stochastic depth share no base class.
_RANDOM = ("DropPath", "StochasticDepth", "DropBlock2d", "DropBlock")


def modes(module: nn.Module, norms: Sequence[Norm]) -> Iterator[Finding]:
    """Train mode, of all or of a part, and live dropout."""
    live = [norm for norm in norms if norm.layer.training and norm.mean is not None]
    dropouts = [name for name, each in module.named_modules() if _drops(each) and each.training]
    if module.training and live:
        yield RULES["BNX101"].at("", f"{len(live)} of {len(norms)} BatchNorms are in train mode")
    else:
        for norm in live:
            what = "it is in train mode, and the model is in eval mode"
            yield RULES["BNX102"].at(norm.name, what)
    # A model that is still in training drops as it should; it must not be served so.
    mode, severity = ("train", "warning") if module.training else ("eval", "error")
    for name in dropouts:
        yield RULES["BNX103"].at(name, f"it drops; the model is in {mode} mode", severity=severity)


def frozen(module: nn.Module, norms: Sequence[Norm]) -> Iterator[Finding]:
    """Layers that no longer move beside layers that do, by their class, their mode and their gradients."""
    groups: dict[bool, list[Norm]] = {True: [], False: []}
    for norm in norms:
        if norm.mean is not None:
            groups[_is_frozen(norm, module.training)].append(norm)
    still, live = groups[True], groups[False]
    if still and live:
        few = still if len(still) <= len(live) else live
        word = "frozen" if few is still else "live"
        names = ", ".join(norm.name for norm in few[:_NAMED])
        more = f" and {len(few) - _NAMED} more" if len(few) > _NAMED else ""
        what = f"{len(still)} BatchNorms are frozen and {len(live)} are not; {word}: {names}{more}"
        yield RULES["BNX115"].at(few[0].name, what)


def counters(norms: Sequence[Norm]) -> Iterator[Finding]:
    """Layers that saw another number of batches than most did."""
    counted = [norm for norm in norms if norm.tracked]
    usual = Counter(norm.tracked for norm in counted).most_common(1)
    for norm in counted:
        if norm.tracked != usual[0][0]:
            what = f"num_batches_tracked is {norm.tracked}; {usual[0][1]} of {len(counted)} layers have {usual[0][0]}"
            yield RULES["BNX124"].at(norm.name, what)


def _is_frozen(norm: Norm, training: bool) -> bool:
    if isinstance(norm.layer.running_mean, nn.Parameter) or norm.kind.startswith("Frozen"):
        return True
    if training and not norm.layer.training:
        return True
    weight = getattr(norm.layer, "weight", None)
    return (
        isinstance(weight, Tensor) and isinstance(weight, nn.Parameter) and not weight.requires_grad
    )


def _drops(layer: nn.Module) -> bool:
    if isinstance(layer, nn.modules.dropout._DropoutNd):
        return layer.p > 0
    if type(layer).__name__ not in _RANDOM:
        return False
    chance = getattr(layer, "drop_prob", None) or getattr(layer, "p", None)
    return isinstance(chance, int | float) and chance > 0
