"""Constants first: what depends on constants alone is computed, so that weights are seen as weights.

The exporter writes a computed bias for each Conv without one and leaves parametrised weights (weight norm,
a transposed Linear, a hand-written scale) as small graphs; none of them could be folded as they are.
"""

from __future__ import annotations

import logging
import math

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common

from bnexport.passes.graphs.contract import GraphPass
from bnexport.passes.graphs.graph import bypass, can_bypass, integers
from bnexport.passes.graphs.traverse import every_node
from bnexport.passes.graphs.unread import DropUnread, forget_dropped

__all__ = ["FoldConstants"]

# In elements. The exporter's own limits (8,192 in, 262,144 out) leave large weights uncomputed; past
# these, a ConstantOfShape could ask for more memory than the model itself.
LARGEST_INPUT = 1 << 31
LARGEST_OUTPUT = 1 << 28

# What all constants together may grow by, in elements, or by as much again as the weights have: a graph of a few
# hundred bytes can ask for any amount of memory.
LARGEST_GROWTH = 1 << 26

# As much of a constant may be written out where it was written shortly: repeated, or in integers.
LARGEST_GROWN = 1 << 18
LARGEST_COPY = 1 << 22  # numbers of a constant that another operator reads, too
COPYING = ("Cast", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
GROWING = ("Cast", "Expand", "Tile")
RANDOM = ("Bernoulli", "Dropout", "Multinomial")  # the library knows the others

FURTHEST = 2**31 - 1  # as an end, past every axis


class FoldConstants(GraphPass):
    """Evaluate what is constant, turn every Constant node into an initializer, drop what is unread.

    Args:
        computed: Whether nothing is left to evaluate.
    """

    def __init__(self, *, computed: bool = False) -> None:
        super().__init__()
        self._done = computed

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold in place."""
        computed = not self._done and _computed(model)
        if computed:
            forget_dropped(model)
        lifted = common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(
            model
        )
        identities = _drop_identities(model)
        unused = DropUnread()(model)
        _lay_out(model)
        changed = [computed, lifted.modified, identities, unused.modified]
        return ir.passes.PassResult(model, any(changed))


def _computed(model: ir.Model) -> bool:
    """Whether anything was constant and is computed now."""
    if not any(map(_may_be_constant, every_node(model.graph))):
        return False
    from onnxscript import optimizer

    noisy = logging.getLogger("onnxscript")
    level = noisy.level
    noisy.setLevel(logging.ERROR)
    try:
        result = optimizer.fold_constants(
            model,
            onnx_shape_inference=False,
            input_size_limit=LARGEST_INPUT,
            output_size_limit=LARGEST_OUTPUT,
            should_fold=_Budget(model).allows,
        )
    finally:
        noisy.setLevel(level)
    return bool(result.modified)


# What the library computes from shapes alone, or simplifies.
_BY_SHAPE = frozenset(
    [
        "Shape",
        "Size",
        "Constant",
        "ConstantOfShape",
        "If",
        "Loop",
        "Scan",
        "Reshape",
        "Expand",
        "Concat",
        "Split",
        "SplitToSequence",
        "SequenceAt",
        "Gather",
        "Cast",
        "CastLike",
        "Identity",
        "Dropout",
        "Transpose",
        "Abs",
        "Where",
        "Sequence",
        "Optional",
        "Range",
        "Slice",
    ]
)


def _may_be_constant(node: ir.Node) -> bool:
    if node.domain or node.op_type in _BY_SHAPE:
        return True
    return all(value is None or value.const_value is not None for value in node.inputs)


class _Budget:
    """Whether a constant is computed: where that is worth it, and while there is room."""

    def __init__(self, model: ir.Model) -> None:
        held = (value.const_value for value in model.graph.initializers.values())
        self._left = max(LARGEST_GROWTH, sum(each.size for each in held if each is not None))

    def allows(self, node: ir.Node) -> bool | None:
        """False where not; None leaves it to the library."""
        if _worth_it(node) is False:
            return False
        growth = _growth(node)
        if growth > self._left:
            return False
        self._left -= max(growth, 0)
        return None


def _growth(node: ir.Node) -> int:
    """By how many elements the outputs exceed the inputs, where all are constants; 0 where that is not known."""
    given = [value.const_value for value in node.inputs if value is not None]
    if any(each is None for each in given):
        return 0
    if node.op_type == "Range" and not node.domain:
        start, end, step = (float(each.numpy()) for each in given if each is not None)
        return math.ceil((end - start) / step) if step and math.isfinite(end - start) else 0
    shapes = [value.shape for value in node.outputs]
    sizes = [
        math.prod(shape.numpy()) for shape in shapes if shape is not None and shape.is_static()
    ]
    return sum(sizes) - sum(each.size for each in given if each is not None)


def _worth_it(node: ir.Node) -> bool | None:
    """Not what each run draws anew, nor what takes much room in the file and no time to compute; else as usual."""
    if node.domain or node.op_type in RANDOM:
        return False if node.op_type in RANDOM else None
    given = [value for value in node.inputs if value is not None]
    if node.op_type in COPYING and any(map(_is_large_and_shared, given)):
        return False
    numbers = [value.const_value for value in given]
    if node.op_type not in GROWING or not numbers or any(each is None for each in numbers):
        return None
    first, *rest = [each.numpy() for each in numbers if each is not None]
    match node.op_type:
        case "Cast":
            size = first.size if first.dtype.kind in "iu" else 0
        case "Expand":
            size = (
                math.prod(np.broadcast_shapes(first.shape, tuple(map(int, rest[0])))) - first.size
            )
        case _:
            size = first.size * math.prod(map(int, rest[0])) - first.size
    return False if size > LARGEST_GROWN else None


def _is_large_and_shared(value: ir.Value) -> bool:
    tensor = value.const_value
    return tensor is not None and tensor.size > LARGEST_COPY and len(value.uses()) > 1


def _drop_identities(model: ir.Model) -> bool:
    """The library's own pass would make one value of two outputs."""
    modified = False
    for node in list(every_node(model.graph)):
        if _does_nothing(node) and can_bypass(node, 0):
            bypass(node, 0)
            modified = True
    return modified


def _does_nothing(node: ir.Node) -> bool:
    """An Identity, or x[0:], which the exporter writes for every ``:`` of an index."""
    if node.domain:
        return False
    if node.op_type != "Slice":
        return node.op_type == "Identity"
    starts, ends = integers(node, 1), integers(node, 2)
    steps = integers(node, 4) if len(node.inputs) > 4 else [1]
    if starts is None or ends is None or steps is None:
        return False
    return not any(starts) and min(ends) >= FURTHEST and set(steps) == {1}


def _lay_out(model: ir.Model) -> None:
    """Give every constant row-major memory: a transposed weight is a view, a channels-last one strided.

    The pass that shares equal initializers hashes the memory as it lies.
    """
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if tensor is None or isinstance(tensor, ir.ExternalTensor | ir.StringTensor):
            continue
        numbers = tensor.numpy()
        if not numbers.flags.c_contiguous:
            value.const_value = ir.tensor(np.ascontiguousarray(numbers), tensor.dtype, value.name)
