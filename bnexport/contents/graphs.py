"""ONNX files and engines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bnexport.contents.contents import DANGER, RISK, Contents, Risk, Stored
from bnexport.errors import Refused

__all__ = ["engine", "onnx_file"]

_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")


def onnx_file(path: Path) -> Contents:
    """An ONNX file's graph, whatever is wrong with it.

    Raises:
        Refused: It is no ONNX file.
    """
    from bnexport.load.onnx_file import declared_onnx, parse_onnx

    proto = parse_onnx(path)
    operators = Counter(
        f"{_text(node.domain)}::{_text(node.op_type)}".removeprefix("::") for node in _nodes(proto)
    )
    outside = sorted({_location(each) for each in proto.graph.initializer if each.external_data})
    facts = {
        "opsets": {_text(each.domain) or "ai.onnx": each.version for each in proto.opset_import},
        "operators": dict(operators.most_common()),
        "functions": [f"{_text(each.domain)}::{_text(each.name)}" for each in proto.functions],
        "external data": outside,
        "metadata": {_text(each.key): _text(each.value)[:200] for each in proto.metadata_props},
        "producer": f"{_text(proto.producer_name)} {_text(proto.producer_version)}".strip(),
    }
    risks = list(_risks(proto, outside))
    try:
        declared_onnx(path)
    except Refused as error:
        risks.insert(0, Risk(DANGER, error.why or error.what))
    return Contents(
        path, "ONNX", path.stat().st_size, (), (), tuple(_weights(proto)), facts, tuple(risks)
    )


def _nodes(proto: Any) -> Iterator[Any]:
    waiting = [proto.graph, *proto.functions]
    while waiting:
        for node in waiting.pop().node:
            yield node
            for attribute in node.attribute:
                waiting += [attribute.g] if attribute.HasField("g") else []
                waiting += attribute.graphs


def _risks(proto: Any, outside: list[str]) -> Iterator[Risk]:
    own = {_text(each.domain) for each in proto.functions}
    for domain in sorted({_text(node.domain) for node in _nodes(proto)} - set(_DOMAINS) - own):
        yield Risk(DANGER, f"it needs operators of {domain!r}, a library of native code")
    if any(node.op_type == "EPContext" for node in _nodes(proto)):
        yield Risk(DANGER, "it has a node that loads an engine from elsewhere")
    if outside:
        yield Risk(RISK, f"its weights lie in other files: {', '.join(outside[:5])}")


def _weights(proto: Any) -> Iterator[Stored]:
    import math

    import onnx

    for each in proto.graph.initializer:
        known = each.data_type in onnx.TensorProto.DataType.values()
        kind = (
            onnx.TensorProto.DataType.Name(each.data_type).lower() if known else str(each.data_type)
        )
        try:
            item = onnx.helper.tensor_dtype_to_np_dtype(each.data_type).itemsize
        except (KeyError, TypeError, ValueError, AttributeError):
            item = 1
        yield Stored(_text(each.name), kind, tuple(each.dims), math.prod(each.dims) * item)


def _location(tensor: Any) -> str:
    return next((_text(each.value) for each in tensor.external_data if each.key == "location"), "?")


def _text(value: str | bytes) -> str:
    """Text that is no UTF-8 comes as bytes."""
    return value if isinstance(value, str) else repr(value)


def engine(path: Path) -> Contents:
    """An engine's header; what it was built from, its sidecar says."""
    from bnexport.report.inspection import inspect_engine

    told = inspect_engine(path)
    fault = told["fault"]
    text = fault or "an engine is native code to whoever opens it"
    return Contents(
        path,
        "TensorRT engine",
        path.stat().st_size,
        facts={"header": told["header"]},
        risks=(Risk(DANGER if fault else RISK, text),),
    )
