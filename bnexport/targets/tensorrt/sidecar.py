"""The JSON file beside an engine: what it is, and the hash without which it is not opened."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bnexport import __version__
from bnexport.disk import file_sha256, output_errors
from bnexport.errors import Refused
from bnexport.report.document import dumps
from bnexport.targets.tensorrt.info import EngineInfo

__all__ = ["SCHEMA", "Sidecar", "read_sidecar", "sidecar_path", "write_sidecar"]

SCHEMA = "bnexport.engine/1"


@dataclass(frozen=True)
class Sidecar:
    """What running an engine needs of its sidecar.

    Attributes:
        sha256: Of the engine's bytes.
        flavour: ``tensorrt`` or ``tensorrt_rtx``.
        version: Of that library.
        targets: ``sm_89``, ...
        precision: ``float32``, ``tf32``, ``float16``, ``bfloat16``.
        inputs: Names, in order.
        outputs: Names, in order.
        fixed_batch: The one batch that a static engine takes; None: it has profiles.
        bytes: The engine's length.
    """

    sha256: str
    flavour: str
    version: str
    targets: tuple[str, ...]
    precision: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    fixed_batch: int | None = None
    bytes: int = 0

    def fault(self, length: int, sha256: str) -> str:
        """Why a file of this length and hash is not the engine that is meant; empty where it is."""
        if sha256 == self.sha256:
            return ""
        if length < self.bytes:
            return f"it was cut off: {length:,} of {self.bytes:,} bytes are there"
        return "an engine is native code, and this is not the one that its sidecar names"

    @classmethod
    def read(cls, engine: Path) -> Sidecar:
        """Read the sidecar of an engine.

        Raises:
            Refused: There is none, or it is not one of ours.
        """
        data = read_sidecar(engine)
        try:
            return _parsed(data)
        except (KeyError, TypeError) as error:
            what = f"engine {engine} will not be opened"
            why = f"{sidecar_path(engine).name} lacks {error}"
            raise Refused(what, why, "Convert the model again") from error


def sidecar_path(engine: Path) -> Path:
    """``model.engine.json`` for ``model.engine``."""
    return engine.with_name(engine.name + ".json")


def write_sidecar(path: Path, info: EngineInfo, **extra: Any) -> Path:
    """Write what is known of an engine beside it.

    Args:
        path: The engine.
        info: From `build_engine`.
        **extra: Further facts in JSON's types: ``onnx_sha256``, ``ledger``, ``parity``.

    Returns:
        The path of the sidecar.

    Raises:
        OutputError: It cannot be written.
    """
    target = sidecar_path(path)
    with output_errors(target):
        document = {
            "schema": SCHEMA,
            "bnexport": __version__,
            "engine": path.name,
            "engine_sha256": file_sha256(path),
            **asdict(info),
            **extra,
        }
        target.write_text(dumps(document) + "\n", encoding="utf-8")
    return target


def read_sidecar(engine: Path) -> dict[str, Any]:
    """The sidecar of an engine, as it was written.

    Raises:
        Refused: There is none, or it is not one of ours.
    """
    path = sidecar_path(engine)
    what = f"engine {engine} will not be opened"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        why = f"an engine is native code, and {path.name}, which names its hash, is not beside it"
        raise Refused(what, why, "Convert the model again") from error
    except (OSError, ValueError) as error:
        raise Refused(what, f"{path.name} cannot be read ({error})") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise Refused(what, f"{path.name} is not of the form {SCHEMA}", "Convert the model again")
    return data


def _parsed(data: dict[str, Any]) -> Sidecar:
    return Sidecar(
        sha256=str(data["engine_sha256"]),
        flavour=str(data["flavour"]),
        version=str(data["version"]),
        targets=tuple(map(str, data["targets"])),
        precision=str(data["precision"]),
        inputs=tuple(str(tensor["name"]) for tensor in data["inputs"]),
        outputs=tuple(str(tensor["name"]) for tensor in data["outputs"]),
        fixed_batch=_fixed(data) if data.get("static") else None,
        bytes=int(data.get("bytes", 0)),
    )


def _fixed(data: dict[str, Any]) -> int | None:
    shape = next((tensor["shape"] for tensor in data["inputs"] if tensor["shape"]), None)
    return None if shape is None else int(shape[0])
