"""How an engine is built, and for which GPUs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from bnexport.errors import UsageError
from bnexport.targets.cuda import Gpu, find_gpu
from bnexport.targets.tensorrt.flavour import Flavour
from bnexport.targets.tensorrt.profiles import parse_profile

__all__ = ["COMPATIBLE", "PORTABLE", "EngineOptions", "Targets", "choose_targets", "supported"]

# Ampere, Ada and Blackwell. Turing (75) is left out: it has no float32 matrix products there.
PORTABLE = (80, 86, 89, 120)


# Of an engine of tensorrt: which GPUs, or which later releases, may run it besides.
COMPATIBLE = ("ampere", "capability", "version")


@dataclass(frozen=True)
class EngineOptions:
    """What the user can choose.

    Attributes:
        batch: The smallest, the usual and the largest batch.
        sm: Compute capabilities to build for (89 is sm_89); empty: the GPU here, or `PORTABLE`.
        tf32: Whether float32 products may be rounded to TF32.
        workspace_mib: The most scratch memory on the GPU; None: all of it.
        optimisation_level: 0 to 5, the library's own where None.
        profiles: ``height=64:224:512,x=1x3x8x8:...``: ranges of free axes, or of an input's whole shape,
            smallest, usual, largest. One text a profile; none: one, of the batch alone.
        static: Whether every free axis is fixed: the batch at 1, others at what the profile says.
        compatible: Of `COMPATIBLE`. ``ampere``: GPUs from Ampere on. ``capability``: those of the same compute
            capability. ``version``: later releases of tensorrt. tensorrt_rtx has none: it has ``sm``.
        strip_weights: Whether the engine leaves the weights out, to be refitted.
        refit: Whether its weights can be replaced later.
        timing_cache: Where tensorrt keeps what its kernels took; None: in the user's cache folder.
        keep_timings: Whether it does.
        keep_engines: Whether an engine of an earlier build of the same is taken, and this one kept for a later.

    Raises:
        UsageError: A value is out of its range.
    """

    batch: tuple[int, int, int] = (1, 8, 8)
    sm: tuple[int, ...] = ()
    tf32: bool = False
    workspace_mib: int | None = None
    optimisation_level: int | None = None
    profiles: tuple[str, ...] = ()
    static: bool = False
    compatible: tuple[str, ...] = ()
    strip_weights: bool = False
    refit: bool = False
    timing_cache: Path | None = None
    keep_timings: bool = True
    keep_engines: bool = True

    def __post_init__(self) -> None:
        low, usual, high = self.batch
        if not 1 <= low <= usual <= high:
            raise UsageError(f"batch {low}, {usual}, {high}", "must rise, from 1 at least")
        if self.workspace_mib is not None and self.workspace_mib < 1:
            raise UsageError(f"workspace of {self.workspace_mib} MiB", "must be 1 or more")
        if self.optimisation_level is not None and not 0 <= self.optimisation_level <= 5:
            raise UsageError(f"optimisation level {self.optimisation_level}", "must be 0 to 5")
        for word in self.compatible:
            if word not in COMPATIBLE:
                raise UsageError(f"compatible {word!r}", f"there are {', '.join(COMPATIBLE)}")
        if {"ampere", "capability"} <= set(self.compatible):
            raise UsageError("compatible ampere and capability", "the one includes the other")
        for text in self.profiles:
            parse_profile(text)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        cache = None if self.timing_cache is None else str(self.timing_cache.absolute())
        return {**asdict(self), "timing_cache": cache}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """What `to_json` gave, tuples again."""
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()}
        if plain["timing_cache"] is not None:
            plain["timing_cache"] = Path(plain["timing_cache"])
        return cls(**plain)


@dataclass(frozen=True)
class Targets:
    """Which GPUs an engine is for.

    Attributes:
        capabilities: 89 for sm_89.
        assumed: The sentence that says what was chosen by default; empty when it was named.
    """

    capabilities: tuple[int, ...]
    assumed: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """``sm_80``, ``sm_89``."""
        return tuple(f"sm_{capability}" for capability in self.capabilities)


def supported(flavour: Flavour) -> tuple[int, ...]:
    """The compute capabilities that tensorrt_rtx can be told to build for."""
    members = flavour.module.ComputeCapability.__members__
    return tuple(sorted(int(name[2:]) for name in members if name.startswith("SM")))


def choose_targets(flavour: Flavour, options: EngineOptions) -> Targets:
    """The targets that were named, else the GPU that is here, else the portable set.

    Raises:
        UsageError: This TensorRT cannot build for a target that was named.
    """
    gpu = find_gpu()
    chosen = tuple(dict.fromkeys(options.sm))
    if flavour.rtx:
        return _check_rtx(flavour, chosen) if chosen else _default_rtx(flavour, gpu)
    if isinstance(gpu, str):
        raise UsageError(f"{flavour.title} cannot build here", gpu, "Use --target trt-rtx")
    if chosen not in ((), (gpu.capability,)):
        why = f"it builds for the GPU that it runs on, {gpu.name} ({gpu.target})"
        raise UsageError(
            f"{flavour.title} and --sm", why, "Use --target trt-rtx, or leave --sm out"
        )
    assumed = "" if chosen else f"engine for the GPU here: {gpu.name} ({gpu.target})"
    return Targets((gpu.capability,), assumed)


def _check_rtx(flavour: Flavour, chosen: tuple[int, ...]) -> Targets:
    possible = supported(flavour)
    for capability in chosen:
        if capability not in possible:
            known = ", ".join(map(str, possible))
            why = f"{flavour.title} does not build for it"
            raise UsageError(f"--sm {capability}", why, f"It builds for {known}")
    return Targets(chosen)


def _default_rtx(flavour: Flavour, gpu: Gpu | str) -> Targets:
    possible = supported(flavour)
    if isinstance(gpu, Gpu) and gpu.capability in possible:
        line = f"engine for the GPU here: {gpu.name} ({gpu.target}); choose others with --sm"
        return Targets((gpu.capability,), line)
    portable = tuple(capability for capability in PORTABLE if capability in possible)
    reason = (
        gpu
        if isinstance(gpu, str)
        else f"{flavour.title} does not build for {gpu.name} ({gpu.target})"
    )
    targets = Targets(portable)
    line = f"{reason}: engine for {', '.join(targets.names)}; choose others with --sm"
    return Targets(portable, line)
