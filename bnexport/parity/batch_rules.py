"""Where the samples lie after each operator, by where they lay before it; or how it mixes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from bnexport.passes.graphs.graph import integers, sizes, static_product

__all__ = ["LOST", "RULES", "Mixed", "Place", "Samples"]


@dataclass(frozen=True)
class Samples:
    """Along ``axis``; each sample has ``inner`` consecutive places there, the first sample first."""

    axis: int
    inner: int = 1


Place = Samples | None  # None: the value holds no samples, it is the same whatever they are
LOST = Samples(-1, 0)  # they are in it, and cannot be followed


@dataclass(frozen=True)
class Mixed:
    """What an operator does to the samples, and where they lie afterwards."""

    what: str
    then: Place = LOST


Given = Sequence[Place]
Rule = Callable[[ir.Node, Given], Place | list[Place] | Mixed]

_CROSSED = Mixed("sets the samples of one operand against those of another")


def _rank(value: ir.Value | None) -> int:
    return len(value.shape) if value is not None and value.shape is not None else -1


def _elementwise(node: ir.Node, given: Given) -> Place | Mixed:
    """Axes are aligned from the last."""
    whole = _rank(node.outputs[0])
    found = set()
    for value, place in zip(node.inputs, given, strict=True):
        if place is not None:
            if whole < 0 or _rank(value) < 0:
                return LOST
            found.add(Samples(place.axis + whole - _rank(value), place.inner))
    if len({place.axis for place in found}) > 1:
        return _CROSSED
    return found.pop() if len(found) == 1 else LOST


def _like_first(node: ir.Node, given: Given) -> Place | Mixed:
    """Operators on (batch, channels, ...): a convolution, a pool."""
    if any(given[1:]):
        return LOST  # weights that follow the samples
    place = given[0]
    if place is None or place.axis == 0:
        return place
    if node.op_type in ("Conv", "ConvTranspose"):
        return Mixed("sums over the batch axis, which lies where it has its channels")
    return place


def _batch_norm(node: ir.Node, given: Given) -> Place | Mixed:
    if node.attributes.get_int("training_mode", 0):
        return Mixed("normalises by the statistics of the batch", given[0])
    return given[0] if not any(given[1:]) or given[0] != Samples(0) else LOST


def _instance_norm(node: ir.Node, given: Given) -> Place | Mixed:
    place = given[0]
    if place is not None and place.axis > 1:
        return Mixed("normalises over the batch axis", place)
    return place


def _layer_norm(node: ir.Node, given: Given) -> Place | Mixed:
    place, rank = given[0], _rank(node.inputs[0])
    if place is None or rank < 0:
        return place and LOST
    if place.axis >= node.attributes.get_int("axis", -1) % rank:
        return Mixed("normalises over the batch axis", place)
    return place


def _along(node: ir.Node, given: Given) -> Place | Mixed:
    """Softmax, TopK, CumSum: one axis is computed over, and stays."""
    place, rank = given[0], _rank(node.inputs[0])
    if place is None or rank < 0:
        return place and LOST
    default = -1 if (node.version or 13) >= 13 or node.op_type == "TopK" else 1
    axis = node.attributes.get_int("axis", default)
    if node.op_type == "CumSum":
        given_axis = integers(node, 1)
        if given_axis is None:
            return LOST
        axis = given_axis[0]
    return Mixed("runs over the batch axis", place) if axis % rank == place.axis else place


def _reduce(node: ir.Node, given: Given) -> Place | Mixed:
    place, source = given[0], node.inputs[0]
    rank = _rank(source)
    if place is None or rank < 0:
        return place and LOST
    kept = node.attributes.get_int("keepdims", 1)
    if node.op_type.startswith("Arg"):
        axes = [node.attributes.get_int("axis", 0)]
    else:
        asked = integers(node, 1, "axes")
        if asked is None and len(node.inputs) > 1 and node.inputs[1] is not None:
            return LOST
        every = not node.attributes.get_int("noop_with_empty_axes", 0)
        axes = asked or (list(range(rank)) if every else [])
    axes = [axis % rank for axis in axes]
    if place.axis in axes:
        return Mixed("reduces over the batch axis", None)
    gone = 0 if kept else sum(axis < place.axis for axis in axes)
    return Samples(place.axis - gone, place.inner)


def _matmul(node: ir.Node, given: Given) -> Place | Mixed:
    left, right = given[0], given[1]
    ranks = [_rank(value) for value in node.inputs[:2]]
    whole = _rank(node.outputs[0])
    if min(*ranks, whole) < 0:
        return LOST
    found = set()
    for side, place in enumerate((left, right)):
        if place is None:
            continue
        summed = ranks[side] - 1 if side == 0 or ranks[side] == 1 else ranks[side] - 2
        if place.axis == summed:
            return Mixed("sums over the batch axis")
        found.add(Samples(place.axis + whole - ranks[side], place.inner))
    return found.pop() if len(found) == 1 else _CROSSED


def _gemm(node: ir.Node, given: Given) -> Place | Mixed:
    left, right = given[0], given[1]
    if left is not None and right is not None:
        return _CROSSED
    if left is not None:
        rows = node.attributes.get_int("transA", 0)
        return Samples(0, left.inner) if left.axis == rows else Mixed("sums over the batch axis")
    if right is not None:
        columns = 1 - node.attributes.get_int("transB", 0)
        return (
            Samples(1, right.inner) if right.axis == columns else Mixed("sums over the batch axis")
        )
    return LOST


def _einsum(node: ir.Node, given: Given) -> Place | Mixed:
    terms, _, result = node.attributes.get_string("equation", "").replace(" ", "").partition("->")
    if "." in terms or not result:
        return LOST
    labels = {
        term[place.axis]: place.inner
        for term, place in zip(terms.split(","), given, strict=True)
        if place is not None
    }
    if len(labels) > 1:
        return _CROSSED
    label, inner = labels.popitem()
    if label not in result:
        return Mixed("sums over the batch axis", None)
    return Samples(result.index(label), inner)


def _transpose(node: ir.Node, given: Given) -> Place:
    place, rank = given[0], _rank(node.inputs[0])
    if place is None or rank < 0:
        return place and LOST
    order = list(node.attributes.get_ints("perm", tuple(reversed(range(rank)))))
    return Samples(order.index(place.axis), place.inner)


def _reshape(node: ir.Node, given: Given) -> Place | Mixed:
    """The axis there before which, and behind which, lie as many elements as before and behind the samples."""
    place, source, result = given[0], node.inputs[0], sizes(node.outputs[0])
    here = sizes(source) if source is not None else None
    if place is None or any(given[1:]) or here is None or result is None:
        return place and LOST
    before, behind = static_product(here[: place.axis]), static_product(here[place.axis + 1 :])
    if before is None or behind is None:
        return LOST
    free = [axis for axis, size in enumerate(result) if size is None]
    if not free:
        return Mixed("writes a fixed batch into the shape")
    axis = free[0]
    ahead, after = static_product(result[:axis]), static_product(result[axis + 1 :])
    each = place.inner * behind
    if len(free) > 1 or ahead != before or not after or each % after:
        return LOST
    return Samples(axis, each // after)


def _squeeze(node: ir.Node, given: Given) -> Place | Mixed:
    place, rank = given[0], _rank(node.inputs[0])
    axes = integers(node, 1, "axes")
    if place is None or rank < 0:
        return place and LOST
    if axes is None:
        return Mixed("removes the batch axis, too, from a batch of one")
    axes = [axis % rank for axis in axes]
    if place.axis in axes:
        return Mixed("removes the batch axis")
    return Samples(place.axis - sum(axis < place.axis for axis in axes), place.inner)


def _unsqueeze(node: ir.Node, given: Given) -> Place:
    place, rank = given[0], _rank(node.inputs[0])
    axes = integers(node, 1, "axes")
    if place is None or rank < 0 or axes is None:
        return place and LOST
    whole = rank + len(axes)
    old = [axis for axis in range(whole) if axis not in {a % whole for a in axes}]
    return Samples(old[place.axis], place.inner)


def _concat(node: ir.Node, given: Given) -> Place | Mixed:
    """Two batches, one behind the other, can be cut apart again: that is not followed."""
    found = {place for place in given if place is not None}
    rank = _rank(node.outputs[0])
    if rank < 0 or len(found) > 1:
        return LOST
    place = found.pop()
    return LOST if node.attributes.get_int("axis", 0) % rank == place.axis else place


_ENDLESS = 2**31 - 1


def _cut(node: ir.Node, given: Given) -> Place | Mixed:
    place, rank = given[0], _rank(node.inputs[0])
    if place is None or rank < 0 or any(given[1:]):
        return place and LOST
    axes: list[int] | None = [node.attributes.get_int("axis", 0)]
    if node.op_type == "Slice":
        axes = integers(node, 3, "axes")
    if axes is None:
        return LOST
    found = [axis % rank for axis in axes]
    if place.axis not in found or _takes_all(node, found.index(place.axis)):
        return place
    return Mixed("takes some samples out of the batch")


def _takes_all(node: ir.Node, place: int) -> bool:
    """Whether a Slice names an axis and leaves it whole, as some exporters write ``x[:, 1:]``."""
    if node.op_type != "Slice":
        return False
    starts, ends = integers(node, 1, "starts"), integers(node, 2, "ends")
    steps = integers(node, 4) or [1] * (place + 1)
    if starts is None or ends is None:
        return False
    return starts[place] == 0 and ends[place] >= _ENDLESS and steps[place] == 1


def _gather(node: ir.Node, given: Given) -> Place | Mixed:
    place, picked = given[0], given[1]
    rank, count = _rank(node.inputs[0]), _rank(node.inputs[1])
    if (place is not None and picked is not None) or min(rank, count) < 0:
        return LOST
    axis = node.attributes.get_int("axis", 0) % rank
    if picked is not None:
        return Samples(axis + picked.axis, picked.inner)
    if place is None or place.axis == axis:
        # Indices that are computed may be all of them: an as_strided becomes such a Gather.
        fixed = node.inputs[1] is not None and node.inputs[1].const_value is not None
        return Mixed("takes some samples out of the batch") if fixed else LOST
    return Samples(place.axis + (count - 1 if place.axis > axis else 0), place.inner)


def _flatten(node: ir.Node, given: Given) -> Place:
    place, source = given[0], node.inputs[0]
    here = sizes(source) if source is not None else None
    if place is None or here is None:
        return place and LOST
    cut = node.attributes.get_int("axis", 1) % (len(here) + 1)
    side, axis = (here[:cut], 0) if place.axis < cut else (here[cut:], 1)
    within = place.axis - (0 if axis == 0 else cut)
    after = static_product(side[within + 1 :])
    if static_product(side[:within]) != 1 or after is None:
        return LOST
    return Samples(axis, place.inner * after)


def _pad(node: ir.Node, given: Given) -> Place | Mixed:
    place, amounts, rank = given[0], integers(node, 1, "pads"), _rank(node.inputs[0])
    if place is None or amounts is None or len(amounts) != 2 * rank:
        return place and LOST
    padded = amounts[place.axis] or amounts[place.axis + rank]
    return Mixed("pads the batch axis") if padded else place


def _recurrent(node: ir.Node, given: Given) -> list[Place] | Mixed:
    """X is (time, batch, features), Y (time, direction, batch, features), the last states without time."""
    place, layout = given[0], node.attributes.get_int("layout", 0)
    if place is None or layout:
        return [LOST] * len(node.outputs)
    if place.axis != 1:
        return Mixed("runs over the batch axis, as if it were time")
    states: list[Place] = [Samples(1)] * (len(node.outputs) - 1)
    return [Samples(2), *states]


def _shape(node: ir.Node, given: Given) -> Place:
    return None


def _spread(node: ir.Node, given: Given) -> Place:
    place, more = given[0], _rank(node.outputs[0]) - _rank(node.inputs[0])
    if place is None or _rank(node.inputs[0]) < 0 or more < 0:
        return place and LOST
    return Samples(place.axis + more, place.inner)


def _names(text: str) -> list[str]:
    return text.split()


_POINTWISE = _names("""
    Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike
    Ceil Celu Clip Cos Cosh DequantizeLinear Div Dropout Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid
    HardSwish Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow
    QuantizeLinear Reciprocal Relu Round Selu Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Swish Tan Tanh
    ThresholdedRelu Where Xor
""")
_WINDOWS = _names("""
    AveragePool Conv ConvTranspose DepthToSpace GlobalAveragePool GlobalLpPool GlobalMaxPool GroupNormalization LRN
    LpPool MaxPool Resize SpaceToDepth Upsample
""")
_REDUCTIONS = _names("""
    ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    ReduceSumSquare
""")

RULES: dict[str, Rule] = {
    **dict.fromkeys(_POINTWISE, _elementwise),
    **dict.fromkeys(_WINDOWS, _like_first),
    **dict.fromkeys(_REDUCTIONS, _reduce),
    **dict.fromkeys(
        ("CumSum", "Hardmax", "LogSoftmax", "LpNormalization", "Softmax", "TopK"), _along
    ),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), _layer_norm),
    **dict.fromkeys(("Slice", "Split"), _cut),
    **dict.fromkeys(("GRU", "LSTM", "RNN"), _recurrent),
    **dict.fromkeys(("Expand", "Tile"), _spread),
    **dict.fromkeys(("Shape", "Size"), _shape),
    "BatchNormalization": _batch_norm,
    "Concat": _concat,
    "Einsum": _einsum,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "InstanceNormalization": _instance_norm,
    "MatMul": _matmul,
    "Pad": _pad,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
