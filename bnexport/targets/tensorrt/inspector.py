"""The layers of an engine as TensorRT runs them: fused, with their formats. Needs the GPU that it was built for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bnexport.targets.tensorrt.engine import EngineRunner, can_run
from bnexport.targets.tensorrt.sidecar import Sidecar

__all__ = ["engine_layers"]


def engine_layers(path: Path) -> list[dict[str, Any]] | str:
    """Each layer with its name, its kind and its tensors; or why they cannot be told here.

    Releases differ in what a layer is called by and in the form of its tensors: what they say is kept.

    Raises:
        Refused: The engine is not the one that its sidecar names.
        RunFailed: TensorRT does not take it.
    """
    if reason := can_run(Sidecar.read(path).targets):
        return reason
    with EngineRunner(path) as runner:
        found = json.loads(runner.information())
    layers = found.get("Layers", []) if isinstance(found, dict) else []
    return [layer if isinstance(layer, dict) else {"Name": str(layer)} for layer in layers]
