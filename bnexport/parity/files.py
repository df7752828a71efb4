"""Two files held against each other: ``bnexport verify A B``, where A is right by definition."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bnexport.errors import Refused, UsageError
from bnexport.events import Observer, silent
from bnexport.inputs import Examples
from bnexport.load.sniff import ENGINE_HEADS
from bnexport.parity.arrays import from_torch
from bnexport.parity.onnx_runner import OnnxRunner
from bnexport.parity.reference import OnnxReference, Reference
from bnexport.parity.result import Parity
from bnexport.parity.runner import Runner
from bnexport.parity.runtimes import onnx_runners
from bnexport.parity.torch_runner import ExportedRunner, TorchScriptRunner
from bnexport.parity.verify import verify_runners

if TYPE_CHECKING:
    import onnx

__all__ = ["runs_as_it_is", "verify_file", "verify_files"]

_KINDS = "bnexport verifies ONNX files, TorchScript and torch.export archives, TensorRT engines"


@dataclass(frozen=True)
class _File:
    """One side: how it runs, and what it says of its own inputs and outputs (None: nothing)."""

    path: Path
    runner: Runner
    graph: onnx.ModelProto | None = None
    expected: Sequence[str] | None = None

    @property
    def outputs(self) -> tuple[str, ...] | None:
        return tuple(value.name for value in self.graph.graph.output) if self.graph else None


def verify_files(
    a: Path | str,
    b: Path | str,
    examples: Examples | None = None,
    *,
    batches: Sequence[int] = (1, 8),
    atol: float | None = None,
    rtol: float | None = None,
    mixes_batch: bool = False,
    runtimes: Sequence[str] = (),
    trust: bool = False,
    observe: Observer = silent,
) -> Parity:
    """Run both files on the same inputs; ``b`` is judged, ``a`` is what it should be.

    Args:
        a: The reference.
        b: The file in question.
        examples: The inputs; None: as an ONNX file among the two declares them.
        batches: The batch sizes.
        atol: With ``rtol``, in place of the yardstick, as in `verify_runners`.
        rtol: See ``atol``.
        mixes_batch: Whether the model mixes the samples of a batch on purpose.
        runtimes: Of `RUNTIMES`, what an ONNX file ``b`` is run in; none: ``ort``.
        trust: Whether TorchScript and ``torch.export`` archives may run their code on being read.
        observe: Told when a side is done.

    Raises:
        Refused: A file is missing, of no known kind, or would run code without ``trust``.
        UsageError: The inputs' shapes cannot be told; a runtime is not known, or ``b`` is no ONNX file.
        MissingRuntime: A runtime that a file needs is not usable here.
        RunFailed: ``a`` itself cannot run.
    """
    first = _open(Path(a), trust)
    chosen = examples or _declared(first, _open(Path(b), trust))
    names = first.outputs or _counted(first, chosen)
    return verify_file(
        _reference(first),
        names if first.outputs else None,
        b,
        chosen,
        output_names=names,
        batches=batches,
        atol=atol,
        rtol=rtol,
        mixes_batch=mixes_batch,
        runtimes=runtimes,
        trust=trust,
        observe=observe,
    )


def verify_file(
    reference: Reference,
    expected: Sequence[str] | None,
    file: Path | str,
    examples: Examples,
    *,
    output_names: Sequence[str],
    batches: Sequence[int] = (1, 8),
    atol: float | None = None,
    rtol: float | None = None,
    mixes_batch: bool = False,
    runtimes: Sequence[str] = (),
    trust: bool = False,
    observe: Observer = silent,
) -> Parity:
    """Judge one file by a reference.

    Args:
        reference: What is right.
        expected: The names that the file's outputs must have, in order; a file that has other names for all of
            them is taken by their places. None: any.
        file: The file in question.
        examples: The inputs.
        output_names: What to call the outputs.
        batches: The batch sizes.
        atol: As in `verify_runners`.
        rtol: As in `verify_runners`.
        mixes_batch: As in `verify_runners`.
        runtimes: As in `verify_files`.
        trust: As in `verify_files`.
        observe: Told when a side is done.

    Raises:
        Refused: The file is missing, of no known kind, or would run code without ``trust``.
        MissingRuntime: Its runtime is not usable here.
        RunFailed: The reference itself cannot run.
    """
    return verify_runners(
        reference,
        _runners(_open(Path(file), trust, expected), runtimes),
        examples,
        output_names=output_names,
        batches=batches,
        atol=atol,
        rtol=rtol,
        mixes_batch=mixes_batch,
        observe=observe,
    )


def _open(path: Path, trust: bool, expected: Sequence[str] | None = None) -> _File:
    if not path.is_file():
        raise Refused(str(path), "no such file", "Check the path")
    with path.open("rb") as file:
        head = file.read(4)
    if head in ENGINE_HEADS:
        return _File(path, _engine(path))
    if head == b"PK\x03\x04":
        return _File(path, _archive(path, trust))
    graph = _graph(path)
    names = {value.name for value in graph.graph.output}
    if expected is not None and len(expected) == len(names) and not names & set(expected):
        expected = None
    return _File(path, OnnxRunner(path, outputs=expected), graph, expected)


def _runners(file: _File, runtimes: Sequence[str]) -> Sequence[Runner]:
    if not runtimes:
        return [file.runner]
    if file.graph is None:
        why = f"{file.path.name} runs in {file.runner.name}"
        raise UsageError("runtimes are chosen for an ONNX file", why, "Leave them out")
    return onnx_runners(file.path, runtimes, file.expected)


def runs_as_it_is(path: Path, trust: bool) -> bool:
    """Whether a file is one that a runtime opens, rather than a module or its weights.

    Args:
        path: The file.
        trust: Whether archives that run code on being read count.
    """
    with path.open("rb") as file:
        head = file.read(4)
    if head != b"PK\x03\x04":
        return head in ENGINE_HEADS or _is_graph(path)
    return trust and _holds_code(path)


def _is_graph(path: Path) -> bool:
    try:
        return bool(_graph(path).graph.output)
    except Refused:
        return False


def _holds_code(path: Path) -> bool:
    try:
        _archive(path, trust=True)
    except Refused:
        return False
    return True


def _graph(path: Path) -> onnx.ModelProto:
    """The file without its weights' data.

    Raises:
        Refused: It is no ONNX file.
    """
    from bnexport.load.onnx_file import declared_onnx

    model = declared_onnx(path)
    if model is None:
        raise Refused(str(path), "this is no model that bnexport can run", _KINDS)
    return model


def _archive(path: Path, trust: bool) -> Runner:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise Refused(str(path), f"a damaged archive ({error})") from error
    exported = any(name.endswith(("archive_format", "/models/model.json")) for name in names)
    if not exported and not any("/code/" in name for name in names):
        remedy = "Convert it first: bnexport convert"
        raise Refused(str(path), "an archive of weights, not of a model that can run", remedy)
    kind = "torch.export" if exported else "TorchScript"
    if not trust:
        why = f"reading a {kind} archive can run code that it holds"
        raise Refused(str(path), why, "If you trust it: --trust-torchscript")
    return ExportedRunner(path) if exported else TorchScriptRunner(path)


def _engine(path: Path) -> Runner:
    from bnexport.targets.tensorrt import EngineRunner

    return EngineRunner(path)


def _reference(file: _File) -> Reference:
    if file.graph is not None:
        return OnnxReference(file.path)
    runner = file.runner
    description = f"{file.path.name} as given, in {runner.name} {runner.version}"
    return Reference(runner, runner, runner, description)


def _declared(*files: _File) -> Examples:
    """The inputs that the first ONNX file among them declares.

    Raises:
        UsageError: There is none, or it leaves an axis other than the batch free.
    """
    import onnx_ir as ir

    from bnexport.inputs.graph import examples_of

    for file in files:
        if file.graph is not None:
            return examples_of(ir.from_proto(file.graph))
    what = f"the inputs of {files[0].path.name} and {files[-1].path.name} cannot be told"
    raise UsageError(what, "neither is an ONNX file", "Say their shape: --input Nx3x224x224")


def _counted(file: _File, examples: Examples) -> tuple[str, ...]:
    """Names for the outputs of a file that does not name them."""
    with file.runner as runner:
        count = len(runner.run(from_torch(examples.batch(1))))
    return tuple(f"output_{i}" for i in range(count)) if count != 1 else ("output",)
