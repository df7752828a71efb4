"""Rewrite: run the graph passes, check what comes out, and enter every BatchNorm in the ledger."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from bnexport.errors import ExportError
from bnexport.events import Event, Observer, silent
from bnexport.health import BatchNormFacts
from bnexport.isolation.native import check as invalid
from bnexport.ledger import Ledger, LedgerRow
from bnexport.passes.graphs import Fate, kind_of, module_of, pipeline, stamp, unstamp
from bnexport.passes.graphs.traverse import every_node
from bnexport.report.document import PassRun
from bnexport.targets.onnx import without

__all__ = ["Rewritten", "rewrite"]

_SMALL = 1024  # bytes: as much of a constant goes along, since shapes may be computed from it


@dataclass(frozen=True)
class Rewritten:
    """The graph as it will be written, the ledger, and what each pass did."""

    model: ir.Model
    ledger: Ledger
    passes: tuple[PassRun, ...]


def rewrite(
    model: ir.Model,
    known: Sequence[BatchNormFacts] = (),
    *,
    fold: bool = True,
    simplify: bool = True,
    computed: bool = False,
    observe: Observer = silent,
) -> Rewritten:
    """Run the pipeline over ``model``, which is used up.

    Args:
        model: As captured or as read.
        known: The BatchNorms of the module behind it, for the ledger.
        fold: Whether BatchNorm is folded.
        simplify: Whether onnxsim runs.
        computed: Whether all that depends on constants alone has been computed.
        observe: Told of every pass.

    Raises:
        ExportError: A pass refused the graph, or the result is not valid ONNX.
    """
    fates: dict[str, Fate] = {}
    reached = {module_of(node) for node in _nodes(model)}
    runs: list[PassRun] = []
    stamp(model)
    before = _count(model)
    for step in pipeline(
        lambda fate: fates.update({fate.value: fate}),
        fold=fold,
        simplify=simplify,
        computed=computed,
    ):
        start = time.perf_counter()
        try:
            result = step(model)
        except (ir.passes.PassError, ir.passes.InvariantError) as error:
            raise ExportError(
                f"pass {type(step).__name__} refused the graph", _root(error)
            ) from error
        model = result.model
        run = PassRun(
            _name(step), result.modified, time.perf_counter() - start, before, _count(model)
        )
        runs.append(run)
        change = f"{before} -> {run.nodes_after} nodes" if run.modified else "nothing to do"
        observe(Event("rewrite", "step", f"{run.name}: {change}", run.seconds))
        before = run.nodes_after
    unstamp(model)
    check(model)
    if not fold:
        fates = _unfolded(model)
    return Rewritten(model, Ledger(_rows(fates.values(), known, reached)), tuple(runs))


def check(model: ir.Model) -> None:
    """Hold the graph against the ONNX standard, shapes included.

    The weights' numbers are no part of that: they are left out, and the graph is checked as if they were given to it.

    Raises:
        ExportError: It is not valid.
    """
    large = {v: v.const_value for v in model.graph.initializers.values() if _is_large(v)}
    with without(model, list(large)):
        proto = ir.to_proto(model)
    given = {value.name for value in proto.graph.input}
    for value, tensor in large.items():
        if value.name not in given and tensor is not None:
            info = proto.graph.input.add(name=value.name).type.tensor_type
            info.elem_type = int(tensor.dtype)
            for size in tensor.shape.numpy():
                info.shape.dim.add(dim_value=size)
    if why := invalid(proto.SerializeToString()):
        raise ExportError("the graph is not valid ONNX", why.splitlines()[0][:300])


def _is_large(value: ir.Value) -> bool:
    tensor = value.const_value
    typed = tensor is not None and tensor.dtype != ir.DataType.STRING
    return typed and tensor is not None and tensor.nbytes > _SMALL and value.type is not None


def _rows(
    fates: Iterable[Fate], known: Sequence[BatchNormFacts], reached: set[str]
) -> tuple[LedgerRow, ...]:
    """One row a module, in the module's order; then what no module stands behind."""
    by_name: dict[str, list[Fate]] = {}
    for fate in fates:
        by_name.setdefault(fate.module, []).append(fate)
    rows = []
    for facts in known:
        mine = by_name.pop(facts.name, [])
        rows.append(_row(facts.name, facts.kind, facts.channels, mine, facts.name in reached))
    for mine in by_name.values():
        for fate in mine:
            if fate.operator == "BatchNormalization":
                rows.append(
                    _row(fate.module or fate.value, fate.kind or fate.operator, 0, [fate], True)
                )
    return tuple(rows)


def _row(name: str, kind: str, channels: int, fates: list[Fate], reached: bool) -> LedgerRow:
    if not fates:
        fate, reason = ("absorbed", "") if reached else ("unused", "no forward pass reaches it")
        return LedgerRow(name, kind, channels, fate, "", reason)
    order = {"kept": 0, "reduced": 1, "merged": 2, "absorbed": 3}
    worst = min(
        fates, key=lambda fate: order[fate.fate]
    )  # called several times: the row says the worst
    into = ", ".join(dict.fromkeys(fate.into for fate in fates if fate.fate == worst.fate))
    return LedgerRow(name, kind, channels, worst.fate, into, worst.reason)


def _unfolded(model: ir.Model) -> dict[str, Fate]:
    return {
        node.outputs[0].name or "": Fate(
            node.outputs[0].name or "",
            module_of(node),
            kind_of(node),
            node.op_type,
            "kept",
            reason="folding was switched off",
        )
        for node in _nodes(model)
        if node.op_type == "BatchNormalization"
    }


def _nodes(model: ir.Model) -> Iterable[ir.Node]:
    return every_node(model.graph)


def _count(model: ir.Model) -> int:
    return sum(1 for _ in _nodes(model))


def _name(step: ir.passes.PassBase) -> str:
    return type(step).__name__.removesuffix("Pass")


def _root(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
