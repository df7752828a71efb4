"""Arithmetic on elements, comparisons, and what only changes the type."""

from __future__ import annotations

import math
from collections.abc import Callable

import onnx_ir as ir
import torch

from bnexport.capture.tape.kinds import DTYPES
from bnexport.capture.tape.site import Row, Site
from bnexport.capture.tape.sizes import Unsure
from bnexport.capture.tape.tape import Ref

__all__ = ["ROWS"]

_BOOL = ir.DataType.BOOL


def _unary(operator: str) -> Callable[[Site], ir.Value]:
    return lambda site: site.op(operator, [site.operand("input", site.out_type)])


def _binary(operator: str, *, swapped: bool = False) -> Callable[[Site], ir.Value]:
    def emit(site: Site) -> ir.Value:
        dtype = site.out_type
        if dtype == _BOOL:
            raise Unsure(f"{site.call.name} of truth values")
        pair = [site.operand("input", dtype), site.operand("other", dtype)]
        if site.arguments.get("alpha", 1) != 1:
            less = 0 if swapped else 1  # what is subtracted
            scale = site.scalar(site.plain("alpha"))
            pair[less] = site.e.op("Mul", [pair[less], scale], {}, None, dtype)
            pair[less].shape = None
        return site.op(operator, pair[::-1] if swapped else pair)

    return emit


def _div(site: Site) -> ir.Value:
    mode = site.plain("rounding_mode")
    if mode is None:
        return _binary("Div")(site)
    if mode == "floor":
        return _floor_divide(site)
    if not site.out_type.is_floating_point():
        raise Unsure("a division of whole numbers")
    return _truncated(site, _binary("Div")(site))


def _floor_divide(site: Site) -> ir.Value:
    """Only by a power of two is the quotient exact; torch goes by the remainder, and 1 // 0.1 is 9."""
    divisor = site["other"]
    exact = type(divisor) in (int, float) and divisor and abs(math.frexp(divisor)[0]) == 0.5
    if not site.out_type.is_floating_point() or not exact:
        raise Unsure("a division that is rounded down")
    return site.op("Floor", [_binary("Div")(site)])


def _trunc(site: Site) -> ir.Value:
    return _truncated(site, site.value())


def _truncated(site: Site, value: ir.Value) -> ir.Value:
    size = site.op("Floor", [site.op("Abs", [value])])
    return site.op("Mul", [site.op("Sign", [value]), size])


def _remainder(site: Site) -> ir.Value:
    """With the sign of the divisor."""
    if site.out_type.is_floating_point():
        raise Unsure("a remainder of real numbers")
    return _binary("Mod")(site)


def _pow(site: Site) -> ir.Value:
    exponent = site["other"]
    dtype = site.out_type
    if not isinstance(exponent, Ref) and dtype.is_floating_point():
        number = site.plain("other")
        if number == 2:
            value = site.operand("input", dtype)
            return site.op("Mul", [value, value])
        if number == 0.5:
            return site.op("Sqrt", [site.operand("input", dtype)])
        if number == -1:
            return site.op("Reciprocal", [site.operand("input", dtype)])
    return _binary("Pow")(site)


def _square(site: Site) -> ir.Value:
    return site.op("Mul", [site.value(), site.value()])


def _rsqrt(site: Site) -> ir.Value:
    return site.op("Reciprocal", [site.op("Sqrt", [site.operand("input", site.out_type)])])


def _clamp(site: Site) -> ir.Value:
    value = site.operand("input", site.out_type)
    low, high = site["min"], site["max"]
    if isinstance(low, Ref) or isinstance(high, Ref):
        for operator, name in (("Max", "min"), ("Min", "max")):
            if site[name] is not None:
                value = site.op(operator, [value, site.operand(name, site.out_type)])
        return value
    bounds = [
        None if site[name] is None else site.operand(name, site.out_type) for name in ("min", "max")
    ]
    return site.op("Clip", [value, *(bounds if bounds[1] is not None else bounds[:1])])


def _extreme(operator: str) -> Callable[[Site], ir.Value]:
    return _binary(operator)


def _comparison(operator: str, *, negated: bool = False) -> Callable[[Site], ir.Value]:
    def emit(site: Site) -> ir.Value:
        dtype = _common(site)
        made = site.op(operator, [site.operand("input", dtype), site.operand("other", dtype)])
        return site.op("Not", [made]) if negated else made

    return emit


def _common(site: Site, first: str = "input", second: str = "other") -> ir.DataType:
    """The type in which two arguments are compared."""
    a, b = site[first], site[second]
    like = [
        torch.empty(1, dtype=site.e.dtype(x)) if isinstance(x, Ref) and site.e.shape(x) else x
        for x in (a, b)
    ]
    for index, each in enumerate(like):
        if isinstance(each, Ref):
            like[index] = torch.empty((), dtype=site.e.dtype(each))
    return DTYPES[torch.result_type(*like)]


def _logical(operator: str) -> Callable[[Site], ir.Value]:
    def emit(site: Site) -> ir.Value:
        if site.out_type != _BOOL or site.dtype() != _BOOL or site.dtype("other") != _BOOL:
            raise Unsure(f"{site.call.name} of numbers")
        return site.op(operator, [site.value(), site.value("other")])

    return emit


def _not(site: Site) -> ir.Value:
    if site.dtype() != _BOOL:
        raise Unsure(f"{site.call.name} of numbers")
    return site.op("Not", [site.value()])


def _where(site: Site) -> ir.Value:
    dtype = site.out_type
    if site.dtype("condition") != _BOOL:
        raise Unsure("where without a condition")
    return site.op(
        "Where",
        [site.value("condition"), site.operand("input", dtype), site.operand("other", dtype)],
    )


def _masked_fill(site: Site) -> ir.Value:
    dtype = site.out_type
    return site.op("Where", [site.value("mask"), site.operand("value", dtype), site.value()])


def _same(site: Site) -> ir.Value:
    return site.value()


def _dropout(site: Site) -> ir.Value:
    if site.plain("training") and site.plain("p"):
        raise Unsure("dropout that is live")
    return site.value()


def _cast(site: Site) -> ir.Value:
    return site.cast(site.value(), site.out_type)


def _addcmul(site: Site) -> ir.Value:
    product = site.op("Mul", [site.value("tensor1"), site.value("tensor2")])
    if site.plain("value") != 1:
        product = site.op("Mul", [product, site.scalar(site.plain("value"))])
    return site.op("Add", [site.value(), product])


def _lerp(site: Site) -> ir.Value:
    step = site.op("Sub", [site.value("end"), site.value()])
    return site.op(
        "Add", [site.value(), site.op("Mul", [step, site.operand("weight", site.out_type)])]
    )


def _log(base: float) -> Callable[[Site], ir.Value]:
    return lambda site: site.op(
        "Div", [site.op("Log", [site.value()]), site.scalar(math.log(base))]
    )


def _log1p(site: Site) -> ir.Value:
    return site.op("Log", [site.op("Add", [site.value(), site.scalar(1.0)])])


def _expm1(site: Site) -> ir.Value:
    return site.op("Sub", [site.op("Exp", [site.value()]), site.scalar(1.0)])


_PAIR = "input other"
_UNARY = {
    "abs": "Abs",
    "neg": "Neg",
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "reciprocal": "Reciprocal",
    "floor": "Floor",
    "ceil": "Ceil",
    "round": "Round",
    "sign": "Sign",
    "sin": "Sin",
    "cos": "Cos",
    "tan": "Tan",
    "erf": "Erf",
    "atan": "Atan",
    "sinh": "Sinh",
    "cosh": "Cosh",
    "asinh": "Asinh",
    "isnan": "IsNaN",
}

ROWS = {
    **{
        name: Row("input", _unary(operator)) for name, operator in _UNARY.items() if name != "isnan"
    },
    "isnan": Row("input", lambda site: site.op("IsNaN", [site.value()])),
    "add": Row("input other alpha=1", _binary("Add")),
    "sub": Row("input other alpha=1", _binary("Sub")),
    "rsub": Row("input other alpha=1", _binary("Sub", swapped=True)),
    "mul": Row(_PAIR, _binary("Mul")),
    "div": Row("input other rounding_mode=None", _div),
    "rdiv": Row(_PAIR, _binary("Div", swapped=True)),
    "floor_divide": Row(_PAIR, _floor_divide),
    "remainder": Row(_PAIR, _remainder),
    "trunc": Row("input", _trunc),
    "pow": Row(_PAIR, _pow),
    "rpow": Row(_PAIR, _binary("Pow", swapped=True)),
    "square": Row("input", _square),
    "rsqrt": Row("input", _rsqrt),
    "clamp": Row("input min=None max=None", _clamp),
    "clamp_min": Row("input min max=None", _clamp),
    "clamp_max": Row("input max min=None", _clamp),
    "maximum": Row(_PAIR, _extreme("Max")),
    "minimum": Row(_PAIR, _extreme("Min")),
    "eq": Row(_PAIR, _comparison("Equal")),
    "ne": Row(_PAIR, _comparison("Equal", negated=True)),
    "lt": Row(_PAIR, _comparison("Less")),
    "le": Row(_PAIR, _comparison("LessOrEqual")),
    "gt": Row(_PAIR, _comparison("Greater")),
    "ge": Row(_PAIR, _comparison("GreaterOrEqual")),
    "logical_and": Row(_PAIR, _logical("And")),
    "logical_or": Row(_PAIR, _logical("Or")),
    "logical_xor": Row(_PAIR, _logical("Xor")),
    "bitwise_and": Row(_PAIR, _logical("And")),
    "bitwise_or": Row(_PAIR, _logical("Or")),
    "bitwise_xor": Row(_PAIR, _logical("Xor")),
    "logical_not": Row("input", _not),
    "bitwise_not": Row("input", _not),
    "where": Row("condition input other", _where),
    "tensor_where": Row("input condition other", _where),
    "masked_fill": Row("input mask value", _masked_fill),
    "clone": Row("input", _same),
    "contiguous": Row("input", _same),
    "detach": Row("input", _same),
    "alias": Row("input", _same),
    "positive": Row("input", _same),
    "dropout": Row("input p=0.5 training=True inplace=False", _dropout),
    "to": Row("input *target dtype=None", _cast),
    "to_like": Row("input other", _cast),
    **{
        name: Row("input", _cast)
        for name in ("float", "half", "double", "bfloat16", "long", "int", "bool")
    },
    "type": Row("input dtype=None", _cast),
    "addcmul": Row("input tensor1 tensor2 value=1", _addcmul),
    "lerp": Row("input end weight", _lerp),
    "log2": Row("input", _log(2.0)),
    "log10": Row("input", _log(10.0)),
    "log1p": Row("input", _log1p),
    "expm1": Row("input", _expm1),
}
