"""Read an ONNX file: every field checked by us before any library works on it, external data opened by us."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]
from onnx_ir.passes.common import InlinePass

from bnexport.errors import Refused
from bnexport.load.errors import Corrupt, TooLarge, Unsupported
from bnexport.load.limits import Limits, in_force
from bnexport.load.onnx_graph import GraphCheck
from bnexport.load.onnx_tensors import TensorCheck

__all__ = [
    "check_text",
    "declared_onnx",
    "load_onnx",
    "names_external_data",
    "parse_onnx",
    "read_onnx",
]

_PROTOBUF_LIMIT = 1 << 31
_OLDEST_OPSET = 7
_OLDEST_IR = 3


def load_onnx(path: Path, limits: Limits) -> ir.Model:
    """The graph, whole in memory, with local functions inlined.

    Raises:
        Refused: The file is no ONNX, is malformed, or holds what cannot be converted.
    """
    proto = read_onnx(path, limits)
    try:
        model = ir.from_proto(proto)
        if model.functions:
            model = InlinePass()(model).model
    except Exception as error:
        # onnx_ir raises what it meets in fields that no check above covers: the file is malformed.
        root: BaseException = error
        while root.__cause__ is not None:
            root = root.__cause__
        reason = str(root).split("\n", 1)[0][:200]
        raise Corrupt(str(path), f"a malformed ONNX file ({reason})") from error
    _refuse_nan(model, str(path))
    return model


def read_onnx(path: Path, limits: Limits) -> onnx.ModelProto:
    """The checked message, with external data read into it.

    Raises:
        Refused: As `load_onnx`.
    """
    proto = parse_onnx(path)
    with TensorCheck(path, limits) as tensors:
        GraphCheck(str(path), proto, tensors, limits).check()
    check_text(proto, str(path))
    return proto


def declared_onnx(path: Path, limits: Limits | None = None) -> onnx.ModelProto | None:
    """The checked message with external data left out: what the file says of itself. None: it is no ONNX file.

    Raises:
        Refused: It is one, and malformed.
    """
    limits = limits or in_force()
    if path.stat().st_size >= _PROTOBUF_LIMIT:
        return None
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(path.read_bytes())
    except DecodeError:
        return None
    if not proto.ir_version or not proto.graph.output:
        return None
    _check_header(proto, str(path))
    with TensorCheck(path, limits, map_data=True) as tensors:
        GraphCheck(str(path), proto, tensors, limits).check()
    check_text(proto, str(path))
    return proto


def names_external_data(path: Path) -> bool:
    """Whether weights of this ONNX file lie in another one."""
    tensors = parse_onnx(path).graph.initializer
    return any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors)


def parse_onnx(path: Path) -> onnx.ModelProto:
    """The message, its header checked and nothing else.

    Raises:
        Refused: The file is no ONNX file, or of a version that is not read.
    """
    if path.stat().st_size >= _PROTOBUF_LIMIT:
        why = "2 GiB or more, which protobuf cannot hold"
        raise TooLarge(str(path), why, remedy="Store the weights as external data")
    proto = _parse(path)
    _check_header(proto, str(path))
    return proto


def _parse(path: Path) -> onnx.ModelProto:
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(path.read_bytes())
    except DecodeError:
        pass
    else:
        if proto.HasField("graph") and proto.graph.node:
            return proto
        if proto.HasField("graph") and proto.ir_version:
            raise Refused(str(path), "the ONNX graph holds no node: the model holds no layer")
    with path.open("rb") as file:
        # The first field of every ONNX file is ir_version, an integer.
        probable = file.read(1) == b"\x08"
    if probable:
        raise Corrupt(str(path), "a truncated or damaged ONNX file", "Export or download it again")
    why = "not a model file that bnexport knows, or a truncated one"
    remedy = "It reads torch.save files, .safetensors, torch.export archives, TorchScript and ONNX"
    raise Unsupported(str(path), why, remedy)


def _check_header(proto: onnx.ModelProto, path: str) -> None:
    domains = [opset.domain for opset in proto.opset_import]
    if len(set(domains)) != len(domains):
        raise Corrupt(path, "an operator set is listed twice")
    versions = {opset.domain: opset.version for opset in proto.opset_import}
    opset, newest = versions.get("", versions.get("ai.onnx")), onnx.defs.onnx_opset_version()
    if opset is None or not _OLDEST_OPSET <= opset <= newest:
        why = f"opset {opset} is not between {_OLDEST_OPSET} and {newest}"
        raise Unsupported(path, why, "Convert it with onnx.version_converter")
    if not _OLDEST_IR <= proto.ir_version <= onnx.IR_VERSION:
        raise Unsupported(path, f"ONNX IR version {proto.ir_version}", "Install a newer onnx")
    if proto.training_info:
        raise Unsupported(path, "it holds a training graph", "Export the model for inference")


def check_text(message: Message, path: str) -> None:
    """Names and texts are UTF-8: protobuf hands others on as bytes, at which libraries stumble later."""
    for field, value in message.ListFields():
        if field.type not in (field.TYPE_STRING, field.TYPE_MESSAGE):
            continue
        values = (
            value
            if isinstance(value, Iterable) and not isinstance(value, str | bytes)
            else (value,)
        )
        for each in values:
            if isinstance(each, bytes):
                raise Corrupt(path, f"a {field.name} that is no text: {each[:40]!r}")
            if isinstance(each, Message):
                check_text(each, path)


def _refuse_nan(model: ir.Model, path: str) -> None:
    """NaN in a weight is never meant; Inf may be, in an attention mask."""
    for graph in model.graphs():
        for name, value in graph.initializers.items():
            tensor = value.const_value
            if tensor is None or not tensor.dtype.is_floating_point():
                continue
            bad = int(np.isnan(tensor.numpy().astype(np.float32, copy=False)).sum())
            if bad:
                why = f"the weight {name!r} holds {bad} NaN"
                raise Refused(path, why, "The training diverged: use an earlier checkpoint")
