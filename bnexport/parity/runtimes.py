"""The ways in which ONNX Runtime can serve a file, by the names under which users ask for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import TensorProto
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from bnexport.errors import MissingRuntime, UsageError
from bnexport.parity.onnx_runner import OnnxRunner
from bnexport.parity.rounded import TITLE, RoundedRunner
from bnexport.parity.runner import RunFailed

__all__ = ["RUNTIMES", "check_runtimes", "obstacle", "onnx_runners"]


@dataclass(frozen=True)
class _Served:
    provider: str
    optimise: bool = True
    title: str = "ONNX Runtime"
    rounded: bool = False


RUNTIMES: Mapping[str, _Served] = {
    "ort": _Served("cpu"),
    "ort-plain": _Served("cpu", optimise=False, title="ONNX Runtime unoptimised"),
    "ort-rounded": _Served("cpu", optimise=False, title=TITLE, rounded=True),
    "ort-cuda": _Served("cuda"),
    "ort-trt": _Served("tensorrt"),
}


def check_runtimes(names: Sequence[str]) -> tuple[str, ...]:
    """The names, each once.

    Raises:
        UsageError: One of them is not known.
    """
    for name in names:
        if name not in RUNTIMES:
            raise UsageError(f"runtime {name!r}", f"there are {', '.join(RUNTIMES)}")
    return tuple(dict.fromkeys(names))


def obstacle(name: str) -> str:
    """Why a runtime cannot run here; empty where it runs a graph of one operator.

    Raises:
        UsageError: The name is not known.
    """
    (runner,) = onnx_runners(_trivial(), [name], None)
    try:
        with runner:
            runner.run((np.zeros((1, 1), np.float32),))
    except (MissingRuntime, RunFailed) as failure:
        return failure.why
    return ""


def _trivial() -> bytes:
    x, y = (make_tensor_value_info(each, TensorProto.FLOAT, (1, 1)) for each in "xy")
    graph = make_graph([make_node("Relu", ["x"], ["y"])], "trivial", [x], [y])
    model = make_model(graph, ir_version=10, opset_imports=[make_opsetid("", 18)])
    content: bytes = model.SerializeToString()
    return content


def onnx_runners(
    source: Path | bytes,
    names: Sequence[str],
    outputs: Sequence[str] | None,
    precision: str | None = None,
    threads: int | None = None,
    stream: int | None = None,
    *,
    ours: bool = False,
) -> list[OnnxRunner]:
    """One runner a name; entering one that cannot run here raises `MissingRuntime`.

    Args:
        source: The ONNX file, or its bytes.
        names: Of ``RUNTIMES``.
        outputs: As in `OnnxRunner`.
        precision: See ``outputs``.
        threads: See ``outputs``; not of ``ort-rounded``.
        stream: See ``threads``.
        ours: As in `OnnxRunner`.

    Raises:
        UsageError: A name is not known.
    """
    chosen = [RUNTIMES[name] for name in check_runtimes(names)]
    return [_runner(each, source, outputs, precision, threads, stream, ours) for each in chosen]


def _runner(
    served: _Served,
    source: Path | bytes,
    outputs: Sequence[str] | None,
    precision: str | None,
    threads: int | None,
    stream: int | None,
    ours: bool,
) -> OnnxRunner:
    if served.rounded:
        return RoundedRunner(source, precision=precision, outputs=outputs)
    return OnnxRunner(
        source,
        provider=served.provider,
        optimise=served.optimise,
        outputs=outputs,
        title=served.title,
        precision=precision,
        threads=threads,
        stream=stream,
        ours=ours,
    )
