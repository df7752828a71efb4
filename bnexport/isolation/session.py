"""Sessions of ONNX Runtime: opened here, or in the worker and reached through it.

Both are given bytes that were checked and, where the weights lie in a file of their own, that file's descriptor: never
a path of the user's, which may have become another file since.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from bnexport.isolation.arrays import packed, unpacked
from bnexport.isolation.wire import Buffer
from bnexport.isolation.worker import Step, Worker

__all__ = ["Mapped", "Opening", "RemoteSession", "described", "open_session"]


@dataclass(frozen=True)
class Mapped:
    """One weight in an open file.

    Attributes:
        name: Of the initializer.
        file: Which of the files, by its place.
        offset: In bytes.
        dtype: Of NumPy.
        shape: Its shape.
    """

    name: str
    file: int
    offset: int
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Opening:
    """How a session is opened.

    Attributes:
        providers: Names and their options, in order.
        optimise: False: every optimiser off.
        threads: For one operator; None: as ONNX Runtime chooses.
        fallback: Whether nodes may run on the processor that the provider does not take.
        weights: Those that lie in files.
        files: Their descriptors.
    """

    providers: Sequence[tuple[str, Mapping[str, str]]] = (("CPUExecutionProvider", {}),)
    optimise: bool = True
    threads: int | None = None
    fallback: bool = True
    weights: tuple[Mapped, ...] = ()
    files: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """All but the descriptors."""
        return asdict(replace(self, files=()))

    @classmethod
    def from_json(cls, said: Mapping[str, Any], files: Sequence[int]) -> Self:
        """What `to_json` told of."""
        weights = tuple(
            Mapped(**{**each, "shape": tuple(each["shape"])}) for each in said["weights"]
        )
        providers = [(name, options) for name, options in said["providers"]]
        return cls(**{**said, "weights": weights, "files": tuple(files), "providers": providers})


class Value(NamedTuple):
    """An input or output, as ONNX Runtime describes it."""

    name: str
    type: str
    shape: list[int | str | None]


def open_session(model: bytes | str, opening: Opening) -> Any:
    """A session in this process.

    Raises:
        Exception: Whatever ONNX Runtime raises.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    # Threads that spin while they wait take time from others, and on a busy machine from one another.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not opening.optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if opening.threads is not None:
        options.intra_op_num_threads = opening.threads
    if not opening.fallback:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    if opening.weights:
        arrays = [_array(each, opening.files) for each in opening.weights]
        values = [ort.OrtValue.ortvalue_from_numpy(array) for array in arrays]
        options.add_external_initializers([each.name for each in opening.weights], values)
    providers = [(name, dict(told)) for name, told in opening.providers]
    return ort.InferenceSession(model, options, providers=providers)


def _array(weight: Mapped, files: Sequence[int]) -> np.ndarray:
    """A weight where it lies in its file: mapped, not read."""
    dtype = np.dtype(weight.dtype)
    size = math.prod(weight.shape) * dtype.itemsize
    if not size:
        return np.empty(weight.shape, dtype)
    descriptor = files[weight.file]
    start = weight.offset - weight.offset % mmap.ALLOCATIONGRANULARITY
    if weight.offset + size > os.fstat(descriptor).st_size:
        raise ValueError(f"the data of {weight.name!r} reaches past its file")
    # A private mapping that can be written to: ONNX Runtime takes no array that cannot.
    memory = mmap.mmap(
        descriptor, weight.offset + size - start, access=mmap.ACCESS_COPY, offset=start
    )
    count = math.prod(weight.shape)
    return np.frombuffer(memory, dtype, count, weight.offset - start).reshape(weight.shape)


def described(session: Any) -> dict[str, Any]:
    """What a session says of itself, as JSON."""
    return {
        "inputs": [[each.name, each.type, list(each.shape)] for each in session.get_inputs()],
        "outputs": [[each.name, each.type, list(each.shape)] for each in session.get_outputs()],
        "providers": list(session.get_providers()),
    }


class RemoteSession:
    """A session that lives in the worker; of ONNX Runtime's own methods it has those that are used.

    Args:
        worker: Where it lives.
        model: Checked bytes, or the path of a file that bnexport itself wrote.
        opening: How it is opened.
        title: What to call it in errors.

    Raises:
        NativeFailure: Opening it brought the worker down.
        StepError: What ONNX Runtime raised.
    """

    def __init__(self, worker: Worker, model: bytes | str, opening: Opening, title: str) -> None:
        self._worker, self._title = worker, title
        self._model = model if isinstance(model, bytes) else b""
        path = None if isinstance(model, bytes) else model
        arguments = {"path": path, "opening": opening.to_json()}
        step = Step("open", f"ONNX Runtime, opening {title},", evidence=self._evidence())
        answer = worker.call(step, arguments, [self._model], opening.files)
        told = answer.head
        self._number = int(told["session"])
        self._inputs = [Value(*each) for each in told["inputs"]]
        self._outputs = [Value(*each) for each in told["outputs"]]
        self._providers = [str(each) for each in told["providers"]]

    def get_inputs(self) -> list[Value]:
        """As of ONNX Runtime."""
        return self._inputs

    def get_outputs(self) -> list[Value]:
        """As of ONNX Runtime."""
        return self._outputs

    def get_providers(self) -> list[str]:
        """As of ONNX Runtime."""
        return self._providers

    def run(self, outputs: Sequence[str] | None, feeds: Mapping[str, np.ndarray]) -> list[Any]:
        """As of ONNX Runtime.

        Raises:
            NativeFailure: The run brought the worker down.
            StepError: What ONNX Runtime raised.
        """
        said, blobs = packed(list(feeds.values()))
        arguments = {
            "session": self._number,
            "outputs": None if outputs is None else list(outputs),
            "names": list(feeds),
            "arrays": said,
        }
        step = Step("run", f"ONNX Runtime, running {self._title},", evidence=self._evidence())
        answer = self._worker.call(step, arguments, blobs)
        return unpacked(answer.head["arrays"], answer.blobs)

    def close(self) -> None:
        """Free it in the worker."""
        if self._worker.alive:
            self._worker.call(Step("close", "ONNX Runtime"), {"session": self._number})

    def _evidence(self) -> dict[str, Buffer | Path]:
        return {"model.onnx": self._model} if self._model else {}
