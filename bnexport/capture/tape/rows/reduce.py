"""Reductions, and what else runs along an axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from bnexport.capture.tape.site import Row, Site
from bnexport.capture.tape.sizes import Unsure

__all__ = ["ROWS"]

Emit = Callable[[Site], ir.Value]


def _reduce(operator: str) -> Emit:
    def emit(site: Site) -> ir.Value:
        return _reduced(site, operator, site.cast(site.value(), site.out_type))

    return emit


def _reduced(
    site: Site, operator: str, value: ir.Value, keep: bool | None = None, **more: object
) -> ir.Value:
    axes = site.axes()
    site.apart(*axes)
    kept = bool(site.plain("keepdim")) if keep is None else keep
    operands = [value, site.integers(axes)]
    shape = None
    if keep is not None:
        shape = tuple(1 if axis in axes else size for axis, size in enumerate(site.shape()))
    if site.rank() == 0:
        return value
    return site.op(operator, operands, {"keepdims": int(kept), **more}, shape)


def _mean(site: Site) -> ir.Value:
    axes = site.axes()
    if site.rank() == 4 and set(axes) == {2, 3} and site.plain("keepdim"):
        site.apart(*axes)
        return site.op("GlobalAveragePool", [site.cast(site.value(), site.out_type)])
    return _reduce("ReduceMean")(site)


def _extreme(
    reduction: str, pointing: str, pairwise: str
) -> Callable[[Site], ir.Value | list[ir.Value]]:
    """Max and min: of all, along an axis with indices, or of two tensors."""

    def emit(site: Site) -> ir.Value | list[ir.Value]:
        dim = site["dim"]
        if dim is not None and type(dim) is not int:
            return site.op(
                pairwise, [site.operand("input", site.out_type), site.operand("dim", site.out_type)]
            )
        if dim is None:
            return _reduced(site, reduction, site.value())
        axis = site.axis()
        site.apart(axis)
        keep = int(bool(site.plain("keepdim")))
        values = site.op(reduction, [site.value(), site.integers([axis])], {"keepdims": keep})
        attributes = {"axis": axis, "keepdims": keep}
        where = site.op(pointing, [site.value()], attributes, dtype=ir.DataType.INT64)
        return [values, where]

    return emit


def _arg(operator: str) -> Emit:
    def emit(site: Site) -> ir.Value:
        if site.plain("dim") is None:
            raise Unsure(f"{site.call.name} of the whole batch")
        axis = site.axis()
        site.apart(axis)
        return site.op(
            operator, [site.value()], {"axis": axis, "keepdims": int(bool(site.plain("keepdim")))}
        )

    return emit


def _norm(site: Site) -> ir.Value:
    order = site.plain("ord" if "ord" in site.arguments else "p")
    names = {2: "ReduceL2", 1: "ReduceL1", "fro": "ReduceL2", None: "ReduceL2"}
    if order not in names:
        raise Unsure(f"a norm of order {order}")
    if site.rank() == 0:
        return site.op("Abs", [site.value()])
    return _reduced(site, names[order], site.cast(site.value(), site.out_type))


def _variance(root: bool, mean: bool) -> Callable[[Site], ir.Value | Sequence[ir.Value]]:
    """mean((x - mean)^2), times n / (n - correction)."""

    def emit(site: Site) -> ir.Value | Sequence[ir.Value]:
        axes = site.axes()
        site.apart(*axes)
        count = 1
        for axis in axes:
            count *= site.shape()[axis]
        correction = _correction(site)
        if correction >= count:
            raise Unsure("a variance of too few numbers")
        centre = _reduced(site, "ReduceMean", site.value(), True)
        off = site.op("Sub", [site.value(), centre], {}, site.shape())
        square = site.op("Mul", [off, off], {}, site.shape())
        value = _reduced(site, "ReduceMean", square)
        if correction:
            value = site.op("Mul", [value, site.scalar(count / (count - correction))])
        if root:
            value = site.op("Sqrt", [value])
        if not mean:
            return value
        return [value, _reduced(site, "ReduceMean", site.value())]

    return emit


def _correction(site: Site) -> float:
    """The third argument says by how much the count is less: as a truth value once, as a number now."""
    for name in ("correction", "unbiased"):
        given = site.plain(name)
        if given is not None:
            return float(given)
    return 1.0


def _var_bind(root: bool, mean: bool) -> Row:
    emit = _variance(root, mean)

    def checked(site: Site) -> ir.Value | Sequence[ir.Value]:
        if isinstance(site["dim"], bool):  # var(unbiased) of everything
            raise Unsure("a variance over the whole batch")
        return emit(site)

    return Row("input dim=None unbiased=None keepdim=False correction=None", checked)


def _cumsum(site: Site) -> ir.Value:
    axis = site.axis()
    site.apart(axis)
    value = site.cast(site.value(), site.out_type)
    return site.op("CumSum", [value, site.scalar(axis, ir.DataType.INT64)])


def _topk(site: Site) -> list[ir.Value]:
    axis = site.axis()
    site.apart(axis)
    attributes = {
        "axis": axis,
        "largest": int(site.plain("largest")),
        "sorted": int(site.plain("sorted")),
    }
    first = site.op("TopK", [site.value(), site.integers([site.plain("k")])], attributes, count=2)
    node = first.producer()
    assert node is not None
    return list(node.outputs)


_ALONG = "input dim=None keepdim=False"

ROWS = {
    "sum": Row("input dim=None keepdim=False dtype=None", _reduce("ReduceSum")),
    "mean": Row("input dim=None keepdim=False dtype=None", _mean),
    "prod": Row("input dim=None keepdim=False dtype=None", _reduce("ReduceProd")),
    "amax": Row(_ALONG, _reduce("ReduceMax")),
    "amin": Row(_ALONG, _reduce("ReduceMin")),
    "logsumexp": Row(_ALONG, _reduce("ReduceLogSumExp")),
    "max": Row(_ALONG, _extreme("ReduceMax", "ArgMax", "Max")),
    "min": Row(_ALONG, _extreme("ReduceMin", "ArgMin", "Min")),
    "argmax": Row(_ALONG, _arg("ArgMax")),
    "argmin": Row(_ALONG, _arg("ArgMin")),
    "norm": Row("input p=2 dim=None keepdim=False dtype=None", _norm),
    "linalg_vector_norm": Row("input ord=2 dim=None keepdim=False dtype=None", _norm),
    "var": _var_bind(False, False),
    "std": _var_bind(True, False),
    "var_mean": _var_bind(False, True),
    "std_mean": _var_bind(True, True),
    "cumsum": Row("input dim dtype=None", _cumsum),
    "topk": Row("input k dim=-1 largest=True sorted=True", _topk),
}
