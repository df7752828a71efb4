"""Build an engine in the worker, where there is one: the parser and the builder are native code that may crash."""

from __future__ import annotations

from pathlib import Path

from bnexport.events import Event, Observer
from bnexport.isolation import current
from bnexport.isolation.worker import Step
from bnexport.targets.tensorrt.builder import build_engine
from bnexport.targets.tensorrt.flavour import Flavour
from bnexport.targets.tensorrt.info import EngineInfo
from bnexport.targets.tensorrt.options import EngineOptions

__all__ = ["build_apart"]


def build_apart(
    onnx_path: Path, engine_path: Path, flavour: Flavour, options: EngineOptions, observe: Observer
) -> EngineInfo:
    """As `build_engine`; files are read and written by the worker, so that no engine goes through a pipe.

    Raises:
        NativeFailure: TensorRT brought the worker down.
        BnexportError: As `build_engine`.
    """
    scope = current()
    if scope is None:
        return build_engine(onnx_path, engine_path, flavour, options, observe)
    step = Step(
        "build", f"{flavour.title}, building the engine,", evidence={"model.onnx": onnx_path}
    )
    arguments = {
        "onnx": str(onnx_path.absolute()),
        "engine": str(engine_path.absolute()),
        "flavour": flavour.name,
        "options": options.to_json(),
    }
    answer = scope.worker().call(step, arguments, observe=lambda told: observe(Event(**told)))
    return EngineInfo.from_json(answer.head["info"])
