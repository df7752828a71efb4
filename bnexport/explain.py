"""Explain: what became of one BatchNorm, why, and what stands around it in the graph."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import onnx_ir as ir

from bnexport.errors import UsageError
from bnexport.events import Observer, silent
from bnexport.ledger import LedgerRow
from bnexport.load.loaded import Loaded
from bnexport.passes.graphs import module_of
from bnexport.passes.modules import undisturbed
from bnexport.rewrite import rewrite
from bnexport.subject import Inputs, subject_of

__all__ = ["Explanation", "explain"]

STEPS = 3  # each way


@dataclass(frozen=True)
class Explanation:
    """One BatchNorm.

    Attributes:
        row: Its row in the ledger.
        before: What feeds it, the nearest first; an operator that others read too says how many.
        behind: What reads it, the nearest first.
    """

    row: LedgerRow
    before: tuple[str, ...]
    behind: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """The ledger's row, with what stands around it."""
        return {**asdict(self.row), "before": list(self.before), "behind": list(self.behind)}


def explain(
    loaded: Loaded,
    layers: Sequence[str],
    *,
    inputs: Inputs = None,
    inputs_from: Path | None = None,
    observe: Observer = silent,
) -> tuple[Explanation, ...]:
    """Rewrite the model's graph, as a conversion would, and tell what became of ``layers``.

    Args:
        loaded: A module, or the graph of an ONNX file.
        layers: Qualified names, or endings of them that only one bears.
        inputs: As of a conversion.
        inputs_from: As of a conversion.
        observe: Told of progress.

    Raises:
        UsageError: No BatchNorm is called so, or several are.
        Refused: The module cannot be exported truthfully.
        ExportError: It cannot be captured or rewritten.
    """
    with undisturbed():
        subject = subject_of(loaded, inputs, inputs_from, None, observe, watched=True)
        around = {name: _around(node) for node in subject.graph.graph for name in _names(node)}
        ledger = rewrite(subject.graph, subject.batch_norms, observe=observe).ledger
    rows = {row.name: row for row in ledger.rows}
    found = [rows[_chosen(layer, rows)] for layer in layers]
    return tuple(Explanation(row, *around.get(row.name, ((), ()))) for row in found)


def _chosen(layer: str, rows: Mapping[str, LedgerRow]) -> str:
    """The one BatchNorm that ``layer`` names."""
    if layer in rows:
        return layer
    ending = [name for name in rows if name.endswith(f".{layer}")]
    if len(ending) == 1:
        return ending[0]
    if ending:
        raise UsageError(f"{layer} is not one BatchNorm", f"it may be {_some(ending)}", "Say more.")
    close = difflib.get_close_matches(layer, rows, n=3, cutoff=0.0)
    why = f"close to it: {_some(close)}" if close else "it has none"
    raise UsageError(f"the model has no BatchNorm {layer}", why, "convert --ledger lists them all.")


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} or {len(names) - 3} others" if len(names) > 3 else shown


def _names(node: ir.Node) -> list[str]:
    """What the ledger may call the node."""
    if node.op_type != "BatchNormalization":
        return []
    return [name for name in (node.outputs[0].name, module_of(node)) if name]


def _around(node: ir.Node) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(_before(node)), tuple(_behind(node))


def _before(node: ir.Node) -> list[str]:
    """The operators back from the node's first input, as far as one leads to the next."""
    told: list[str] = []
    for _ in range(STEPS):
        value = node.inputs[0] if node.inputs else None
        if value is None:
            break
        producer = value.producer()
        if producer is None:
            return [*told, f"the input {value.name}"]
        readers = len(value.uses()) + value.is_graph_output()
        told.append(_called(producer) + (f", read by {readers}" if readers > 1 else ""))
        node = producer
    return told


def _behind(node: ir.Node) -> list[str]:
    """Who reads the node's result; and on, as long as that is one."""
    told: list[str] = []
    for _ in range(STEPS):
        readers = list(dict.fromkeys(node.outputs[0].consumers()))
        told += [_called(reader) for reader in readers]
        if node.outputs[0].is_graph_output():
            told.append(f"the output {node.outputs[0].name}")
        if len(readers) != 1:
            break
        node = readers[0]
    return told


def _called(node: ir.Node) -> str:
    place = module_of(node)
    return f"{node.op_type} of {place}" if place else f"{node.op_type} {node.outputs[0].name}"
