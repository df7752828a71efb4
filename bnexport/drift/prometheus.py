"""What was observed, in Prometheus's text format.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bnexport.drift.judge import judge
from bnexport.drift.state import DriftState
from bnexport.errors import UsageError

__all__ = ["exposition"]

Sample = tuple[Mapping[str, str], float]

_HELP = {
    "forwards_total": ("counter", "Calls of the model."),
    "batches_total": ("counter", "Calls of the model by the size of the batch."),
    "samples_total": ("counter", "Samples that were observed."),
    "dropped_samples_total": ("counter", "Samples left out of a layer for NaN or Inf."),
    "divergence_nats": ("gauge", "Symmetric KL divergence from the running statistics."),
    "p_value": ("gauge", "Of no drift, for all layers at once."),
    "drifted": ("gauge", "1 where the layer drifted."),
}


def exposition(state: DriftState, labels: Mapping[str, str] | None = None) -> str:
    """The whole page.

    Args:
        state: What was observed. Where that is too little to judge, the judgement is left out.
        labels: Added to each sample.

    Raises:
        UsageError: A label's name cannot be used.
    """
    fixed = dict(labels or {})
    for name in fixed:
        if not (name.isascii() and name.isidentifier()) or name.startswith("__"):
            raise UsageError(f"label {name!r}", "it is no name of a Prometheus label", "")
    return "".join(
        line for name, samples in _metrics(state).items() for line in _lines(name, samples, fixed)
    )


def _metrics(state: DriftState) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {
        "forwards_total": [({}, state.forwards)],
        "batches_total": [({"size": str(n)}, count) for n, count in sorted(state.batches.items())],
        "samples_total": [({}, state.samples)],
        "dropped_samples_total": [({"layer": n}, x.dropped) for n, x in state.layers.items()],
    }
    try:
        layers = judge(state).layers
    except UsageError:
        return found
    found["divergence_nats"] = [({"layer": x.name}, x.divergence) for x in layers]
    found["p_value"] = [({"layer": x.name}, x.p) for x in layers]
    found["drifted"] = [({"layer": x.name}, float(x.drifted)) for x in layers]
    return found


def _lines(name: str, samples: list[Sample], fixed: Mapping[str, str]) -> Iterator[str]:
    if not samples:
        return
    kind, words = _HELP[name]
    full = f"bnexport_drift_{name}"
    yield f"# HELP {full} {words}\n# TYPE {full} {kind}\n"
    for labels, value in samples:
        told = ",".join(f'{key}="{_escaped(word)}"' for key, word in {**fixed, **labels}.items())
        yield f"{full}{{{told}}} {value:.9g}\n" if told else f"{full} {value:.9g}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
