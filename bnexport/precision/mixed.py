"""Which layers float16 cannot hold: by the range of their values, then by trying, against the yardstick."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from bnexport.errors import ExportError
from bnexport.events import Event, Observer
from bnexport.inputs import Examples
from bnexport.parity.arrays import Arrays, from_torch
from bnexport.parity.examine import Examiner
from bnexport.parity.reference import Reference
from bnexport.parity.rounded import RoundedRunner
from bnexport.parity.trial import prepare
from bnexport.passes.graphs.graph import readers
from bnexport.passes.graphs.half import LowerPrecision
from bnexport.passes.graphs.half_rules import TITLES, is_single, obstacle
from bnexport.passes.graphs.simplify import LARGEST_BYTES, weight_bytes
from bnexport.precision.ranges import largest
from bnexport.precision.search import Search

__all__ = ["Sample", "Stays", "find_stays"]

_LARGEST = 65504.0
# Examples are no promise: what comes within this factor of the end of float16 stays in float32.
_HEADROOM = 2.0
_SEEDS = 3
# Of fewer samples rounding is luck: models/audio1d.py has a yardstick too short by a fifth on two, and none on four.
_BATCH = 4
_MOST_TRIALS = 64


@dataclass(frozen=True)
class Sample:
    """What the layers are tried on.

    Attributes:
        reference: The truth.
        examples: Where batches come from.
        outputs: The names of the outputs, in order.
    """

    reference: Reference
    examples: Examples
    outputs: Sequence[str]

    def batches(self) -> list[Arrays]:
        """A few."""
        return [from_torch(self.examples.batch(_BATCH, seed)) for seed in range(_SEEDS)]

    @property
    def names(self) -> list[str]:
        """Of the inputs, in order."""
        return [spec.name for spec in self.examples.specs]


@dataclass(frozen=True)
class Stays:
    """The nodes that stay in float32.

    Attributes:
        reasons: By the name of a node's first output.
        trials: How many sets were tried.
    """

    reasons: dict[str, str] = field(default_factory=dict)
    trials: int = 0

    def reason(self, node: ir.Node) -> str:
        """Why this node stays; empty: it need not."""
        return self.reasons.get(node.outputs[0].name or "", "")


def find_stays(model: ir.Model, dtype: ir.DataType, sample: Sample, observe: Observer) -> Stays:
    """The smallest set of nodes with which the model, its other values rounded to half, passes its checks.

    Args:
        model: In float32, the types of its values inferred; not changed.
        dtype: FLOAT16.
        sample: What to try it on.
        observe: Told of each trial.

    Raises:
        ExportError: It is too large to be tried, or fails with every node in float32.
        RunFailed: It cannot be run.
    """
    if weight_bytes(model) > LARGEST_BYTES:
        why = "the layers are tried in memory, and the model has more than 1 GiB of weights"
        raise ExportError("--precision mixed", why, "Use --precision fp16")
    ranges = _by_range(model, largest(ir.to_proto(model), sample.batches(), sample.names))
    open_ = [
        node.outputs[0].name or ""
        for node in model.graph
        if any(map(is_single, (*node.inputs, *node.outputs))) and not obstacle(node, dtype)
    ]
    search = _search(model, dtype, sample, open_, observe)
    search.run([name for name in open_ if name not in ranges.forced | ranges.doubtful])
    search.run([name for name in open_ if name in ranges.doubtful])
    found = {
        name: ranges.doubtful.get(name) or _sentence(ratio, dtype)
        for name, ratio in search.stays.items()
    }
    return Stays(ranges.forced | found, search.trials)


def _search(
    model: ir.Model, dtype: ir.DataType, sample: Sample, every: Sequence[str], observe: Observer
) -> Search:
    trial = prepare(sample.reference, sample.examples, [_BATCH], sample.outputs)
    examiner = Examiner(trial, None, check_invariance=False)

    def ratio(lowered: frozenset[str]) -> float:
        single = {name: "on trial" for name in every if name not in lowered}
        tried = model.clone()
        LowerPrecision(dtype, Stays(single).reason)(tried)
        content: bytes = ir.to_proto(tried).SerializeToString()
        runner = RoundedRunner(content, precision=TITLES[dtype])
        runner.take(sample.names)
        found = max((check.ratio for check in examiner.runtime(runner)), default=math.inf)
        text = f"{len(lowered)} of {len(every)} nodes in {TITLES[dtype]}: {found:.2g} x the limit"
        observe(Event("lower", "step", text))
        return found

    return Search(ratio, _MOST_TRIALS)


@dataclass(frozen=True)
class _Ranges:
    """What the range of the values says of the nodes, by the name of a node's first output.

    Attributes:
        forced: Who makes a value that float16 has not, or hardly has, and who reads one that it hardly has.
        doubtful: Who reads one that it has not. An infinity may be as good: a Softmax reads a mask of -1e9.
    """

    forced: dict[str, str]
    doubtful: dict[str, str]


def _by_range(model: ir.Model, peaks: dict[str, float]) -> _Ranges:
    ranges = _Ranges({}, {})
    for node in model.graph:
        for value in node.outputs:
            peak = peaks.get(value.name or "", 0.0)
            if peak * _HEADROOM < _LARGEST:
                continue
            reaches = f"reaches {peak:.1e}; float16 ends at 65,504"
            ranges.forced[node.outputs[0].name or ""] = f"its output {reaches}"
            side = ranges.forced if peak <= _LARGEST else ranges.doubtful
            for reader, _ in readers(value):
                side.setdefault(reader.outputs[0].name or "", f"it reads what {reaches}")
    for name in ranges.forced:
        ranges.doubtful.pop(name, None)
    return ranges


def _sentence(ratio: float | None, dtype: ir.DataType) -> str:
    name = TITLES[dtype]
    if ratio is None:
        return f"not tried: the search for what {name} can hold was cut off"
    if math.isinf(ratio):
        return f"in {name} the outputs are not finite"
    return f"in {name} the outputs are off by {ratio:.3g} times what its rounding explains"
