"""Convolutions, matrix products, embedding tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx_ir as ir
import torch

from bnexport.capture.tape.site import Row, Site
from bnexport.capture.tape.sizes import Size, Unsure

__all__ = ["ROWS"]


def _conv(site: Site) -> ir.Value:
    axes = site.rank("weight") - 2
    _batched(site, axes)
    kernel = [int(size) for size in site.shape("weight")[2:]]
    dilation = site.several("dilation", axes)
    attributes = {
        "kernel_shape": kernel,
        "strides": site.several("stride", axes),
        "dilations": dilation,
        "group": site.plain("groups"),
        "pads": _pads(site, kernel, dilation),
    }
    return site.op("Conv", _operands(site), attributes)


def _batched(site: Site, axes: int) -> None:
    if site.rank() != axes + 2:
        raise Unsure("a convolution of one sample without a batch axis")
    site.apart(*range(1, axes + 2))


def _operands(site: Site) -> list[ir.Value | None]:
    bias = site.optional("bias")
    return [site.value(), site.value("weight"), *([] if bias is None else [bias])]


def _pads(site: Site, kernel: Sequence[int], dilation: Sequence[int]) -> list[int]:
    padding = site.plain("padding")
    if padding in ("valid", ("valid",)):
        return [0] * (2 * len(kernel))
    if padding in ("same", ("same",)):
        total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return [each // 2 for each in total] + [each - each // 2 for each in total]
    return site.several("padding", len(kernel)) * 2


def _conv_transpose(site: Site) -> ir.Value:
    axes = site.rank("weight") - 2
    _batched(site, axes)
    more = site.several("output_padding", axes)
    attributes = {
        "kernel_shape": [int(size) for size in site.shape("weight")[2:]],
        "strides": site.several("stride", axes),
        "dilations": site.several("dilation", axes),
        "group": site.plain("groups"),
        "pads": site.several("padding", axes) * 2,
        "output_padding": more if any(more) else None,
    }
    return site.op("ConvTranspose", _operands(site), attributes)


def _linear(site: Site) -> ir.Value:
    site.apart(site.rank() - 1)
    bias = site.optional("bias")
    if site.rank() == 2 and site.rank("weight") == 2:
        operands = [site.value(), site.value("weight"), *([] if bias is None else [bias])]
        return site.op("Gemm", operands, {"transB": 1})
    product = site.op("MatMul", [site.value(), _transposed(site)])
    return product if bias is None else site.op("Add", [product, bias])


def _transposed(site: Site) -> ir.Value:
    weight = site.shape("weight")
    if len(weight) == 1:
        return site.value("weight")
    constant = site.constant("weight")
    if constant is not None:
        name = site.e.tape.names.get(site.ref("weight").number, "weight")
        return site.e.initializer(constant.t(), name)
    return site.op(
        "Transpose", [site.value("weight")], {"perm": [1, 0]}, weight[::-1], site.dtype("weight")
    )


def _matmul(site: Site) -> ir.Value:
    a, b = site.shape(), site.shape("other")
    site.apart(len(a) - 1)
    site.apart(max(len(b) - 2, 0), name="other")
    return site.op("MatMul", [site.value(), site.value("other")])


def _addmm(site: Site) -> ir.Value:
    site.apart(1, name="mat1")
    product = site.op("MatMul", [site.value("mat1"), site.value("mat2")])
    for name, of in (("alpha", product), ("beta", None)):
        if site.plain(name) != 1:
            raise Unsure(f"{site.call.name} with {name}")
        del of
    return site.op("Add", [product, site.value()])


def _einsum(site: Site) -> ir.Value:
    equation, operands = site["equation"], site["operands"]
    if not isinstance(equation, str) or not operands:
        raise Unsure("einsum without an equation")
    text = equation.replace(" ", "")
    into, arrow, out = text.partition("->")
    hidden: set[int] = set()
    for labels, ref in zip(into.split(","), operands, strict=True):
        sizes = site.e.shape(ref)
        if "..." in labels:
            hidden.add(len(sizes) - len(labels.replace("...", "")))
            if "..." not in out:
                raise Unsure("einsum that sums over what ... stands for")
            continue
        for label, size in zip(labels, sizes, strict=True):
            if isinstance(size, Size) and arrow and label not in out:
                raise Unsure("einsum works along the batch")
    if not arrow:
        raise Unsure("einsum without an output")
    if len(hidden) > 1:
        raise Unsure("einsum in which ... stands for several ranks")
    return site.op("Einsum", [site.e.value(ref) for ref in operands], {"equation": text})


def _embedding(site: Site) -> ir.Value:
    if site.plain("scale_grad_by_freq") or site.plain("max_norm") is not None:
        raise Unsure("an embedding that renormalises")
    if site.dtype() not in (ir.DataType.INT32, ir.DataType.INT64):
        raise Unsure("an embedding of what is no index")
    return site.op("Gather", [site.value("weight"), site.value()], {"axis": 0})


def _attention(site: Site) -> ir.Value:
    """softmax(q k^T * scale + mask) v."""
    query, key = site.shape("query"), site.shape("key")
    if (
        len(query) < 3
        or len(key) != len(query)
        or site.plain("dropout_p")
        or site.plain("enable_gqa")
    ):
        raise Unsure("attention of this form")
    for name in ("query", "key", "value"):
        site.apart(len(query) - 1, len(query) - 2, name=name)
    rank, dtype = len(query), site.out_type
    order = [*range(rank - 2), rank - 1, rank - 2]
    turned = site.op(
        "Transpose", [site.value("key")], {"perm": order}, (*key[:-2], key[-1], key[-2])
    )
    scale = site.plain("scale")
    scale = 1 / math.sqrt(query[-1]) if scale is None else scale
    scores = (*query[:-1], key[-2])
    scaled = site.op("Mul", [site.value("query"), site.scalar(scale)], {}, query)
    weights = site.op("MatMul", [scaled, turned], {}, scores)
    mask = _mask(site, scores, dtype)
    if mask is not None:
        weights = site.op("Add", [weights, mask], {}, scores)
    shares = site.op("Softmax", [weights], {"axis": -1}, scores)
    return site.op("MatMul", [shares, site.value("value")])


def _mask(site: Site, scores: tuple[object, ...], dtype: ir.DataType) -> ir.Value | None:
    if site.plain("is_causal"):
        rows, columns = scores[-2:]
        assert isinstance(rows, int)
        assert isinstance(columns, int)
        hidden = torch.full((rows, columns), float("-inf")).triu(1)
        return site.cast(site.e.initializer(hidden, "causal_mask"), dtype)
    mask = site.optional("attn_mask")
    if mask is None:
        return None
    constant, flags = site.constant("attn_mask"), site.dtype("attn_mask") == ir.DataType.BOOL
    seen = None if constant is None else constant if flags else constant > float("-inf")
    if seen is None or not bool(seen.any(-1).all()):
        raise Unsure("attention that may see nothing")
    if not flags:
        return mask
    zero, low = site.scalar(0.0), site.scalar(float("-inf"))
    return site.op("Where", [mask, zero, low], {}, site.shape("attn_mask"))


_CONV = "input weight bias=None stride=1 padding=0 dilation=1 groups=1"
_TRANSPOSED = "input weight bias=None stride=1 padding=0 output_padding=0 groups=1 dilation=1"

ROWS = {
    **{f"conv{n}d": Row(_CONV, _conv) for n in (1, 2, 3)},
    **{f"conv_transpose{n}d": Row(_TRANSPOSED, _conv_transpose) for n in (1, 2, 3)},
    "linear": Row("input weight bias=None", _linear),
    "matmul": Row("input other", _matmul),
    "bmm": Row("input other", _matmul),
    "mm": Row("input other", _matmul),
    "mv": Row("input other", _matmul),
    "addmm": Row("input mat1 mat2 beta=1 alpha=1", _addmm),
    "einsum": Row("equation *operands", _einsum),
    "embedding": Row(
        "input weight padding_idx=None max_norm=None norm_type=2.0 scale_grad_by_freq=False sparse=False",
        _embedding,
    ),
    "scaled_dot_product_attention": Row(
        "query key value attn_mask=None dropout_p=0.0 is_causal=False scale=None enable_gqa=False",
        _attention,
    ),
}
