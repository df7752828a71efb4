"""ONNX Runtime as a runtime: the processor, CUDA or TensorRT, never one in place of the other."""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from bnexport.errors import MissingRuntime, UsageError
from bnexport.isolation import current
from bnexport.isolation.session import Opening, RemoteSession, open_session
from bnexport.load.mapped import page_out
from bnexport.parity.arrays import Array, Arrays, is_floating
from bnexport.parity.batch_axis import Mixing, mixing
from bnexport.parity.origin import first_value
from bnexport.parity.runner import FrozenBatch, Opened, RunFailed, placed, run_errors
from bnexport.passes.graphs.shapes import InferShapes

if TYPE_CHECKING:
    import onnx_ir as ir

    from bnexport.parity.graph_side import GraphSide

__all__ = ["OnnxRunner", "cuda_obstacle", "precision_of"]

_Provider = tuple[str, dict[str, str]]
_CUDA: _Provider = ("CUDAExecutionProvider", {"use_tf32": "0"})
# The first is the one that was asked for; what TensorRT does not take goes to CUDA.
_PROVIDERS: dict[str, list[_Provider]] = {
    "cpu": [("CPUExecutionProvider", {})],
    "cuda": [_CUDA],
    "tensorrt": [("TensorrtExecutionProvider", {}), _CUDA],
}
_TITLES = {"cuda": "CUDA", "tensorrt": "TensorRT"}
_FLOATS = {"tensor(float16)": np.float16, "tensor(float)": np.float32, "tensor(double)": np.float64}
_PRECISIONS = {
    onnx.TensorProto.BFLOAT16: "bfloat16",
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.DOUBLE: "float64",
}


class OnnxRunner(Opened):
    """An ONNX file, or its bytes.

    Args:
        source: A path (external data is read beside it) or a serialised model.
        provider: ``cpu``, ``cuda`` or ``tensorrt``.
        optimise: False: every optimiser of ONNX Runtime off.
        outputs: The names that the file must have, in this order; None: whatever it has.
        title: What to call the runner, where two ONNX files are in play.
        precision: What to judge it by; None: the type of most weights.
        threads: For one operator, on the processor; None: as ONNX Runtime chooses.
        stream: The CUDA stream to run on; None: one of ONNX Runtime's own.
        ours: Whether bnexport itself wrote the file: another is checked first, and ONNX Runtime is given the checked
            bytes, never the path.
        graph: What the file holds, where that is at hand; None: it is read when it is needed.

    Raises:
        UsageError: There is no such provider.
    """

    def __init__(
        self,
        source: Path | str | bytes,
        *,
        provider: str = "cpu",
        optimise: bool = True,
        outputs: Sequence[str] | None = None,
        title: str = "ONNX Runtime",
        precision: str | None = None,
        threads: int | None = None,
        stream: int | None = None,
        ours: bool = False,
        graph: ir.Model | None = None,
    ) -> None:
        if provider not in _PROVIDERS:
            raise UsageError(f"provider {provider!r}", f"there are {', '.join(_PROVIDERS)}")
        self._source = source if isinstance(source, bytes) else str(source)
        self._optimise = optimise
        self._outputs = None if outputs is None else tuple(outputs)
        self._session: Any = None
        self._names: Sequence[str] = ()
        self.name, self.device = title, provider
        self._provider = provider
        self._judged_by = precision
        self._threads, self._stream, self._ours = threads, stream, ours
        self._graph = graph
        # Of the weights, unless it was given; told when the file is opened.
        self.precision = precision or "float32"

    @property
    def version(self) -> str:
        return str(_onnxruntime().__version__)

    def _enter(self) -> None:
        """Open the session.

        Raises:
            MissingRuntime: onnxruntime is not installed, or its provider does not work here.
            RunFailed: The file cannot be opened, or its outputs are not the expected ones.
        """
        if self._session is None:
            if self._ours:  # its weights are those of the model, which are mapped
                page_out()
            self._session = self._open()

    def _leave(self) -> None:
        if isinstance(self._session, RemoteSession):
            self._session.close()
        self._session = None

    def take(self, names: Sequence[str]) -> None:
        """As in `Named`."""
        self._names = names

    def run(self, inputs: Arrays) -> Arrays:
        session = self._session or self._open()
        feeds = self._feeds(session, inputs)
        with run_errors(self._what(), _shortened):
            return tuple(np.asarray(array) for array in session.run(None, feeds))

    def laid(self, inputs: Arrays) -> tuple[Any, dict[str, Array]]:
        """The session, and what to feed it by name: for runs from which all else is to be kept away.

        Raises:
            RunFailed: The inputs do not fit.
        """
        session = self._session or self._open()
        feeds = self._feeds(session, inputs)
        if isinstance(session, RemoteSession):
            # It is tried there once, and then opened here: a way through two processes cannot be timed.
            with run_errors(self._what(), _shortened):
                session.run(None, feeds)
            session.close()
            self._session = session = self._session_of(_onnxruntime(), here=True)
        return session, feeds

    def _feeds(self, session: Any, inputs: Arrays) -> dict[str, Array]:
        expected = session.get_inputs()
        if len(expected) != len(inputs):
            names = ", ".join(value.name for value in expected)
            why = f"{len(inputs)} inputs were given, the file has {len(expected)} ({names})"
            raise RunFailed(self._what(), why)
        inputs = placed(inputs, self._names, [value.name for value in expected])
        self._check_batch(expected, inputs)
        return {v.name: _cast(a, v.type) for v, a in zip(expected, inputs, strict=True)}

    def origin(self, inputs: Arrays) -> str:
        """The first value of the graph that is not finite; every optimiser is off for that."""
        from bnexport.parity.graph_side import GraphSide  # which runs its parts by this class

        with run_errors(self._what()):
            graph = GraphSide(
                _read(self._source, weights=True), provider=self._provider, inputs=self._names
            )
            value = first_value(graph, inputs)
        return graph.place(self._made(graph, value)) if value else ""

    def _made(self, graph: GraphSide, value: str) -> str:
        """What to call a value by."""
        return value

    def mixing(self) -> list[Mixing]:
        """The operators of the file that are seen to mix samples."""
        import onnx_ir as ir
        from onnx_ir.passes.common import LiftConstantsToInitializersPass

        if self._graph is not None:
            return mixing(self._graph)
        with run_errors(self._what()):
            graph = ir.from_proto(_read(self._source, weights=True))
            LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(graph)
            return mixing(InferShapes()(graph).model)

    def _check_batch(self, expected: Sequence[Any], inputs: Arrays) -> None:
        """Say of a fixed batch what it is: ONNX Runtime's own words are of an invalid dimension."""
        for value, array in zip(expected, inputs, strict=True):
            fixed = value.shape[0] if value.shape else None
            if isinstance(fixed, int) and array.shape[:1] != (fixed,):
                why = f"input {value.name!r} takes a batch of {fixed} alone: its batch axis was frozen at export"
                raise FrozenBatch(self._what(), why)

    def _open(self) -> Any:
        ort = _onnxruntime()
        on_gpu = self._provider in _TITLES
        session = self._on_gpu(ort) if on_gpu else self._session_of(ort)
        self.precision = self._judged_by or self._precision()
        self._check_names(tuple(value.name for value in session.get_outputs()))
        return session

    def _precision(self) -> str:
        """Of most weights; TensorRT multiplies float32 in TF32, and its provider has no switch for that."""
        found = precision_of(self._source) if self._graph is None else precision_in(self._graph)
        return "tf32" if found == "float32" and self._provider == "tensorrt" else found

    def _on_gpu(self, ort: ModuleType) -> Any:
        """A session on a GPU; ``device`` says so where some nodes had to stay on the processor.

        ONNX Runtime keeps shape arithmetic there on purpose, and its switch against falling back
        refuses that too, in the words it has for CUDA that did not load at all.
        """
        provider, _ = _PROVIDERS[self._provider][0]
        what = f"ONNX Runtime on {_TITLES[self._provider]}"
        if obstacle := _obstacle(provider):
            raise MissingRuntime(what, obstacle, _GPU_REMEDY)
        try:
            session = self._session_of(ort, fallback=False)
            self.device = self._provider
        except RunFailed as failure:
            if _MIXED not in str(failure.__cause__):
                raise
            session = self._session_of(ort)
            self.device = f"{self._provider} + cpu"
        if session.get_providers()[0] != provider:
            raise MissingRuntime(what, "its libraries did not load", _GPU_REMEDY)
        return session

    def _session_of(self, ort: ModuleType, *, fallback: bool = True, here: bool = False) -> Any:
        """A session: in the worker where the graph is somebody else's and there is one, unless it must be here."""
        opening = Opening(
            _on_stream(_PROVIDERS[self._provider], self._stream),
            optimise=self._optimise,
            threads=self._threads,
            fallback=fallback,
        )
        with self._checked(opening) as (model, opening), run_errors(self._what(), _shortened):
            scope = current()
            if scope is None or not scope.foreign or here or self._stream is not None:
                return open_session(model, opening)
            return RemoteSession(scope.worker(), model, opening, self._title())

    @contextlib.contextmanager
    def _checked(self, opening: Opening) -> Iterator[tuple[bytes | str, Opening]]:
        """What ONNX Runtime is given: bytes, or the path of a file of our own."""
        if isinstance(self._source, bytes) or self._ours:
            yield self._source, opening
            return
        from bnexport.load.onnx_served import serve

        served = serve(Path(self._source))
        try:
            files = tuple(file.fileno() for file in served.files)
            yield served.model, replace(opening, weights=served.weights, files=files)
        finally:
            served.close()

    def _title(self) -> str:
        return "the model" if isinstance(self._source, bytes) else Path(self._source).name

    def _check_names(self, found: tuple[str, ...]) -> None:
        if self._outputs not in (None, found):
            why = f"its outputs are {', '.join(found)}; expected {', '.join(self._outputs or ())}"
            raise RunFailed(self._what(), why)

    def _what(self) -> str:
        source = self._source
        return f"ONNX Runtime cannot run {source if isinstance(source, str) else 'the model'}"


_CODE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : ")
_FAILING = re.compile(
    r"\w+ : Non-zero status code returned while running (\w+) node\. Name:'[^']*' Status Message: "
)
_CONDITION = re.compile(r"\S+:\d+ .*? was false\. ")
_MIXED = "fallback to CPU EP has been explicitly disabled"
_GPU_REMEDY = "Install `bnexport[gpu]` on a machine with an NVIDIA GPU, or leave it out"


def cuda_obstacle() -> str:
    """Why ONNX Runtime cannot use CUDA here; empty when it can be tried."""
    return _obstacle(_CUDA[0])


def _obstacle(provider: str) -> str:
    """Why a provider that needs a GPU cannot be used here."""
    import torch

    ort = _onnxruntime()
    if provider not in ort.get_available_providers():
        return f"onnxruntime {ort.__version__} here has no {provider}"
    if not torch.cuda.is_available():
        return "no CUDA device"
    if hasattr(ort, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            ort.preload_dlls()
    return ""


def _onnxruntime() -> ModuleType:
    try:
        import onnxruntime
    except ImportError as error:
        why = f"onnxruntime cannot be imported ({error})"
        raise MissingRuntime("ONNX Runtime", why, "Type `pip install bnexport[cpu]`") from error
    if not hasattr(onnxruntime, "InferenceSession"):
        why = "its folder is there and its library is not: onnxruntime and onnxruntime-gpu clashed"
        remedy = "Uninstall both, then install one"
        raise MissingRuntime("ONNX Runtime", why, remedy)
    runtime: ModuleType = onnxruntime
    return runtime


def _on_stream(providers: list[_Provider], stream: int | None) -> list[_Provider]:
    if stream is None:
        return providers
    return [(name, {**options, "user_compute_stream": str(stream)}) for name, options in providers]


def _shortened(line: str) -> str:
    """Without ONNX Runtime's own codes, files and conditions: ``Reshape: The input tensor cannot be ...``."""
    return _CONDITION.sub("", _FAILING.sub(r"\1: ", _CODE.sub("", line)))


def _cast(array: Array, kind: str) -> Array:
    """A float input in the width that the file asks for; other types go as they are."""
    return array.astype(_FLOATS[kind]) if is_floating(array) and kind in _FLOATS else array


def _read(source: str | bytes, *, weights: bool) -> onnx.ModelProto:
    if isinstance(source, bytes):
        return onnx.load_model_from_string(source)
    from bnexport.load.limits import in_force
    from bnexport.load.onnx_file import parse_onnx, read_onnx

    return read_onnx(Path(source), in_force()) if weights else parse_onnx(Path(source))


def precision_in(model: ir.Model) -> str:
    """As `precision_of`, of a graph that is at hand."""
    counts = Counter[int]()
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if tensor is not None and value.uses() and int(tensor.dtype) in _PRECISIONS:
            counts[int(tensor.dtype)] += tensor.size
    return _of_most(counts)


def precision_of(source: str | bytes) -> str:
    """The narrowest type that a tenth of the weights have: a stray one does not make the others coarse."""
    graph = _read(source, weights=False).graph
    used = {name for node in graph.node for name in node.input}
    counts = Counter[int]()
    for tensor in graph.initializer:
        if tensor.name in used and tensor.data_type in _PRECISIONS:
            counts[tensor.data_type] += math.prod(tensor.dims)
    return _of_most(counts)


def _of_most(counts: Counter[int]) -> str:
    share = counts.total() / 10
    return next((name for code, name in _PRECISIONS.items() if counts[code] > share), "float32")
