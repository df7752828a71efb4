"""An ONNX file as runtimes are given it: checked bytes, and weights where they lie in files that we opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bnexport.isolation.session import Mapped
from bnexport.load.limits import Limits, in_force
from bnexport.load.onnx_file import check_text, parse_onnx
from bnexport.load.onnx_graph import GraphCheck
from bnexport.load.onnx_tensors import TensorCheck

__all__ = ["Served", "serve"]


@dataclass(frozen=True)
class Served:
    """What a session is opened from.

    Attributes:
        model: The serialised graph.
        weights: Those that lie in a file of their own.
        files: These files, open.
    """

    model: bytes
    weights: tuple[Mapped, ...]
    files: tuple[BinaryIO, ...]

    def close(self) -> None:
        """Close the files."""
        for file in self.files:
            file.close()


def serve(path: Path, limits: Limits | None = None) -> Served:
    """Check a file; external data is opened by us and left where it is.

    Raises:
        Refused: The file is no ONNX, is malformed, or reaches outside its folder.
    """
    limits = limits or in_force()
    proto = parse_onnx(path)
    tensors = TensorCheck(path, limits, map_data=True)
    try:
        GraphCheck(str(path), proto, tensors, limits).check()
        check_text(proto, str(path))
    except BaseException:
        tensors.close()
        raise
    weights, files = tensors.mapped()
    return Served(proto.SerializeToString(), weights, files)
