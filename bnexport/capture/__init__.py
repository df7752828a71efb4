"""Capture: a prepared module to an ONNX graph, with the batch axis free from 1.

There are two roads. The fast one runs the module at two batch sizes and writes down what it calls; where it is not
sure, the slow one takes over, by way of torch.export and torch.onnx. Verification judges both alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir
import torch

from bnexport.capture.opset import DEFAULT_OPSET
from bnexport.errors import ExportError
from bnexport.inputs import Examples
from bnexport.passes.modules import copy_module
from bnexport.signature import Plain

__all__ = ["DEFAULT_OPSET", "Captured", "capture", "recorded"]


@dataclass(frozen=True)
class Captured:
    """The graph, and how it was come by.

    Attributes:
        model: The graph.
        road: ``fast`` or ``export``.
        note: Why the fast road was not taken, in a sentence; empty where it was, or was not asked for.
        outputs: What the module gave on the way, by batch size.
    """

    model: ir.Model
    road: str
    note: str = ""
    outputs: Mapping[int, tuple[torch.Tensor, ...]] = field(default_factory=dict)


def capture(
    plain: Plain,
    examples: Examples,
    opset: int | None = None,
    *,
    road: str = "export",
    batches: Sequence[int] = (1, 2),
    suspected: Callable[[], object] = lambda: None,
) -> Captured:
    """Write ``plain`` in ONNX; no folding is done here.

    Args:
        plain: In eval mode; it has been called, so that its outputs have names.
        examples: Where the example batches come from.
        opset: The ONNX opset; None: `DEFAULT_OPSET`.
        road: ``fast``, ``export``, or ``auto``: the fast one where it can be sure.
        batches: Two batch sizes, for the fast road; the example of the slow one has the second.
        suspected: Called where what torch.export captured may draw random numbers or take statistics over the batch.

    Raises:
        ExportError: torch cannot capture the module, an operator has no ONNX translation, or the batch axis came out
            fixed; or the fast road alone was asked for and is not sure.
    """
    note = ""
    if road != "export":
        # Of a copy: what a recording leaves in a module is nothing to go on with.
        copied = copy_module(plain)
        assert isinstance(copied, Plain)
        found = recorded(copied, examples, opset, batches, alone=road == "fast")
        if isinstance(found, Captured):
            return found
        note = found
    from bnexport.capture.export import export

    exported = export(plain, examples, opset or DEFAULT_OPSET, suspected, batches[1])
    return Captured(exported.model, "export", note, exported.outputs)


def recorded(
    plain: Plain,
    examples: Examples,
    opset: int | None = None,
    batches: Sequence[int] = (1, 2),
    *,
    alone: bool = False,
) -> Captured | str:
    """The fast road; or a sentence that says why it is not sure of the module.

    Args:
        plain: In eval mode.
        examples: Where the example batches come from.
        opset: As in `capture`.
        batches: Two batch sizes.
        alone: Whether there is no other road.

    Raises:
        ExportError: It is not sure, and there is no other road.
    """
    from bnexport.capture.tape import Unsure, capture_tape

    samples = {n: examples.batch(n) for n in batches}
    try:
        made = capture_tape(plain, samples, opset or DEFAULT_OPSET)
        return Captured(made.model, "fast", outputs={made.batch: made.outputs})
    except Unsure as doubt:
        why = str(doubt)
    except Exception as error:
        # The module's own code may fail in any way when it is watched; torch.export says it better.
        first = str(error).strip().partition("\n")[0]
        why = f"the module fails while it is recorded ({type(error).__name__}: {first})"
    if alone:
        remedy = "Leave out --capture fast: torch.export may know it"
        raise ExportError("the fast capture is not sure of the model", why, remedy)
    return f"captured by torch.export: {why}"
