"""A tape to an ONNX graph."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir
import torch
from onnx_ir.passes.common import RemoveUnusedNodesPass

from bnexport.capture.tape.emitter import Emitter
from bnexport.capture.tape.recorder import record
from bnexport.capture.tape.rows import TABLE
from bnexport.capture.tape.sizes import Unsure
from bnexport.capture.tape.stand_ins import spoil
from bnexport.capture.tape.state import State, same_state
from bnexport.capture.tape.tape import Ref, Tape
from bnexport.signature import Plain

__all__ = ["Recorded", "capture_tape"]

_OLDEST, _NEWEST = 18, 25  # opsets whose operators the table is written for


@dataclass(frozen=True)
class Recorded:
    """A graph, and what the module gave while it was recorded on the larger batch.

    Attributes:
        model: The graph.
        batch: At which batch size.
        outputs: What it gave.
    """

    model: ir.Model
    batch: int
    outputs: tuple[torch.Tensor, ...]


def capture_tape(
    plain: Plain, samples: Mapping[int, Sequence[torch.Tensor]], opset: int
) -> Recorded:
    """Record ``plain`` at two batch sizes and write what it did in ONNX.

    Args:
        plain: In eval mode.
        samples: The inputs at each of two batch sizes.
        opset: The ONNX opset.

    Raises:
        Unsure: It cannot be told what the module does at other batch sizes or on other values, or it calls what has
            no translation.
    """
    if not _OLDEST <= opset <= _NEWEST:
        raise Unsure(f"opset {opset} is not one that it is written for")
    state = State(plain.model)
    stood: list[weakref.ref[torch.Tensor]] = []
    try:
        tape = _recorded(plain, samples, state, stood)
    finally:
        state.restore()  # among what it keeps may be sizes that only a recording understands
        spoil(stood, plain)
    model = translate(tape, plain.inputs, plain.outputs, opset)
    _check(model)
    return Recorded(model, tape.batch, tape.results)


def _recorded(
    plain: Plain,
    samples: Mapping[int, Sequence[torch.Tensor]],
    state: State,
    stood: list[weakref.ref[torch.Tensor]],
) -> Tape:
    """The recording at the larger batch size, with the smaller one for a witness, whose numbers are of no account.

    What a module keeps from its first call on, a grid say, is a constant from the second on; if it comes out the same
    at either size, and on other numbers.
    """
    (first, few), (second, many) = sorted(samples.items())

    def recorded() -> Tape:
        witness = record(plain, few, first, TABLE, stood=stood)
        return record(plain, many, second, TABLE, witness)

    try:
        return recorded()
    except Unsure:
        kept = state.kept()
        if not kept:
            raise
    state.restore()
    record(plain, [each.flip(0) for each in many], second, TABLE)
    if not same_state(kept, state.kept()):
        raise Unsure("what it keeps from its first call depends on what it was called with")
    return recorded()


def _check(model: ir.Model) -> None:
    """Types and shapes as ONNX infers them: some functions give another type than the operator of their name."""
    from bnexport.errors import ExportError
    from bnexport.rewrite import check

    try:
        check(model)
    except ExportError as error:
        raise Unsure(f"what was recorded is not valid ONNX ({error.why})") from None


def translate(
    tape: Tape, input_names: Sequence[str], output_names: Sequence[str], opset: int
) -> ir.Model:
    """The graph of a tape.

    Calls that no output needs are written, too: the size of what one returns may have been read by Python.

    Raises:
        Unsure: A call has no translation.
    """
    emitter = Emitter(tape, opset, input_names)
    for call in tape.calls:
        if call.outputs[0].number in tape.constants:
            continue
        row = TABLE.get(call.name)
        if row is None:
            raise Unsure(f"{call.name} has no translation")
        emitter.translate(call, row)
    _put_out(emitter, tape.outputs, output_names)
    model = ir.Model(emitter.graph, ir_version=10)
    RemoveUnusedNodesPass()(model)
    return model


def _put_out(emitter: Emitter, refs: Sequence[Ref], names: Sequence[str]) -> None:
    """Give every output a value of its own, under its name."""
    taken: set[int] = set()
    renamed = []
    for ref, name in zip(refs, names, strict=True):
        value = emitter.value(ref)
        if value.is_graph_input() or value.is_initializer() or id(value) in taken:
            copied = emitter.op("Identity", [value])
            copied.shape, copied.type = value.shape, value.type
            value = copied
        taken.add(id(value))
        renamed.append((value, name))
        emitter.graph.outputs.append(value)
    used = {value.name for value in emitter.graph.initializers.values()}
    for node in emitter.graph:
        used |= {value.name for value in node.outputs}
    for value, name in renamed:
        _free(emitter, name, value)
        value.name = name


def _free(emitter: Emitter, name: str, owner: ir.Value) -> None:
    """Take ``name`` from any other value that happens to bear it."""
    initializer = emitter.graph.initializers.get(name)
    if initializer is not None:
        initializer.name = emitter.fresh(name)
    for node in emitter.graph:
        for value in node.outputs:
            if value.name == name and value is not owner:
                value.name = emitter.fresh(name)
