"""What the neighbours of a BatchNorm say, and the shapes that reach it."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bnexport.health.findings.catalogue import RULES
from bnexport.health.findings.finding import Finding
from bnexport.health.findings.norm import Norm
from bnexport.health.wiring import Step
from bnexport.passes.modules import is_synchronised

__all__ = ["EVERY", "is_activation", "label"]

_FUNCTIONS = frozenset(
    (
        *("relu", "relu6", "leaky_relu", "prelu", "elu", "selu", "celu", "gelu", "silu", "mish"),
        *(
            "hardswish",
            "hardsigmoid",
            "sigmoid",
            "tanh",
            "softplus",
            "hardtanh",
            "clamp",
            "clamp_min",
        ),
        *("threshold", "logsigmoid", "softsign"),
    )
)
_ATTENTION = ("scaled_dot_product_attention",)
_SEQUENCES = (
    nn.RNNBase,
    nn.MultiheadAttention,
    nn.Embedding,
    nn.LayerNorm,
    nn.TransformerEncoderLayer,
)


def synchronised(norm: Norm) -> Iterator[Finding]:
    """SyncBatchNorm, apex's, and the in-place ones."""
    if is_synchronised(norm.layer):
        yield RULES["BNX116"].at(norm.name, f"it is a {norm.kind}")


def behind_activation(norm: Norm) -> Iterator[Finding]:
    """ReLU and then BatchNorm."""
    if norm.place and (steps := norm.place.follows) and all(map(is_activation, steps)):
        yield RULES["BNX117"].at(norm.name, f"it follows {_listed(steps)}")


def redundant_bias(norm: Norm) -> Iterator[Finding]:
    """A linear layer with a bias, of which nothing else reads the output."""
    steps = norm.place.follows if norm.place else ()
    if len(steps) != 1 or not isinstance(norm.layer, _BatchNorm):
        return
    (step,) = steps
    bias = getattr(step.layer, "bias", None)
    linear = (nn.Linear, nn.modules.conv._ConvNd)
    if isinstance(step.layer, linear) and isinstance(bias, Tensor) and len(step.behind) == 1:
        yield RULES["BNX118"].at(norm.name, f"{label(step)} before it has a bias of {len(bias)}")


def one_value(norm: Norm) -> Iterator[Finding]:
    """Behind a convolution, and all of the map is one pixel."""
    shapes = norm.place.shapes if norm.place else ()
    if shapes and all(len(shape) > 2 and set(shape[2:]) == {1} for shape in shapes):
        shown = "x".join(map(str, ("N", *shapes[0][1:])))
        yield RULES["BNX119"].at(norm.name, f"its input is {shown}")


def sequence(norm: Norm) -> Iterator[Finding]:
    """Behind what works on sequences: recurrent layers, attention, embeddings, a Linear over steps."""
    steps = any(len(shape) == 3 for shape in norm.place.shapes) if norm.place else False
    for step in norm.place.follows if norm.place else ():
        linear = steps and isinstance(step.layer, nn.Linear)
        if linear or isinstance(step.layer, _SEQUENCES) or step.kind in _ATTENTION:
            yield RULES["BNX120"].at(norm.name, f"it follows {label(step)}")
            return


def shared(norm: Norm) -> Iterator[Finding]:
    """One layer in several places, or called several times."""
    calls = len(norm.place.shapes) if norm.place else 1
    if len(norm.names) > 1:
        others = ", ".join(norm.names[1:4]) + (" and more" if len(norm.names) > 4 else "")
        yield RULES["BNX121"].at(norm.name, f"the same layer is {others}, too")
    elif calls > 1:
        yield RULES["BNX121"].at(norm.name, f"one forward pass calls it {calls} times")


def is_activation(step: Step) -> bool:
    """Whether the step is an activation by itself."""
    if step.layer is not None:
        return type(step.layer).__module__ == nn.ReLU.__module__ and not isinstance(
            step.layer, nn.MultiheadAttention
        )
    return step.kind in _FUNCTIONS


def label(step: Step) -> str:
    """``Conv2d conv1``, or the name of a function."""
    return f"{step.kind} {step.name}".strip()


def _listed(steps: tuple[Step, ...]) -> str:
    return ", ".join(map(label, steps[:3])) + (" and more" if len(steps) > 3 else "")


EVERY = (synchronised, behind_activation, redundant_bias, one_value, sequence, shared)
