"""ONNX Runtime sessions for the benchmarks, and how far their outputs are from PyTorch's."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort

__all__ = ["pin", "relative_error", "runner"]


def pin(threads: int) -> None:
    """Tie the main thread to the first core where a session has a thread on the second."""
    cores = range(os.cpu_count() or 1) if threads == 1 else [0]
    os.sched_setaffinity(0, cores)


def runner(path: Path, x: np.ndarray, threads: int) -> Callable[[], np.ndarray]:
    """A session at ONNX Runtime's default level of optimisation, run on ``x``.

    With several threads each has its core: where the system puts them is luck that lasts as long as the
    session. A thread without work sleeps: spinning would be counted as processor time.
    """
    session = _session(path, threads)
    name = session.get_inputs()[0].name

    def run() -> np.ndarray:
        output: np.ndarray = session.run(None, {name: x})[0]
        return output

    return run


def relative_error(path: Path, x: np.ndarray, expected: np.ndarray) -> float:
    """``||y - expected|| / ||expected||``; infinite where the shapes differ."""
    y = runner(path, x.astype(np.float32), 1)()
    if y.shape != expected.shape:
        return float("inf")
    return float(np.linalg.norm(y.astype(np.float64) - expected) / np.linalg.norm(expected))


def _session(path: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads > 1:
        cores = ";".join(str(core) for core in range(2, threads + 1))  # counted from 1
        options.add_session_config_entry("session.intra_op_thread_affinities", cores)
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
