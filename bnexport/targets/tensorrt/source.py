"""What the ONNX file says that TensorRT does not tell: the names of free axes, and the modules behind nodes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from bnexport.errors import ExportError
from bnexport.metadata import MODULE, SCOPES
from bnexport.targets.tensorrt.profiles import Dims

__all__ = ["OnnxSource"]


@dataclass(frozen=True)
class OnnxSource:
    """The structure of an ONNX file, without what lies beside it.

    Attributes:
        path: The file.
        graph: Its graph.
    """

    path: Path
    graph: onnx.GraphProto

    @classmethod
    def read(cls, path: Path, title: str) -> OnnxSource:
        """Read the file that ``title`` will be given.

        Raises:
            ExportError: It is no ONNX file.
        """
        try:
            return cls(path, onnx.load(path, load_external_data=False).graph)
        except DecodeError as error:
            raise ExportError(f"{title} cannot read {path.name}", "it is no ONNX file") from error

    def inputs(self) -> list[tuple[str, Dims]]:
        """Names and axes: a number, or the name of a free one; ``x.2`` for one without a name."""
        constants = {each.name for each in self.graph.initializer}
        return [
            (value.name, _dims(value)) for value in self.graph.input if value.name not in constants
        ]

    def operator(self, index: int) -> str:
        """The operator of a node; empty where there is no such."""
        nodes = self.graph.node
        return str(nodes[index].op_type) if 0 <= index < len(nodes) else ""

    def place(self, index: int, operator: str) -> str:
        """The module and the output of a node: names of nodes may be empty or repeat."""
        nodes = self.graph.node
        if not 0 <= index < len(nodes) or nodes[index].op_type != operator:
            return ""
        node = nodes[index]
        value = f"value {node.output[0]!r}" if node.output else ""
        owner = _owner(node)
        return f"module {owner}, {value}" if owner and value else value

    def owner(self, layer: str) -> str:
        """The module of the node that TensorRT calls its layer after; else the layer's own name."""
        found = [node for node in self.graph.node if node.name and node.name == layer]
        return (_owner(found[0]) or found[0].output[0]) if len(found) == 1 else layer


def _owner(node: onnx.NodeProto) -> str:
    properties = {each.key: each.value for each in node.metadata_props}
    if MODULE in properties:
        return str(properties[MODULE])
    modules = re.findall(r"'([^']*)'", properties.get(SCOPES, ""))
    return next((name for name in reversed(modules[:-1]) if name), "")


def _dims(value: onnx.ValueInfoProto) -> Dims:
    dims = value.type.tensor_type.shape.dim
    return tuple(
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or _unnamed(value.name, axis)
        for axis, dim in enumerate(dims)
    )


def _unnamed(name: str, axis: int) -> str:
    return f"{name}.{axis}" if axis else "N"
