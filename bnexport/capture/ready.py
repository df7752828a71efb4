"""Make an exported program ready for torch.onnx, so that it need not be traced a second time.

torch.onnx decomposes a program before it translates it, by running all of it again: of what the export of a
ResNet-50 takes that is a third. A network in eval mode has few operators that need it, and each of these is another
operator by another name:

    batch_norm(x, w, b, mean, var, training=False, ...)   _native_batch_norm_legit_no_training(...)[0]
    conv_transpose(x, w, b, ...)                           convolution(x, w, b, ..., transposed=True, ...)
    adaptive_avg_pool(x, 1)                                mean(x, axes, keepdim=True)
    dropout(x, train=False)                                x
    relu_(x), of an x that nobody else reads               relu(x)

Where anything else is left that torch.onnx would decompose, it does.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

import torch
from torch.export import ExportedProgram
from torch.fx import Node

__all__ = ["is_ready", "make_ready"]

_aten = torch.ops.aten
_Rule = Callable[[Node], None]


def make_ready(program: ExportedProgram) -> ExportedProgram:
    """Rewrite what is named above, in place; the program then answers itself whether it is to be decomposed."""
    for node in list(program.graph.nodes):
        rule = _RULES.get(node.target) if node.op == "call_function" else None
        if rule is not None:
            rule(node)
    program.graph.lint()
    program.graph_module.recompile()
    decompose = program.run_decompositions

    def run_decompositions(
        decomp_table: Mapping[Any, Any] | None = None, *args: Any, **kwargs: Any
    ) -> ExportedProgram:
        if decomp_table is None or args or kwargs or not is_ready(program, decomp_table):
            decomposed: ExportedProgram = decompose(decomp_table, *args, **kwargs)
            return decomposed
        return program

    program.run_decompositions = run_decompositions
    return program


def is_ready(program: ExportedProgram, table: Collection[Any] = ()) -> bool:
    """Whether no operator is in the table of what torch.onnx decomposes, writes to anything, or holds a graph."""
    for node in program.graph.nodes:
        if node.op == "get_attr":
            return False  # the graph of a branch
        if node.op != "call_function":
            continue
        target = node.target
        if isinstance(target, torch._ops.OpOverload):
            if target in table or target._schema.is_mutable:
                return False
            if _is_composite(target) and str(target) not in _TRANSLATED:
                return False  # torch takes it apart whether it is in the table or not
        elif getattr(target, "__module__", "") != "_operator":
            return False
    return not program.graph_signature.buffers_to_mutate


def _before(node: Node, target: Any, args: tuple[Any, ...]) -> Node:
    """A new node before ``node``, for the same module, with what it gives on the shapes that are known."""
    with node.graph.inserting_before(node):
        made = node.graph.call_function(target, args)
    made.meta = {key: value for key, value in node.meta.items() if key != "val"}
    made.meta["val"] = target(*torch.fx.node.map_arg(args, lambda each: each.meta["val"]))
    return made


def _become(node: Node, target: Any, args: tuple[Any, ...]) -> None:
    node.target, node.args, node.kwargs = target, args, {}


def _arguments(node: Node) -> dict[str, Any]:
    """By name, those left out among them."""
    schema = node.target._schema  # type: ignore[union-attr]
    found = {each.name: each.default_value for each in schema.arguments if each.has_default_value()}
    found.update(zip((each.name for each in schema.arguments), node.args, strict=False))
    return found | dict(node.kwargs)


def _batch_norm(node: Node) -> None:
    given = _arguments(node)
    if given["training"] or given["running_mean"] is None:
        return
    names = ("input", "weight", "bias", "running_mean", "running_var", "momentum", "eps")
    target = _aten._native_batch_norm_legit_no_training.default
    made = _before(node, target, tuple(given[name] for name in names))
    _become(node, operator.getitem, (made, 0))


def _conv_transpose(node: Node) -> None:
    given = _arguments(node)
    axes = given["weight"].meta["val"].dim() - 2
    if given["input"].meta["val"].dim() != axes + 2:
        return  # one sample without a batch axis
    lists = ("stride", "padding", "output_padding", "dilation")
    full = {name: _spread(given[name], axes) for name in lists}
    args = (given["input"], given["weight"], given["bias"], full["stride"], full["padding"])
    rest = (full["dilation"], True, full["output_padding"], given["groups"])
    _become(node, _aten.convolution.default, (*args, *rest))


def _spread(value: Any, axes: int) -> list[int]:
    values = list(value) if isinstance(value, list | tuple) else [value]
    return values * axes if len(values) == 1 else values


def _average(node: Node) -> None:
    given = _arguments(node)
    size = given["output_size"]
    axes = len(size) if isinstance(size, list | tuple) else 1
    if all(type(each) is int and each == 1 for each in _spread(size, axes)):
        args = (next(iter(given.values())), list(range(-axes, 0)), True)
        _become(node, _aten.mean.dim, args)


def _dropout(node: Node) -> None:
    given = _arguments(node)
    if given["train"]:
        return
    source = next(iter(given.values()))
    if any(user.op == "output" for user in node.users):  # which knows it by its name
        _become(node, _aten.clone.default, (source,))
        return
    node.replace_all_uses_with(source)
    node.graph.erase_node(node)


def _apart(node: Node) -> None:
    """``relu_`` as ``relu``: nobody may see that its argument stays as it was."""
    source = node.args[0]
    target = _OUT_OF_PLACE[cast("torch._ops.OpOverload", node.target)]
    if not isinstance(source, Node) or source.op != "call_function" or set(source.users) != {node}:
        return
    if _is_fresh(source) and _gives(target, node) == node.meta["val"].dtype:
        node.target = target


def _gives(target: Any, node: Node) -> torch.dtype:
    """The type of the result: in place it is that of the first argument, whatever the second one's is."""
    args, kwargs = torch.fx.node.map_arg((node.args, dict(node.kwargs)), lambda n: n.meta["val"])
    found: torch.dtype = target(*args, **kwargs).dtype
    return found


def _is_fresh(node: Node) -> bool:
    """Whether it is sure that what it gives is no part of what it was given."""
    target, first = node.target, node.args[0] if node.args else None
    if target is operator.getitem:
        return isinstance(first, Node) and first.target in _FRESH
    if not isinstance(target, torch._ops.OpOverload):
        return False
    part = any(each.alias_info for each in target._schema.returns)
    return target in _FRESH or not (part or _is_composite(target))


def _is_composite(target: torch._ops.OpOverload) -> bool:
    """Whether torch has it by way of other operators alone."""
    return bool(target.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd))


# Those that torch.onnx translates as they are.
_NAMES = """
avg_pool1d.default chunk.default contiguous.default conv1d.default conv2d.default conv3d.default einsum.default
flatten.using_ints group_norm.default gru.input instance_norm.default layer_norm.default linear.default
log_sigmoid.default log_softmax.int lstm.input matmul.default max_pool1d.default max_pool2d.default max_pool3d.default
pad.default prelu.default relu6.default reshape.default scaled_dot_product_attention.default selu.default softmax.int
sym_size.int tile.default type_as.default upsample_bicubic2d.vec upsample_bilinear2d.vec upsample_nearest1d.vec
upsample_nearest2d.vec upsample_nearest3d.vec upsample_trilinear3d.vec where.Scalar where.ScalarOther where.ScalarSelf
"""
_TRANSLATED = frozenset(f"aten.{name}" for name in _NAMES.split())
_FRESH = frozenset(
    {
        *(_aten.conv1d.default, _aten.conv2d.default, _aten.conv3d.default),
        *(_aten.conv1d.padding, _aten.conv2d.padding, _aten.conv3d.padding),
        *(_aten.linear.default, _aten.batch_norm.default, _aten.layer_norm.default),
        *(_aten.matmul.default, _aten.group_norm.default, _aten.instance_norm.default),
        _aten._native_batch_norm_legit_no_training.default,
    }
)
_DROPOUTS = (
    *(_aten.dropout.default, _aten.alpha_dropout.default),
    *(_aten.feature_dropout.default, _aten.feature_alpha_dropout.default),
)
_OUT_OF_PLACE = {
    _aten.relu_.default: _aten.relu.default,
    _aten.silu_.default: _aten.silu.default,
    _aten.hardswish_.default: _aten.hardswish.default,
    _aten.hardsigmoid_.default: _aten.hardsigmoid.default,
    _aten.hardtanh_.default: _aten.hardtanh.default,
    _aten.leaky_relu_.default: _aten.leaky_relu.default,
    _aten.elu_.default: _aten.elu.default,
    _aten.sigmoid_.default: _aten.sigmoid.default,
    _aten.tanh_.default: _aten.tanh.default,
    _aten.mish_.default: _aten.mish.default,
    _aten.add_.Tensor: _aten.add.Tensor,
    _aten.sub_.Tensor: _aten.sub.Tensor,
    _aten.mul_.Tensor: _aten.mul.Tensor,
    _aten.div_.Tensor: _aten.div.Tensor,
}
_RULES: dict[Any, _Rule] = {
    _aten.batch_norm.default: _batch_norm,
    _aten.conv_transpose1d.default: _conv_transpose,
    _aten.conv_transpose2d.input: _conv_transpose,
    _aten.conv_transpose3d.input: _conv_transpose,
    _aten.adaptive_avg_pool1d.default: _average,
    _aten.adaptive_avg_pool2d.default: _average,
    _aten.adaptive_avg_pool3d.default: _average,
    **dict.fromkeys(_DROPOUTS, _dropout),
    **dict.fromkeys(_OUT_OF_PLACE, _apart),
}
