"""Activations."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from bnexport.capture.tape.site import Row, Site
from bnexport.capture.tape.sizes import Unsure

__all__ = ["ROWS"]


def _same(operator: str) -> Callable[[Site], ir.Value]:
    return lambda site: site.op(operator, [site.value()])


def _with(operator: str, **names: str) -> Callable[[Site], ir.Value]:
    """An operator whose attributes are the call's arguments."""

    def emit(site: Site) -> ir.Value:
        attributes = {name: float(site.plain(key)) for name, key in names.items()}
        return site.op(operator, [site.value()], attributes)

    return emit


def _prelu(site: Site) -> ir.Value:
    rank, slope = site.rank(), site.constant("weight")
    if slope is None:
        raise Unsure("prelu with a slope that is computed")
    if slope.numel() == 1:
        shaped = slope.reshape(1)
    elif rank > 1:
        shaped = slope.reshape(-1, *[1] * (rank - 2))
    else:
        shaped = slope
    name = site.e.tape.names.get(site.ref("weight").number, "slope")
    return site.op("PRelu", [site.value(), site.e.initializer(shaped, name)])


def _hardsigmoid(site: Site) -> ir.Value:
    return site.op("HardSigmoid", [site.value()], {"alpha": 1 / 6, "beta": 0.5})


def _silu(site: Site) -> ir.Value:
    return site.op("Mul", [site.value(), site.op("Sigmoid", [site.value()])])


def _gelu(site: Site) -> ir.Value:
    approximate = site.plain("approximate")
    if site.e.opset >= 20:
        return site.op("Gelu", [site.value()], {"approximate": approximate})
    if approximate != "none":
        raise Unsure("an approximate gelu, which ONNX has from opset 20 on")
    scaled = site.op("Div", [site.value(), site.scalar(2**0.5)])
    grown = site.op("Add", [site.op("Erf", [scaled]), site.scalar(1.0)])
    return site.op("Mul", [site.op("Mul", [site.value(), grown]), site.scalar(0.5)])


def _clip(low: str | float, high: str | float) -> Callable[[Site], ir.Value]:
    def bound(site: Site, given: str | float) -> ir.Value:
        number = site.plain(given) if isinstance(given, str) else given
        return site.scalar(number)

    return lambda site: site.op("Clip", [site.value(), bound(site, low), bound(site, high)])


def _relu6(site: Site) -> ir.Value:
    return site.op("Clip", [site.value(), site.scalar(0.0), site.scalar(6.0)])


def _softplus(site: Site) -> ir.Value:
    beta = site.plain("beta")
    if site.plain("threshold") < 20:
        raise Unsure("softplus that becomes linear where that shows")
    if beta != 1:
        scaled = site.op("Mul", [site.value(), site.scalar(beta)])
        return site.op("Div", [site.op("Softplus", [scaled]), site.scalar(beta)])
    return site.op("Softplus", [site.value()])


def _along(operator: str) -> Callable[[Site], ir.Value]:
    def emit(site: Site) -> ir.Value:
        axis = site.axis()
        site.apart(axis)
        value = site.cast(site.value(), site.out_type)
        return site.op(operator, [value], {"axis": axis})

    return emit


def _logsigmoid(site: Site) -> ir.Value:
    negative = site.op("Neg", [site.value()])
    return site.op("Neg", [site.op("Softplus", [negative])])


def _glu(site: Site) -> ir.Value:
    axis = site.axis()
    site.apart(axis)
    half = site.out_shape
    first = site.op("Split", [site.value()], {"axis": axis, "num_outputs": 2}, half, count=2)
    node = first.producer()
    assert node is not None
    second = node.outputs[1]
    second.shape, second.type = first.shape, first.type
    return site.op("Mul", [first, site.op("Sigmoid", [second])])


def _threshold(site: Site) -> ir.Value:
    over = site.op(
        "Greater", [site.value(), site.scalar(site.plain("threshold"))], dtype=ir.DataType.BOOL
    )
    return site.op("Where", [over, site.value(), site.scalar(site.plain("value"))])


def _tanhshrink(site: Site) -> ir.Value:
    return site.op("Sub", [site.value(), site.op("Tanh", [site.value()])])


_ALPHA = "input alpha=1.0"
_SOFTMAX = "input dim _stacklevel=3 dtype=None"

ROWS = {
    "relu": Row("input inplace=False", _same("Relu")),
    "sigmoid": Row("input", _same("Sigmoid")),
    "tanh": Row("input", _same("Tanh")),
    "softsign": Row("input", _same("Softsign")),
    "mish": Row("input inplace=False", _same("Mish")),
    "hardswish": Row("input inplace=False", _same("HardSwish")),
    "hardsigmoid": Row("input inplace=False", _hardsigmoid),
    "silu": Row("input inplace=False", _silu),
    "gelu": Row("input approximate=none", _gelu),
    "leaky_relu": Row(
        "input negative_slope=0.01 inplace=False", _with("LeakyRelu", alpha="negative_slope")
    ),
    "elu": Row("input alpha=1.0 inplace=False", _with("Elu", alpha="alpha")),
    "celu": Row("input alpha=1.0 inplace=False", _with("Celu", alpha="alpha")),
    "selu": Row("input inplace=False", _same("Selu")),
    "prelu": Row("input weight", _prelu),
    "relu6": Row("input inplace=False", _relu6),
    "hardtanh": Row("input min_val=-1.0 max_val=1.0 inplace=False", _clip("min_val", "max_val")),
    "softplus": Row("input beta=1 threshold=20", _softplus),
    "softmax": Row(_SOFTMAX, _along("Softmax")),
    "log_softmax": Row(_SOFTMAX, _along("LogSoftmax")),
    "logsigmoid": Row("input", _logsigmoid),
    "log_sigmoid": Row("input", _logsigmoid),
    "glu": Row("input dim=-1", _glu),
    "threshold": Row("input threshold value inplace=False", _threshold),
    "tanhshrink": Row("input", _tanhshrink),
}
