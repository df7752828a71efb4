"""What a model holds, as JSON: its layers and BatchNorms, or its operators, without running it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import onnx_ir as ir
from torch import nn

from bnexport.disk import file_sha256
from bnexport.health import batch_norms, layers
from bnexport.health.checkup import Checkup
from bnexport.health.facts import other_norms
from bnexport.health.findings import Ignored, sift
from bnexport.health.findings.surroundings import label
from bnexport.health.graph_norms import diagnose_graph
from bnexport.health.wiring import Place
from bnexport.load.sniff import ENGINE_HEADS
from bnexport.passes.graphs.traverse import every_node
from bnexport.passes.modules import unwrap
from bnexport.report.document import Document, Source, versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bnexport.load.loaded import Loaded

__all__ = ["SCHEMA", "inspect_engine", "inspect_loaded", "is_engine"]

SCHEMA = "bnexport.inspection/1"


def inspect_loaded(
    loaded: Loaded, seen: Checkup | None = None, ignored: Sequence[Ignored] = ()
) -> Document:
    """The inspection document of a model that was read.

    Args:
        loaded: The model.
        seen: What looking a module over found; None: nothing but the layers is told of it.
        ignored: Findings in a graph that the user knows of.
    """
    model = loaded.model
    if isinstance(model, ir.Model):
        found = _graph(model)
        seen = Checkup(*sift(diagnose_graph(model), ignored))
    else:
        found = _module(model, seen.places if seen else {})
    return {
        "schema": SCHEMA,
        "source": asdict(Source.of(loaded)),
        **found,
        **_seen(seen or Checkup(())),
        "versions": versions(),
    }


def _seen(seen: Checkup) -> Document:
    return {
        "findings": [asdict(each) for each in seen.findings],
        "ignored": [asdict(each) for each in seen.ignored],
        "note": seen.note,
    }


def is_engine(path: Path) -> bool:
    """Whether the file is a TensorRT engine."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) in ENGINE_HEADS


def inspect_engine(path: Path, *, layers: bool = False) -> Document:
    """What an engine's header and its sidecar say. The engine, native code, is opened for its layers alone.

    Args:
        path: The engine.
        layers: Whether to ask TensorRT for the layers as they run, where a GPU is here that runs them.

    Raises:
        Refused: The sidecar beside it is not one of ours, or names another engine, and the layers are asked for.
    """
    from bnexport.targets.tensorrt.header import read_header
    from bnexport.targets.tensorrt.inspector import engine_layers
    from bnexport.targets.tensorrt.sidecar import Sidecar, read_sidecar, sidecar_path

    header = read_header(path)
    known = sidecar_path(path).exists()
    sha256 = file_sha256(path)
    fault = "" if known else f"{sidecar_path(path).name}, which says what it is, is not beside it"
    if known:
        fault = Sidecar.read(path).fault(path.stat().st_size, sha256)
    return {
        "schema": SCHEMA,
        "source": asdict(Source(path.stem, "TensorRT engine", path, sha256)),
        "kind": "engine",
        "header": asdict(header) if header else None,
        "fault": fault if header else fault or "it ends within its header",
        "sidecar": read_sidecar(path) if known else None,
        "engine_layers": engine_layers(path) if layers else None,
        "versions": versions(),
    }


def _module(module: nn.Module, places: Mapping[str, Place]) -> Document:
    module, _ = unwrap(module)
    listed, norms = layers(module), batch_norms(module)
    return {
        "kind": "module",
        "class": type(module).__name__,
        "parameters": sum(layer.parameters for layer in listed),
        "training": sum(each.training for each in module.modules()),
        "census": _census(layer.kind for layer in listed),
        "layers": [asdict(layer) for layer in listed],
        "batch_norms": [{**asdict(norm), **_place(places.get(norm.name))} for norm in norms],
        "other_norms": [asdict(norm) for norm in other_norms(module)],
    }


def _place(place: Place | None) -> Document:
    """Null where no forward pass reached the layer."""
    if place is None:
        return {"follows": None, "feeds": None, "shapes": None}
    return {
        "follows": [label(step) for step in place.follows],
        "feeds": [label(step) for step in place.feeds],
        "shapes": [list(shape) for shape in place.shapes],
    }


def _graph(model: ir.Model) -> Document:
    nodes = list(every_node(model.graph))
    weights = [value.const_value for value in model.graph.initializers.values()]
    return {
        "kind": "graph",
        "opsets": dict(model.opset_imports),
        "inputs": [_value(value) for value in model.graph.inputs],
        "outputs": [_value(value) for value in model.graph.outputs],
        "weight_bytes": sum(tensor.nbytes for tensor in weights if tensor is not None),
        "nodes": len(nodes),
        "census": _census(f"{node.domain}.{node.op_type}".lstrip(".") for node in nodes),
    }


def _census(kinds: Iterable[str]) -> dict[str, int]:
    """How many of each, the most frequent first."""
    return dict(Counter(kinds).most_common())


def _value(value: ir.Value) -> Document:
    shape = None if value.shape is None else [_size(size) for size in value.shape]
    dtype = None if value.dtype is None else value.dtype.name.lower()
    return {"name": value.name, "shape": shape, "dtype": dtype}


def _size(size: int | ir.SymbolicDim) -> int | str:
    return size if isinstance(size, int) else str(size)
