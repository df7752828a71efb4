"""A model looked over without data: its BatchNorms, where they stand, and what is questionable about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from bnexport.errors import Refused, UsageError
from bnexport.health.findings import Finding, Ignored, at_least, diagnose, parse_ignored, sift
from bnexport.health.wiring import Place, wiring
from bnexport.inputs import Examples, InputSpec, complete, infer, parse_input, read_inputs
from bnexport.load.loaded import Loaded
from bnexport.passes.modules import unwrap

__all__ = ["Checkup", "UnhealthyBatchNorm", "check_batch_norm", "checkup"]

# Formats in which modes were not stored: a constructor has just made the module, in train mode.
_BUILT = ("architecture", "checkpoint", "safetensors")
_COMPILED = (
    "exported program"  # its modes are in its graph, whatever the holders of its tensors say
)
_SHOWN = 10


@dataclass(frozen=True)
class Checkup:
    """What was found.

    Attributes:
        findings: Those that count, the gravest first.
        ignored: Those that the user knows of.
        places: Where the BatchNorms stand, by name; empty where no forward pass was made.
        note: Why there are no places, or what was assumed of the inputs; may be empty.
    """

    findings: tuple[Finding, ...]
    ignored: tuple[Finding, ...] = ()
    places: Mapping[str, Place] = field(default_factory=dict)
    note: str = ""

    def reaches(self, severity: str) -> bool:
        """Whether a finding is at least so grave; ``never`` is reached by none."""
        return any(at_least(each.severity, severity) for each in self.findings)


class UnhealthyBatchNorm(Refused, AssertionError):
    """A model has findings that its test does not allow; an AssertionError, so that test runners say *failed*.

    Attributes:
        findings: All that count.
    """

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        shown = [str(each) for each in findings[:_SHOWN]]
        more = len(findings) - _SHOWN
        first, *rest = shown + ([f"and {more} more"] if more > 0 else [])
        remedies = dict.fromkeys(each.remedy for each in findings[:_SHOWN])
        super().__init__(first, "; ".join(rest), ". ".join(remedies))
        self.findings = findings


def check_batch_norm(
    module: nn.Module,
    inputs: Sequence[torch.Tensor] | torch.Tensor | None = None,
    *,
    fail_on: str = "warning",
    ignore: Sequence[str] = (),
) -> tuple[Finding, ...]:
    """Fail, in a test or before a training is saved, where a BatchNorm of ``module`` is questionable.

    Args:
        module: Left as it is.
        inputs: What its forward takes by position, for one forward pass of a copy: it shows what each layer follows.
            Without, what can be said of layers by themselves is said.
        fail_on: The least severity that fails: ``note``, ``warning``, ``error`` or ``never``.
        ignore: ``CODE`` or ``CODE:PATTERN`` of layers.

    Returns:
        What was found and did not fail.

    Raises:
        UnhealthyBatchNorm: Something as grave as ``fail_on``. It is an AssertionError, too.
        UsageError: An argument cannot be used, or the forward pass fails.
    """
    if fail_on not in ("note", "warning", "error", "never"):
        raise UsageError(f"fail_on={fail_on!r}", "", "Use note, warning, error or never")
    known = tuple(map(parse_ignored, ignore))
    inside, _ = unwrap(module)
    given = (inputs,) if isinstance(inputs, torch.Tensor) else tuple(inputs or ())
    places = wiring(inside, given) if given else {}
    findings, _ = sift(diagnose(inside, places), known)
    grave = tuple(each for each in findings if at_least(each.severity, fail_on))
    if grave:
        raise UnhealthyBatchNorm(grave)
    return findings


def checkup(
    loaded: Loaded,
    *,
    inputs: Sequence[str | InputSpec] | None = None,
    inputs_from: Path | None = None,
    run: bool = True,
    ignored: Sequence[Ignored] = (),
) -> Checkup:
    """Look a loaded module over.

    Args:
        loaded: A module, not a graph.
        inputs: As of a conversion, for the one forward pass of a copy; None: inferred.
        inputs_from: As of a conversion.
        run: Whether to make that pass.
        ignored: Findings that the user knows of.

    Raises:
        UsageError: Inputs are given, and do not fit.
    """
    if not isinstance(loaded.model, nn.Module):
        raise TypeError("a graph has no modules to look over")
    module, _ = unwrap(loaded.model)
    places, note = _places(module, loaded, inputs, inputs_from) if run else ({}, "")
    told = loaded.format != _COMPILED and not (loaded.format in _BUILT and module.training)
    findings, known = sift(diagnose(module, places, modes_count=told), ignored)
    return Checkup(findings, known, places, note)


def _places(
    module: nn.Module,
    loaded: Loaded,
    inputs: Sequence[str | InputSpec] | None,
    inputs_from: Path | None,
) -> tuple[dict[str, Place], str]:
    """A model need not run to be inspected, unless the user says on what."""
    if isinstance(module, torch.jit.ScriptModule | torch.fx.GraphModule):
        return {}, "a compiled model: what each layer follows is not seen"
    try:
        examples = _examples(module, loaded, inputs, inputs_from)
        names = [spec.name for spec in examples.specs]
        return wiring(module, examples.batch(2), names), examples.assumed
    except (Refused, UsageError) as error:
        if inputs or inputs_from:
            raise
        return {}, f"not run, so what each layer follows is not known: {error}"


def _examples(
    module: nn.Module,
    loaded: Loaded,
    inputs: Sequence[str | InputSpec] | None,
    inputs_from: Path | None,
) -> Examples:
    if inputs_from:
        return read_inputs(inputs_from, module)
    if inputs:
        specs = [parse_input(item) if isinstance(item, str) else item for item in inputs]
        return Examples(complete(specs, module))
    return infer(module, loaded.example)
