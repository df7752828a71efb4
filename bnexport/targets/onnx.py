"""ONNX: one file, or a file and its weights beside it, under a name that holds their hash."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from bnexport import __version__
from bnexport.disk import output_errors
from bnexport.errors import ExportError
from bnexport.passes.graphs.traverse import every_node

__all__ = ["SINGLE_FILE_LIMIT", "weight_bytes", "without", "write_onnx"]

# Protobuf refuses 2 GiB; the graph itself, its names and metadata need room too.
SINGLE_FILE_LIMIT = int(1.8 * 2**30)

_MIN_EXTERNAL = 1024
_PAGE = 4096


def write_onnx(
    model: ir.Model, path: Path, *, external_data: bool | None = None
) -> tuple[Path, ...]:
    """Write ``model``; it is left as it was.

    The data file is named by the hash of its bytes, so an older ONNX file never points at newer
    weights. Runtimes memory-map it: large tensors start at a page.

    Args:
        model: The graph.
        path: Where the ONNX file goes; the data file goes beside it.
        external_data: Whether weights go into a data file; None: when one file would be too large.

    Returns:
        The files written, the ONNX file first.

    Raises:
        ExportError: One file was asked for and the model does not fit.
        OutputError: A file cannot be written.
    """
    size = weight_bytes(model)
    if external_data is None:
        external_data = size > SINGLE_FILE_LIMIT
    if not external_data and size > SINGLE_FILE_LIMIT:
        why = f"its weights take {size / 2**30:.1f} GiB and protobuf ends at 2 GiB"
        raise ExportError("the model does not fit in one ONNX file", why, "Use --external-data")
    with output_errors(path), _signed(model), _read_in(model):
        values = [value for value in _initializers(model) if _goes_outside(value)]
        if not (external_data and values):
            return (_write_proto(model, path),)
        data, placed = _write_data(values, path)
        with _replaced(values, placed):
            return _write_proto(model, path), data


def weight_bytes(model: ir.Model) -> int:
    """The bytes of all initializers and constant tensors."""
    initializers = sum(v.const_value.nbytes for v in _initializers(model) if v.const_value)
    constants = 0
    for node in every_node(model.graph):
        tensors = (a for a in node.attributes.values() if a.type == ir.AttributeType.TENSOR)
        constants += sum(attribute.as_tensor().nbytes for attribute in tensors)
    return initializers + constants


def _initializers(model: ir.Model) -> Iterator[ir.Value]:
    for graph in model.graphs():
        yield from graph.initializers.values()


def _goes_outside(value: ir.Value) -> bool:
    tensor = value.const_value
    return (
        tensor is not None and tensor.dtype != ir.DataType.STRING and tensor.nbytes >= _MIN_EXTERNAL
    )


def _write_proto(model: ir.Model, path: Path) -> Path:
    """Write the file with its weights streamed into it: protobuf would hold all of them, twice.

    A message is its fields one after the other, in any order. So the weights' fields can be put behind the others.
    """
    values = [value for value in model.graph.initializers.values() if _is_streamed(value)]
    with without(model, values):
        proto = ir.to_proto(model)
    graph = proto.graph.SerializeToString()
    proto.ClearField("graph")
    fields = [(_tensor_field(value), value.const_value) for value in values]
    length = len(graph) + sum(
        len(head) + tensor.nbytes for head, tensor in fields if tensor is not None
    )
    with path.open("wb") as stream:
        stream.write(proto.SerializeToString())
        stream.write(_field(_GRAPH, length))
        stream.write(graph)
        for head, tensor in fields:
            assert tensor is not None
            stream.write(head)
            stream.write(_content(tensor))
    return path


_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9  # field numbers in ModelProto, GraphProto and TensorProto


def _is_streamed(value: ir.Value) -> bool:
    return _goes_outside(value) and not isinstance(value.const_value, ir.ExternalTensor)


def _tensor_field(value: ir.Value) -> bytes:
    """A weight as a field of the graph, up to its bytes."""
    tensor = value.const_value
    assert tensor is not None
    head = onnx.TensorProto(
        name=value.name or "",
        data_type=int(tensor.dtype),
        dims=list(tensor.shape.numpy()),
        doc_string=tensor.doc_string or "",
    ).SerializeToString()
    head += _field(_RAW_DATA, tensor.nbytes)
    field: bytes = _field(_INITIALIZER, len(head) + tensor.nbytes) + head
    return field


def _content(tensor: ir.TensorProtocol) -> memoryview:
    """A tensor's bytes, where they lie if they can be written as they are."""
    numbers = tensor.numpy()
    plain = tensor.dtype.bitwidth >= 8 and sys.byteorder == "little"
    if plain and numbers.flags.c_contiguous:
        return memoryview(numbers.reshape(-1).view(np.uint8).data)
    return memoryview(tensor.tobytes())


def _field(number: int, length: int) -> bytes:
    """The start of a field of so many bytes."""
    written, rest = bytearray([number << 3 | 2]), length
    while rest > 127:
        written.append(rest & 127 | 128)
        rest >>= 7
    written.append(rest)
    return bytes(written)


def _write_data(values: list[ir.Value], path: Path) -> tuple[Path, list[ir.ExternalTensor]]:
    """Stream the tensors, one at a time in memory, into a data file; return where each lies."""
    draft = path.with_name(f".{path.stem}.data.part")
    digest = hashlib.sha256()
    extents: list[tuple[int, int]] = []
    with draft.open("wb") as stream:
        for value in values:
            assert value.const_value is not None
            content = _content(value.const_value)
            padding = bytes(-stream.tell() % _PAGE if len(content) > _PAGE else 0)
            for piece in (padding, content):
                stream.write(piece)
                digest.update(piece)
            extents.append((stream.tell() - len(content), len(content)))
    data = path.with_name(f"{path.stem}.{digest.hexdigest()[:16]}.data")
    draft.replace(data)
    return data, [_placed(v, data, *extent) for v, extent in zip(values, extents, strict=True)]


def _placed(value: ir.Value, data: Path, offset: int, length: int) -> ir.ExternalTensor:
    tensor = value.const_value
    assert tensor is not None
    return ir.ExternalTensor(
        data.name,
        offset,
        length,
        tensor.dtype,
        shape=ir.Shape(tensor.shape.numpy()),
        name=value.name or "",
        doc_string=tensor.doc_string,
        base_dir=data.parent,
    )


@contextmanager
def _read_in(model: ir.Model) -> Iterator[None]:
    """Hold what lies in the data file of the model's source (memory-mapped) as if it were here."""
    outside = [v for v in _initializers(model) if isinstance(v.const_value, ir.ExternalTensor)]
    tensors = [v.const_value for v in outside if v.const_value is not None]
    held = [ir.Tensor(t.numpy(), t.dtype, name=t.name, doc_string=t.doc_string) for t in tensors]
    with _replaced(outside, held):
        yield


@contextmanager
def without(model: ir.Model, values: Sequence[ir.Value]) -> Iterator[None]:
    """Leave initializers of the main graph out, for the time of writing."""
    table = model.graph.initializers
    before = dict(table)
    names = [value.name for value in values if value.name]
    try:
        for name in names:
            del table[name]
        yield
    finally:
        table.clear()
        table.update(before)


@contextmanager
def _replaced(values: Sequence[ir.Value], tensors: Sequence[ir.TensorProtocol]) -> Iterator[None]:
    before = [value.const_value for value in values]
    try:
        for value, tensor in zip(values, tensors, strict=True):
            value.const_value = tensor
        yield
    finally:
        for value, original in zip(values, before, strict=True):
            value.const_value = original


@contextmanager
def _signed(model: ir.Model) -> Iterator[None]:
    """Name bnexport as the producer, for the time of writing."""
    before = model.producer_name, model.producer_version
    model.producer_name, model.producer_version = "bnexport", __version__
    try:
        yield
    finally:
        model.producer_name, model.producer_version = before
