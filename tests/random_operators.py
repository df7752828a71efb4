"""The operators of the random graphs: each follows a value, with drawn axes, pads, groups and constants."""

from __future__ import annotations

import numpy as np
from random_graphs import Sketch, Unsuited, operator

__all__: list[str] = []


def need(condition: bool) -> None:
    if not condition:
        raise Unsuited


def divisors(size: int) -> list[int]:
    return [each for each in range(1, size + 1) if size % each == 0]


def vector(g: Sketch, x: str, axis: int) -> str:
    """A constant along one axis, with as many axes of size one before it as it takes or as are allowed."""
    rank, size = len(g.shape(x)), g.shape(x)[axis]
    shape = [1] * (rank - axis)
    shape[0] = size
    return g.numbers(*[1] * g.pick([0, axis]), *shape)


@operator(12)
def batch_norm(g: Sketch, x: str) -> str:
    need(len(g.shape(x)) > 1)
    channels = g.shape(x)[1]
    means = [g.numbers(channels) for _ in range(3)]
    variance = g.numbers(channels, positive=True)
    return g.node("BatchNormalization", x, *means, variance, epsilon=g.pick([1e-5, 1e-3]))


@operator(4)
def by_hand(g: Sketch, x: str) -> str:
    """(x - mean) / sqrt(var + eps) * weight + bias, along any axis but the batch's."""
    axis = g.pick(range(1, len(g.shape(x))))
    shape = [1] * (len(g.shape(x)) - axis)
    shape[0] = g.shape(x)[axis]
    spread = g.node("Add", g.numbers(*shape, positive=True), g.numbers(1, positive=True))
    centred = g.node("Sub", x, g.numbers(*shape))
    scaled = g.node("Div", centred, g.node("Sqrt", spread))
    return g.node("Add", g.node("Mul", scaled, g.numbers(*shape)), g.numbers(*shape))


@operator(8)
def elementwise(g: Sketch, x: str) -> str:
    axis = g.pick([1, 1, *range(1, len(g.shape(x)))])
    constant = vector(g, x, axis) if g.chance(0.8) else g.numbers(*g.pick([(), (1,), (1, 1)]))
    op = g.pick(["Mul", "Add", "Sub", "Div"])
    if op == "Div":
        need(bool(np.abs(g.arrays[constant]).min() > 0.05))
        return g.node(op, x, constant)
    return g.node(op, *g.pick([(x, constant), (constant, x)]))


@operator(2)
def over_positions(g: Sketch, x: str) -> str:
    """A constant that varies along more than one axis, or makes an axis of size one wider."""
    shape = [g.pick([1, size]) if axis else 1 for axis, size in enumerate(g.shape(x))]
    shape = [3 if size == 1 and axis and g.chance(0.1) else size for axis, size in enumerate(shape)]
    return g.node(g.pick(["Mul", "Add"]), x, g.numbers(*shape))


@operator(2)
def tiled_batch_norm(g: Sketch, x: str) -> str:
    """What the exporter writes for an InstanceNorm with tracked statistics, of a batch of one that is free."""
    size = g.shape(x)
    need(len(size) > 2)
    sizes = g.node("Shape", x)
    batch = g.node("Slice", sizes, g.integers(0), g.integers(1))
    wide = g.node("Reshape", x, g.integers(1, -1, *size[2:]))
    parameters = [
        g.node("Tile", g.numbers(size[1], positive=index == 3), batch) for index in range(4)
    ]
    return g.node("Reshape", g.node("BatchNormalization", wide, *parameters), sizes)


@operator(10)
def conv(g: Sketch, x: str) -> str:
    size = g.shape(x)
    need(len(size) in (3, 4))
    spatial = len(size) - 2
    group = g.pick([1, 1, 1, *divisors(size[1])])
    filters = group * g.pick([1, 2, 3])
    kernel = [g.pick([1, 1, 2, 3]) for _ in range(spatial)]
    bias = [g.numbers(filters)] * g.chance(0.5)
    options = {"group": group, "strides": [g.pick([1, 1, 1, 2]) for _ in range(spatial)]}
    if g.chance(0.15):
        options["dilations"] = [g.pick([1, 2]) for _ in range(spatial)]
    elif g.chance(0.1):  # ONNX Runtime takes no dilation with it
        options["auto_pad"] = g.pick(["SAME_UPPER", "SAME_LOWER", "VALID"])
    elif g.chance(0.6):
        options["pads"] = [g.pick([0, 1, 1]) for _ in range(2 * spatial)]
    return g.node("Conv", x, g.numbers(filters, size[1] // group, *kernel), *bias, **options)


@operator(3)
def conv_transpose(g: Sketch, x: str) -> str:
    size = g.shape(x)
    need(len(size) in (3, 4) and max(size[2:]) < 8)
    spatial = len(size) - 2
    group, each = g.pick(divisors(size[1])), g.pick([1, 2])
    strides = [g.pick([1, 2]) for _ in range(spatial)]
    kernel = [g.pick([1, 2, 3]) for _ in range(spatial)]
    bias = [g.numbers(group * each)] * g.chance(0.5)
    options = {"group": group, "strides": strides}
    if g.chance(0.4):
        options["pads"] = [g.pick([0, 1]) for _ in range(2 * spatial)]
    if g.chance(0.4):
        options["output_padding"] = [g.pick(range(stride)) for stride in strides]
    weight = g.numbers(size[1], each, *kernel)
    return g.node("ConvTranspose", x, weight, *bias, **options)


@operator(4)
def gemm(g: Sketch, x: str) -> str:
    size, outputs = g.shape(x), g.pick([1, 3, 4, 6])
    need(len(size) == 2)
    options = {}
    if g.chance(0.5):
        options = {"alpha": g.pick([1.0, 0.5, -2.0]), "beta": g.pick([1.0, 0.0, 3.0])}
    turned = g.chance(0.5)
    weight = g.numbers(*((outputs, size[1]) if turned else (size[1], outputs)))
    if g.chance(0.15):
        x, options["transA"] = g.node("Transpose", x, perm=[1, 0]), 1
    bias = [g.numbers(*g.pick([(outputs,), (outputs,), (1, outputs), (1,), (1, 1)]))]
    return g.node("Gemm", x, weight, *bias * g.chance(0.6), transB=int(turned), **options)


@operator(6)
def matmul(g: Sketch, x: str) -> str:
    size, outputs = g.shape(x), g.pick([1, 3, 4, 6])
    need(len(size) > 1)
    if len(size) > 2 and g.chance(0.3):
        return g.node("MatMul", g.numbers(outputs, size[-2]), x)
    if len(size) == 4 and g.chance(0.2):
        return g.node("MatMul", x, g.numbers(g.pick([1, size[1]]), size[-1], outputs))
    return g.node("MatMul", x, g.numbers(size[-1], outputs))


@operator(2)
def einsum(g: Sketch, x: str) -> str:
    size, outputs = g.shape(x), g.pick([3, 4])
    equations = {
        4: [
            ("nchw,co->nohw", 1),
            ("nchw,oc->nohw", -1),
            ("nchw,wo->ncho", 3),
            ("nchw,co->nhwo", 1),
        ],
        3: [("blk,km->blm", 2), ("blk,lm->bmk", 1), ("blk,mk->blm", -2)],
        2: [("bk,km->bm", 1)],
    }
    equation, axis = g.pick(equations.get(len(size), []))
    weight = g.numbers(size[axis], outputs) if axis > 0 else g.numbers(outputs, size[-axis])
    return g.node("Einsum", x, weight, equation=equation)


@operator(1)
def embedding(g: Sketch, x: str) -> str:
    need(len(g.inputs) < 3)
    rows = g.indices(5, g.pick([3, 4]))
    result = g.node("Gather", g.numbers(5, g.pick([3, 4])), rows)
    return g.node("Transpose", result, perm=[0, 2, 1]) if g.chance(0.5) else result


@operator(2)
def chosen_channels(g: Sketch, x: str) -> str:
    axis = g.pick(range(1, len(g.shape(x))))
    size = g.shape(x)[axis]
    chosen = [g.pick(range(-size, size)) for _ in range(g.pick([1, size, size + 1]))]
    return g.node("Gather", x, g.integers(*chosen), axis=axis)


@operator(5)
def activation(g: Sketch, x: str) -> str:
    if g.chance(0.25):
        return g.node("LeakyRelu", x, alpha=g.pick([0.1, -0.5, 2.0]))
    return g.node(g.pick(["Relu", "Relu", "Abs", "Neg", "Sigmoid", "Tanh", "Elu", "HardSwish"]), x)


@operator(2)
def prelu(g: Sketch, x: str) -> str:
    size = g.shape(x)
    slope = g.pick(
        [(1,), (size[-1],), (size[1], *[1] * (len(size) - 2)) if len(size) > 1 else (1,)]
    )
    return g.node("PRelu", x, g.numbers(*slope))


@operator(1)
def clip(g: Sketch, x: str) -> str:
    low = g.numbers()
    return g.node("Clip", x, low, g.node("Add", low, g.numbers(positive=True)))


@operator(1)
def softmax(g: Sketch, x: str) -> str:
    return g.node("Softmax", x, axis=g.pick(range(1, len(g.shape(x)))))


@operator(2)
def nothing(g: Sketch, x: str) -> str:
    return g.node(g.pick(["Identity", "Dropout"]), x)


@operator(1)
def normalization(g: Sketch, x: str) -> str:
    size = g.shape(x)
    need(len(size) > 2)
    if g.chance(0.5):
        scale, bias = g.numbers(size[1]), g.numbers(size[1])
        return g.node("InstanceNormalization", x, scale, bias)
    return g.node("LayerNormalization", x, g.numbers(size[-1]), g.numbers(size[-1]))


@operator(4)
def pool(g: Sketch, x: str) -> str:
    spatial = len(g.shape(x)) - 2
    need(spatial in (1, 2))
    op = g.pick(["AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool"])
    if op.startswith("Global"):
        need(spatial == 2)  # the reference evaluator loses an axis
        return g.node(op, x)
    options = {"kernel_shape": [g.pick([2, 3]) for _ in range(spatial)]}
    options["strides"] = [g.pick([1, 2])] * spatial
    if g.chance(0.5):
        options["pads"] = [g.pick([0, 1]) for _ in range(2 * spatial)]
    if op == "AveragePool":
        options["count_include_pad"] = g.pick([0, 1])
    return g.node(op, x, **options)


@operator(3)
def reduce(g: Sketch, x: str) -> str:
    axes = [axis for axis in range(1, len(g.shape(x))) if g.chance(0.6)]
    need(bool(axes))
    op = g.pick(["ReduceMean", "ReduceMean", "ReduceMax", "ReduceSum"])
    if len(axes) == len(g.shape(x)) - 1 or g.chance(0.6):
        return g.node(op, x, g.integers(*axes), keepdims=1)
    return g.node(op, x, g.integers(*axes), keepdims=0)


@operator(3)
def resize(g: Sketch, x: str) -> str:
    size = g.shape(x)
    need(len(size) in (3, 4) and max(size[2:]) < 8)
    targets = [g.pick([each, 2 * each, each + 1]) for each in size[2:]]
    options = {"mode": g.pick(["nearest", "linear", "linear", "cubic"])}
    if options["mode"] == "cubic":
        need(len(size) == 4)  # ONNX Runtime has no other
        options["exclude_outside"] = g.pick([0, 1])
    modes = ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"]
    options["coordinate_transformation_mode"] = g.pick(modes)
    axes = list(range(2, len(size)))
    return g.node("Resize", x, "", "", g.integers(*targets), axes=axes, **options)


@operator(2)
def blocks(g: Sketch, x: str) -> str:
    need(len(g.shape(x)) == 4)
    if g.chance(0.5):
        return g.node("DepthToSpace", x, blocksize=2, mode=g.pick(["DCR", "CRD"]))
    return g.node("SpaceToDepth", x, blocksize=2)


@operator(4)
def transpose(g: Sketch, x: str) -> str:
    rest = list(range(1, len(g.shape(x))))
    g.random.shuffle(rest)
    return g.node("Transpose", x, perm=[0, *rest])


@operator(4)
def reshape(g: Sketch, x: str) -> str:
    """Two neighbours become one axis, or one becomes two; written with 0 and -1 as it comes."""
    size = list(g.shape(x))
    axis = g.pick(range(1, len(size)))
    if axis + 1 < len(size) and g.chance(0.5):
        target = [*size[:axis], size[axis] * size[axis + 1], *size[axis + 2 :]]
    else:
        part = g.pick(divisors(size[axis]))
        target = [*size[:axis], part, size[axis] // part, *size[axis + 1 :]]
    need(len(target) < 6)
    target[0] = 0
    if g.chance(0.4):
        target[g.pick(range(1, len(target)))] = -1
    return g.node("Reshape", x, g.integers(*target))


@operator(2)
def flatten(g: Sketch, x: str) -> str:
    return g.node("Flatten", x, axis=1)


@operator(2)
def shuffle(g: Sketch, x: str) -> str:
    size = g.shape(x)
    need(len(size) > 2)
    groups = g.pick(divisors(size[1]))
    split = g.node("Reshape", x, g.integers(0, groups, size[1] // groups, *size[2:]))
    perm = [0, 2, 1, *range(3, len(size) + 1)]
    return g.node("Reshape", g.node("Transpose", split, perm=perm), g.integers(0, *size[1:]))


@operator(1)
def axis_of_one(g: Sketch, x: str) -> str:
    rank = len(g.shape(x))
    ones = [axis for axis, size in enumerate(g.shape(x)) if axis and size == 1]
    if ones and rank > 2 and g.chance(0.7):
        return g.node("Squeeze", x, g.integers(g.pick(ones)))
    need(rank < 5)
    return g.node("Unsqueeze", x, g.integers(g.pick(range(1, rank + 1))))


@operator(3)
def cut(g: Sketch, x: str) -> str:
    axis = g.pick(range(1, len(g.shape(x))))
    size = g.shape(x)[axis]
    if g.chance(0.2):
        start, end, step = g.integers(-1), g.integers(-99), g.integers(-1)
    else:
        start, end = g.integers(g.pick(range(size))), g.integers(g.pick([size, 99, -1]))
        step = g.integers(g.pick([1, 1, 2]))
    return g.node("Slice", x, start, end, g.integers(axis), step)


@operator(3)
def split(g: Sketch, x: str) -> list[str]:
    axis = g.pick([1, *range(1, len(g.shape(x)))])
    size = g.shape(x)[axis]
    need(size > 1)
    first = g.pick(range(1, size))
    parts: list[str] = g.node("Split", x, g.integers(first, size - first), outputs=2, axis=axis)
    return parts


def fellows(g: Sketch, x: str, axis: int | None) -> list[str]:
    """The values of ``x``'s shape, but for one axis."""
    size = g.shape(x)
    return [
        name
        for name in g.recent
        if len(g.shape(name)) == len(size)
        and all(
            a == b
            for index, (a, b) in enumerate(zip(g.shape(name), size, strict=True))
            if index != axis
        )
    ]


@operator(4)
def concat(g: Sketch, x: str) -> str:
    axis = g.pick([1, 1, *range(1, len(g.shape(x)))])
    others = [g.pick(fellows(g, x, axis)) for _ in range(g.pick([1, 1, 2]))]
    axis = g.pick([axis, axis - len(g.shape(x))])
    return g.node("Concat", x, *others, axis=axis)


@operator(8)
def meet(g: Sketch, x: str) -> str:
    return g.node(g.pick(["Add", "Add", "Sub", "Mul", "Max"]), x, g.pick(fellows(g, x, None)))


@operator(1)
def choose(g: Sketch, x: str) -> str:
    """By the size of one value, or against a constant."""
    other = g.pick(fellows(g, x, None)) if g.chance(0.5) else g.numbers(*g.pick([(), (1,)]))
    if g.chance(0.5):
        return g.node(g.pick(["Max", "Min"]), x, other)
    large = g.node("Greater", g.pick(fellows(g, x, None)), g.numbers(positive=True))
    return g.node("Where", large, *g.pick([(x, other), (other, x)]))


@operator(2)
def meet_broadcast(g: Sketch, x: str) -> str:
    """Two values of different shape."""
    size = g.shape(x)
    others = [
        name
        for name in g.recent
        if g.shape(name) != size
        and all(
            a == b or 1 in (a, b) for a, b in zip(g.shape(name)[::-1], size[::-1], strict=False)
        )
    ]
    pair = (x, g.pick(others))
    return g.node(g.pick(["Add", "Sub", "Mul", "Max", "Min"]), *g.pick([pair, pair[::-1]]))


@operator(3)
def pad(g: Sketch, x: str) -> str:
    rank = len(g.shape(x))
    amounts = [g.pick([0, 1]) if index % rank > 1 else 0 for index in range(2 * rank)]
    if g.chance(0.15):
        amounts[1] = 1
    mode = g.pick(["constant", "reflect", "edge", "wrap"])
    need(mode != "reflect" or min(g.shape(x)[1:]) > 1)
    value = [g.numbers()] * (mode == "constant" and g.chance(0.4))
    return g.node("Pad", x, g.integers(*amounts), *value, mode=mode)


@operator(1)
def repeat(g: Sketch, x: str) -> str:
    size = g.shape(x)
    if g.chance(0.5):
        return g.node("Tile", x, g.integers(1, *[g.pick([1, 1, 2]) for _ in size[1:]]))
    wider = [1, *[3 if each == 1 and g.chance(0.5) else 1 for each in size[1:]]]
    return g.node("Expand", x, g.integers(*wider))


@operator(5)
def branches(g: Sketch, x: str) -> str:
    """Convolutions of one value that keep its shape, each with a BatchNorm or none, summed."""
    size = g.shape(x)
    need(len(size) in (3, 4))
    group, found = g.pick(divisors(size[1])), []
    for _ in range(g.pick([1, 2, 3])):
        kernel = [g.pick([1, 3]) for _ in size[2:]]
        pads = [each // 2 for each in kernel] * 2
        weight = g.numbers(size[1], size[1] // group, *kernel)
        branch = g.node("Conv", x, weight, pads=pads, group=group)
        found.append(batch_norm(g, branch) if g.chance(0.6) else branch)
    if g.chance(0.5):
        found.append(batch_norm(g, x) if g.chance(0.6) else x)
    g.random.shuffle(found)
    total, *others = found
    for other in others:
        total = g.node("Add", total, other)
    return total


@operator(2)
def gate(g: Sketch, x: str) -> str:
    """Squeeze and excite."""
    size = g.shape(x)
    need(len(size) == 4)
    squeezed = g.node("GlobalAveragePool", x)
    excited = g.node("Conv", squeezed, g.numbers(size[1], size[1], 1, 1))
    return g.node("Mul", x, g.node("Sigmoid", excited))


@operator(3)
def embedded(g: Sketch, x: str) -> str:
    """One number for each channel, or for all of them, meets an image; or loses its first axis before."""
    size = g.shape(x)
    need(len(size) == 4)
    squeezed = g.node("GlobalAveragePool", x)
    channels = g.pick([size[1], size[1], 1])
    small = g.node("Conv", squeezed, g.numbers(channels, size[1], 1, 1))
    if channels == 1 and g.chance(0.3):
        small = g.node("Squeeze", small, g.integers(1))
    pair = (x, small)
    return g.node(g.pick(["Add", "Sub", "Mul", "Max", "Min"]), *g.pick([pair, pair[::-1]]))


@operator(2)
def shaped_alike(g: Sketch, x: str) -> str:
    """A constant in the shape of another value."""
    other = g.pick(fellows(g, x, None))
    wide = g.numbers(*(size if axis == 1 else 1 for axis, size in enumerate(g.shape(x))))
    spread = g.node("Expand", g.pick([wide, g.numbers()]), g.node("Shape", other))
    return g.node(g.pick(["Add", "Mul", "Max"]), x, spread)


@operator(3)
def preactivated(g: Sketch, x: str) -> list[str]:
    """A BatchNorm before a Conv that pads, on a stream that goes on in a sum: the other side has one source with it."""
    need(len(g.shape(x)) == 4)
    channels = g.pick([1, 2, 4])
    both = g.node("Conv", x, g.numbers(2 * channels, g.shape(x)[1], 1, 1))
    stream, beside = g.node("Split", both, outputs=2, axis=1, num_outputs=2)
    if g.chance(0.5):
        stream = g.node("MaxPool", stream, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    weight = g.numbers(channels, channels, 3, 3)
    onward = g.node("Conv", batch_norm(g, stream), weight, pads=[1, 1, 1, 1])
    beside = g.pick([beside, beside, g.pick(fellows(g, stream, None))])
    added = g.node(g.pick(["Add", "Sub"]), *g.pick([(stream, beside), (beside, stream)]))
    return [onward, added]


@operator(2)
def dense(g: Sketch, x: str) -> list[str]:
    """Two normalised readings of one value, as DenseNet has them."""
    need(len(g.shape(x)) in (3, 4))
    return [g.node("Relu", batch_norm(g, x)) for _ in range(2)]


@operator(1)
def in_double(g: Sketch, x: str) -> str:
    """A BatchNorm of double precision in a graph of single."""
    need(g.dtype is np.float32 and len(g.shape(x)) > 1)
    channels = g.shape(x)[1]
    wide = g.node("Cast", x, to=11)
    scale = g.node(
        "Mul", wide, g.node("Cast", g.numbers(channels, *[1] * (len(g.shape(x)) - 2)), to=11)
    )
    return g.node("Cast", scale, to=1)
