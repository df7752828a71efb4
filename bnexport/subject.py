"""What is converted: a graph, the examples to run it on, and the reference to hold it against."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx_ir as ir
import onnx_ir.passes.common as common
import torch

from bnexport.capture import Captured, capture, recorded
from bnexport.drift.taps import Tapped
from bnexport.errors import ExportError, UsageError
from bnexport.events import Observer, silent, stage
from bnexport.health import BatchNormFacts, batch_norms, examine
from bnexport.health.passes import run_once
from bnexport.inputs import Examples, InputSpec, complete, infer, parse_input, read_inputs
from bnexport.inputs.graph import examples_of
from bnexport.load.loaded import Loaded
from bnexport.parity import OnnxReference, Reference, reference_for
from bnexport.parity.arrays import from_torch
from bnexport.parity.reference import as_it_is
from bnexport.parity.runner import Knowing
from bnexport.passes.graphs.simplify import LARGEST_BYTES, weight_bytes
from bnexport.passes.modules import unwrap
from bnexport.prepare import prepare
from bnexport.scripted import from_script
from bnexport.signature import Plain, parameter_names

__all__ = ["Intended", "Subject", "intended", "subject_of"]

BUILT = ("architecture", "checkpoint", "safetensors")  # formats whose module --arch built

Inputs = Sequence[str | InputSpec] | None


@dataclass(frozen=True)
class Subject:
    """A model ready to be rewritten and judged.

    Attributes:
        graph: As captured, nothing folded; used up by the rewriting.
        examples: Where batches come from.
        reference: The truth.
        outputs: The names of the outputs, in order.
        batch_norms: Those of the module, for the ledger.
        plain: The prepared module; None for an ONNX file.
        road: How the graph was captured: ``fast`` or ``export``; empty for an ONNX file.
        notes: Sentences for the summary.
        watch: Looks for what makes the model itself wrong, in forward passes of another copy; None: they were seen.
    """

    graph: ir.Model
    examples: Examples
    reference: Reference
    outputs: tuple[str, ...]
    batch_norms: tuple[BatchNormFacts, ...] = ()
    plain: Plain | None = None
    road: str = ""
    notes: tuple[str, ...] = ()
    watch: Callable[[], object] | None = None


@dataclass(frozen=True)
class Intended:
    """A module in eval mode, and the examples that it runs on.

    Attributes:
        plain: The prepared module, with tensors in and tensors out.
        examples: Where batches come from.
        batch_norms: Those of the module, for the ledger.
        notes: Sentences for the summary.
        run: What it gave when it was watched, by batch size.
    """

    plain: Plain
    examples: Examples
    batch_norms: tuple[BatchNormFacts, ...]
    notes: tuple[str, ...]
    run: Mapping[int, tuple[torch.Tensor, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, subject: Subject) -> Intended:
        """The module that a subject was captured from.

        Raises:
            TypeError: It came from an ONNX file.
        """
        if subject.plain is None:
            raise TypeError("a subject that was read from an ONNX file has no module")
        return cls(subject.plain, subject.examples, subject.batch_norms, subject.notes)

    def reference(self, batch: int = 2) -> Reference:
        """In float64, where it can run so, which is tried on a batch."""
        return reference_for(self.plain, self.examples.batch(batch))


def subject_of(
    loaded: Loaded,
    inputs: Inputs,
    inputs_from: Path | None,
    opset: int | None,
    observe: Observer,
    *,
    drift_taps: bool = False,
    road: str = "auto",
    batches: Sequence[int] = (1, 2),
    proof: str = "full",
    watched: bool = False,
) -> Subject:
    """Prepare, examine and capture what was loaded.

    ``drift_taps`` adds outputs that tell what the BatchNorms see (`bnexport.drift.taps`). ``road`` and ``batches``
    are those of `bnexport.capture.capture`, ``proof`` is that of `bnexport.parity.verify_runners`. Unless ``watched``
    says so, forward passes are watched only where the captured graph gives cause, for who verifies what comes of it,
    and has them watched if it is wrong.

    Raises:
        Refused: The module cannot be exported truthfully.
        ExportError: It cannot be captured.
        UsageError: The inputs do not fit it, or cannot be inferred.
    """
    if inputs and inputs_from:
        raise UsageError("inputs are given twice", "by shape and from a file", "Give one of them.")
    specs = tuple(parse_input(item) if isinstance(item, str) else item for item in inputs or ())
    if isinstance(loaded.model, ir.Model):
        if drift_taps:
            why = "its BatchNorms are operators, and may be folded"
            raise UsageError("--drift-taps of an ONNX file", why, "Give the PyTorch model")
        return _of_graph(loaded, loaded.model, specs, inputs_from)
    source = (loaded, loaded.model, specs, inputs_from, observe)
    meant = intended(*source, drift_taps=drift_taps, run=False)
    captured: Captured | None = None
    note = ""

    def watch() -> None:
        """Of another copy: what was called may keep something from it."""
        intended(*source[:-1], silent, drift_taps=drift_taps)

    if road != "export":
        with stage(observe, "capture"):
            found = recorded(meant.plain, meant.examples, opset, batches, alone=road == "fast")
        captured, note = (None, found) if isinstance(found, str) else (found, "")
        if captured is None:
            # Made anew: what a module keeps from call to call may be anything.
            meant = intended(*source, drift_taps=drift_taps, run=False)
    if captured is None:
        with stage(observe, "capture"):
            if watched:
                watch()
            captured = replace(_exported(meant, opset, batches, watch), note=note)
    notes = (*meant.notes, captured.note) if captured.note else meant.notes
    return Subject(
        captured.model,
        meant.examples,
        _reference(meant, captured, proof),
        meant.plain.outputs,
        meant.batch_norms,
        meant.plain,
        captured.road,
        notes,
        watch if captured.road == "export" else None,
    )


def _exported(
    meant: Intended,
    opset: int | None,
    batches: Sequence[int],
    watch: Callable[[], object],
) -> Captured:
    """By torch.export.

    The module is called before and behind it, so that what it keeps from its first call on is there; verification holds
    the file against the outputs of both.
    """
    plain, examples, n = meant.plain, meant.examples, batches[1]
    outputs, drew = run_once(plain, examples.batch(n))
    if drew:
        watch()
    try:
        captured = capture(plain, examples, opset, batches=batches, suspected=watch)
    except ExportError:
        with suppress(UsageError):  # watched on other batch sizes, it may not run at all
            watch()  # what is wrong with the model says it better
        raise
    return replace(captured, outputs={n: outputs, **captured.outputs})


def _reference(meant: Intended, captured: Captured, proof: str) -> Reference:
    """With what the recording gave, so that it need not be run again."""
    quick = proof == "quick"
    reference = as_it_is(meant.plain) if quick else meant.reference(1 if proof == "full" else 2)
    if isinstance(reference.rounding, Knowing):
        for n, outputs in captured.outputs.items():
            given = from_torch(meant.examples.batch(n))
            # One sample is run again, where a recorder was about it.
            if n > 1 or captured.road == "export":
                reference.rounding.know(given, from_torch(outputs))
    return reference


def intended(
    loaded: Loaded,
    module: torch.nn.Module,
    specs: tuple[InputSpec, ...],
    inputs_from: Path | None,
    observe: Observer,
    *,
    drift_taps: bool = False,
    run: bool = True,
) -> Intended:
    """The module as it is meant to run, examined.

    ``run``: whether forward passes are watched, too, as `look` does; a recording sees the same.

    Raises:
        Refused: The module cannot be exported truthfully.
        UsageError: The inputs do not fit it, or cannot be inferred.
    """
    with stage(observe, "prepare"):
        examples = _examples(unwrap(module)[0], loaded, specs, inputs_from)
        if isinstance(module, torch.jit.ScriptModule):
            module = from_script(module, examples.batch(2))
            examples = _renamed(examples, parameter_names(module))
        prepared = prepare(
            module,
            examples,
            just_built=loaded.format in BUILT,
            share=loaded.format == "pickled module" or loaded.format in BUILT,
        )
    kind = Tapped if drift_taps else Plain
    plain = kind(prepared.module, [spec.name for spec in examples.specs]).eval()
    with stage(observe, "examine"):
        examine(prepared.module)
        outputs = look(plain, examples) if run else {}
    return Intended(plain, examples, batch_norms(prepared.module), prepared.notes, outputs)


def look(plain: Plain, examples: Examples) -> dict[int, tuple[torch.Tensor, ...]]:
    """Watch forward passes of the module, and learn what its outputs are called; they are given, by batch size.

    Raises:
        Refused: They take statistics over the batch, or draw random numbers.
        UsageError: They fail on these inputs.
    """
    sample, outputs = examples.batch(2), dict[int, tuple[torch.Tensor, ...]]()

    def first(*inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with torch.no_grad():
            outputs[2] = plain(*inputs)
        return outputs[2]

    # With taps it has more outputs than the module that is watched.
    examine(plain.model, sample, plain.inputs, first if type(plain) is Plain else None)
    return outputs or {2: run_once(plain, sample)[0]}


def _of_graph(
    loaded: Loaded, graph: ir.Model, specs: tuple[InputSpec, ...], inputs_from: Path | None
) -> Subject:
    if graph.ir_version < 4:  # before it every initializer had to be an input too
        common.RemoveInitializersFromInputsPass()(graph)
    examples = examples_of(graph, specs, inputs_from)
    outputs = tuple(value.name or "" for value in graph.graph.outputs)
    return Subject(graph, examples, OnnxReference(_given(loaded, graph)), outputs)


def _given(loaded: Loaded, graph: ir.Model) -> Path | bytes:
    """The bytes that were checked, rather than the file; a protobuf ends at 2 GiB, so not for larger ones."""
    if loaded.path is not None and weight_bytes(graph) > LARGEST_BYTES:
        return loaded.path
    data: bytes = ir.to_proto(graph).SerializeToString()
    return data


def _examples(
    module: torch.nn.Module, loaded: Loaded, specs: tuple[InputSpec, ...], inputs_from: Path | None
) -> Examples:
    if inputs_from:
        return read_inputs(inputs_from, module)
    if specs:
        return Examples(complete(specs, module))
    return infer(module, loaded.example)


def _renamed(examples: Examples, names: Sequence[str]) -> Examples:
    specs = tuple(
        replace(spec, name=name) for spec, name in zip(examples.specs, names, strict=True)
    )
    return replace(examples, specs=specs)
