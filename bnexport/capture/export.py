"""The slow road: torch.export and torch.onnx, unoptimised, with the batch axis free from 1."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir
import torch

from bnexport.capture.ready import is_ready, make_ready
from bnexport.capture.torchlib import only_needed
from bnexport.errors import ExportError
from bnexport.health.graphs import is_suspect
from bnexport.inputs import Examples
from bnexport.passes.graphs.naming import adopt_names
from bnexport.passes.modules import undisturbed
from bnexport.signature import Plain

__all__ = ["Exported", "capture_program", "export"]

_FREE_BATCH = "Write shapes with x.shape[0] or -1, no loop over samples, and export a .pt2 with a dynamic batch."
EXAMPLE_BATCH = 2  # torch.export specialises on 0 and 1; from 2 it leaves the axis free


@dataclass(frozen=True)
class Exported:
    """The graph, and what the module gave on the way.

    Attributes:
        model: The graph.
        outputs: By batch size.
    """

    model: ir.Model
    outputs: Mapping[int, tuple[torch.Tensor, ...]]


def export(
    plain: Plain,
    examples: Examples,
    opset: int,
    suspected: Callable[[], object] = lambda: None,
    batch: int = EXAMPLE_BATCH,
) -> Exported:
    """Export ``plain`` to ONNX; no folding is done here.

    Args:
        plain: In eval mode; it has been called, so that its outputs have names.
        examples: Where the example batch comes from.
        opset: The ONNX opset.
        suspected: Called where what torch captured may draw random numbers or take statistics over the batch.
        batch: Of the example; more than 1.

    Raises:
        ExportError: torch cannot capture the module, an operator has no ONNX translation, or the
            batch axis came out fixed.
    """
    captured = capture_program(plain, examples, batch)
    if is_suspect(captured.graph):
        suspected()
    program = make_ready(captured)
    inputs = examples.batch(batch)
    with _quiet(), only_needed(program) if is_ready(program) else contextlib.nullcontext():
        try:
            onnx_program = torch.onnx.export(
                program,
                inputs,
                dynamo=True,
                optimize=False,
                verbose=False,
                opset_version=opset,
                input_names=list(plain.inputs),
                output_names=list(plain.outputs),
            )
        except Exception as error:
            raise _translation_error(error) from error
    if onnx_program is None:
        raise ExportError("the model cannot be translated to ONNX", "torch.onnx returned nothing")
    _name_outputs(onnx_program.model, plain.outputs)
    adopt_names(onnx_program.model, prefix="model")
    _check_batch_axis(onnx_program.model, examples, batch)
    return Exported(onnx_program.model, _check_outputs(onnx_program.model, plain, examples, batch))


def capture_program(
    plain: Plain, examples: Examples, batch: int = EXAMPLE_BATCH
) -> torch.export.ExportedProgram:
    """``torch.export`` with every batch axis dynamic, on an example of ``batch`` samples.

    Raises:
        ExportError: torch cannot capture the module.
    """
    inputs = examples.batch(batch)
    batched = [None in spec.shape for spec in examples.specs]
    problems = []
    # DYNAMIC refuses to fix the axis; AUTO copes with more graphs but may fix it without a word,
    # which _check_batch_axis then sees.
    for hint in (torch.export.Dim.DYNAMIC, torch.export.Dim.AUTO):
        shapes = (tuple({0: hint} if free else None for free in batched),)
        with _quiet():
            try:
                return torch.export.export(plain, inputs, dynamic_shapes=shapes, strict=False)
            except Exception as error:
                problems.append(error)
    raise _capture_error(problems[-1]) from problems[-1]


def _check_batch_axis(model: ir.Model, examples: Examples, batch: int) -> None:
    for value, spec in zip(model.graph.inputs, examples.specs, strict=True):
        if None not in spec.shape:
            continue
        if value.shape is None or isinstance(value.shape[0], int):
            raise ExportError(
                f"input {value.name!r}: the batch axis came out fixed at {batch}",
                "the model's forward turns the batch size into a constant",
                _FREE_BATCH,
            )


def _name_outputs(model: ir.Model, names: Sequence[str]) -> None:
    """Give every output a value of its own: what is returned twice, or is an input, was named once."""
    taken = set(model.graph.inputs)
    for index, (value, name) in enumerate(zip(list(model.graph.outputs), names, strict=True)):
        if value in taken:
            copied = ir.node("Identity", [value])
            model.graph.append(copied)
            value, source = copied.outputs[0], value
            value.shape, value.type = source.shape, source.type
            model.graph.outputs[index] = value
        value.name = name
        taken.add(value)


def _check_outputs(
    model: ir.Model, plain: Plain, examples: Examples, batch: int
) -> dict[int, tuple[torch.Tensor, ...]]:
    """What varies with the batch in PyTorch must be free in the graph: a loop over samples is unrolled.

    One sample tells that, and is run in any case; but some modules cannot take one, or drop its axis.
    """
    found: dict[int, tuple[torch.Tensor, ...]] = {}
    for n in (1, batch + 1):
        try:
            with undisturbed():
                found[n] = plain(*examples.batch(n))
        except Exception as error:
            if n == 1:
                continue
            what = f"the model runs at batch {batch} but not at {n}"
            raise ExportError(what, _first_sentence(error), _FREE_BATCH) from error
        if len(found[n]) != len(plain.outputs):
            why = f"{len(found[n])} at batch {n}, {len(plain.outputs)} at {batch}"
            raise ExportError("the number of outputs depends on the batch", why, _FREE_BATCH)
        pairs = list(zip(model.graph.outputs, found[n], strict=True))
        if n > 1 or all(len(value.shape or ()) == output.dim() for value, output in pairs):
            for value, output in pairs:
                _check_output(value, output)
            break
    return found


def _check_output(value: ir.Value, output: torch.Tensor) -> None:
    for axis, (fixed, size) in enumerate(zip(value.shape or (), output.shape, strict=False)):
        if isinstance(fixed, int) and fixed != size:
            what = f"output {value.name!r}: axis {axis} came out fixed at {fixed}"
            raise ExportError(what, "in PyTorch it varies with the batch size", _FREE_BATCH)


def _capture_error(error: Exception) -> ExportError:
    why = _first_sentence(error)
    remedy = "Run with --debug to see where in the model; data-dependent branches need torch.where."
    return ExportError("torch.export cannot capture the model", why, remedy)


def _translation_error(error: BaseException) -> ExportError:
    """Name the operator that has no translation, and the module that calls it."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    text = "\n".join(str(link) for link in chain)
    missing = re.search(
        r"No (?:ONNX function|decompositions?).*?'?<?OpOverload\(op='([^']+)'", text
    )
    if missing:
        return ExportError(
            f"operator {missing[1]!r} has no ONNX translation",
            _where(text) or "torch.onnx knows no equivalent",
            "Replace it in the model, or give it a decomposition with torch.library.",
        )
    return ExportError("torch.onnx cannot translate the model", _first_sentence(chain[-1]))


def _where(text: str) -> str:
    scope = re.search(r"n?ode %(\S+)", text)
    return f"at {scope[1]}" if scope else ""


def _first_sentence(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300].rstrip(".")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's exporter from writing to the user's terminal."""
    logging_was = logging.root.manager.disable
    aside = io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(aside),
        contextlib.redirect_stderr(aside),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)
        try:
            yield
        finally:
            logging.disable(logging_was)
