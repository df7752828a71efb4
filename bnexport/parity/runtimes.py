"""The ways in which ONNX Runtime can serve a file, by the names under which users ask for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bnexport.errors import UsageError
from bnexport.parity.onnx_runner import OnnxRunner

__all__ = ["RUNTIMES", "check_runtimes", "onnx_runners"]


@dataclass(frozen=True)
class _Served:
    provider: str
    optimise: bool = True
    title: str = "ONNX Runtime"


RUNTIMES: Mapping[str, _Served] = {
    "ort": _Served("cpu"),
    "ort-plain": _Served("cpu", optimise=False, title="ONNX Runtime unoptimised"),
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


def onnx_runners(
    path: Path, names: Sequence[str], outputs: Sequence[str] | None
) -> list[OnnxRunner]:
    """One runner a name; entering one that cannot run here raises `MissingRuntime`.

    Args:
        path: The ONNX file.
        names: Of ``RUNTIMES``.
        outputs: As in `OnnxRunner`.

    Raises:
        UsageError: A name is not known.
    """
    chosen = [RUNTIMES[name] for name in check_runtimes(names)]
    return [
        OnnxRunner(
            path,
            provider=each.provider,
            optimise=each.optimise,
            outputs=outputs,
            title=each.title,
        )
        for each in chosen
    ]
