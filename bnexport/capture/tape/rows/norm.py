"""Normalisation layers, in eval mode."""

from __future__ import annotations

import onnx_ir as ir
import torch

from bnexport.capture.tape.site import Row, Site
from bnexport.capture.tape.sizes import Unsure

__all__ = ["ROWS"]


def _batch_norm(site: Site) -> ir.Value:
    if site.arguments.get("training") or site.constant("running_mean") is None:
        raise Unsure("a BatchNorm with the statistics of the batch")
    mean, variance = site.constant("running_mean"), site.constant("running_var")
    if mean is None or variance is None:
        raise Unsure("a BatchNorm whose statistics are computed")
    dtype = site.dtype()
    site.apart(1)
    weight = _vector(site, "weight", mean, 1.0)
    bias = _vector(site, "bias", mean, 0.0)
    operands = [site.value(), weight, bias, site.value("running_mean"), site.value("running_var")]
    if any(each.dtype != dtype for each in operands):
        raise Unsure("a BatchNorm of mixed types")
    return site.op("BatchNormalization", operands, {"epsilon": float(site.plain("eps"))})


def _vector(site: Site, name: str, like: torch.Tensor, fill: float) -> ir.Value:
    given = site.optional(name)
    if given is not None:
        return given
    return site.e.shared(torch.full(tuple(like.shape), fill).numpy(), site.dtype())


def _layer_norm(site: Site) -> ir.Value:
    count = len(site.plain("normalized_shape"))
    rank = site.rank()
    site.apart(*range(rank - count, rank))
    shape = tuple(site.plain("normalized_shape"))
    weight = site.optional("weight")
    if weight is None:
        weight = site.e.shared(torch.ones(shape).numpy(), site.dtype())
    bias = site.optional("bias")
    operands = [site.value(), weight, *([] if bias is None else [bias])]
    attributes = {"axis": -count, "epsilon": float(site.plain("eps"))}
    return site.op("LayerNormalization", operands, attributes)


def _group_norm(site: Site) -> ir.Value:
    """Each group as one channel of an InstanceNormalization; the affine of the channels after it."""
    shape, groups = site.shape(), site.plain("num_groups")
    site.apart(*range(1, len(shape)))
    if len(shape) < 3:
        raise Unsure("group_norm of an input without positions")
    channels, dtype = shape[1], site.dtype()
    inner = (shape[0], groups, _count(shape) // groups)
    if groups == channels:
        return _instance(site, channels)
    grouped = site.op("Reshape", [site.value(), site.integers([0, groups, -1])], {}, inner)
    ones = site.e.shared(torch.ones(groups).numpy(), dtype)
    zeros = site.e.shared(torch.zeros(groups).numpy(), dtype)
    attributes = {"epsilon": float(site.plain("eps"))}
    made = site.op("InstanceNormalization", [grouped, ones, zeros], attributes, inner)
    made = site.op("Reshape", [made, site.integers([0, *shape[1:]])])
    return _affine(site, made, len(shape))


def _affine(site: Site, value: ir.Value, rank: int) -> ir.Value:
    for name, operator in (("weight", "Mul"), ("bias", "Add")):
        constant = site.constant(name)
        if constant is None and site[name] is not None:
            raise Unsure("a normalisation whose affine is computed")
        if constant is not None:
            shaped = constant.reshape(-1, *[1] * (rank - 2))
            ref = site.ref(name)
            given = site.e.initializer(shaped, site.e.tape.names.get(ref.number, name))
            value = site.op(operator, [value, given])
    return value


def _instance(site: Site, channels: int) -> ir.Value:
    like = torch.empty(channels)
    operands = [site.value(), _vector(site, "weight", like, 1.0), _vector(site, "bias", like, 0.0)]
    return site.op("InstanceNormalization", operands, {"epsilon": float(site.plain("eps"))})


def _instance_norm(site: Site) -> ir.Value:
    if not site.plain("use_input_stats"):
        return _batch_norm(site)
    if site.rank() < 3:
        raise Unsure("instance_norm of one sample without a batch axis")
    site.apart(*range(1, site.rank()))
    return _instance(site, site.shape()[1])


def _rms_norm(site: Site) -> ir.Value:
    if site.e.opset < 23:
        raise Unsure("rms_norm, which ONNX has from opset 23 on")
    count = len(site.plain("normalized_shape"))
    site.apart(*range(site.rank() - count, site.rank()))
    weight = site.optional("weight")
    if weight is None:
        weight = site.e.shared(
            torch.ones(tuple(site.plain("normalized_shape"))).numpy(), site.dtype()
        )
    eps = site.plain("eps")
    eps = torch.finfo(site.e.dtype(site.ref())).eps if eps is None else eps
    return site.op(
        "RMSNormalization", [site.value(), weight], {"axis": -count, "epsilon": float(eps)}
    )


def _local_response(site: Site) -> ir.Value:
    size = site.plain("size")
    if site.rank() != 4:
        raise Unsure("local_response_norm of this rank")
    if size % 2 == 0:
        raise Unsure("local_response_norm of an even size")
    site.apart(1)
    names = {"alpha": "alpha", "beta": "beta", "k": "bias"}
    attributes = {name: float(site.plain(key)) for key, name in names.items()}
    return site.op("LRN", [site.value()], {**attributes, "size": size})


def _count(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape[1:]:
        total *= size
    return total


ROWS = {
    "batch_norm": Row(
        "input running_mean running_var weight=None bias=None training=False momentum=0.1 eps=1e-05",
        _batch_norm,
    ),
    "layer_norm": Row(
        "input normalized_shape weight=None bias=None eps=1e-05 cudnn_enable=True", _layer_norm
    ),
    "group_norm": Row(
        "input num_groups weight=None bias=None eps=1e-05 cudnn_enabled=True", _group_norm
    ),
    "instance_norm": Row(
        "input running_mean=None running_var=None weight=None bias=None use_input_stats=True momentum=0.1 eps=1e-05",
        _instance_norm,
    ),
    "rms_norm": Row("input normalized_shape weight=None eps=None", _rms_norm),
    "local_response_norm": Row("input size alpha=0.0001 beta=0.75 k=1.0", _local_response),
}
