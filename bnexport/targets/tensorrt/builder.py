"""From an ONNX file to an engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnexport.disk import output_errors
from bnexport.errors import ExportError, UsageError
from bnexport.events import Event, Observer, silent
from bnexport.targets.cuda import find_gpu
from bnexport.targets.tensorrt.advice import remedy
from bnexport.targets.tensorrt.flavour import Flavour
from bnexport.targets.tensorrt.info import EngineInfo
from bnexport.targets.tensorrt.logger import Messages, make_logger, reason
from bnexport.targets.tensorrt.network import census, precision, scaling, tensors
from bnexport.targets.tensorrt.options import EngineOptions, Targets, choose_targets
from bnexport.targets.tensorrt.parser import parse
from bnexport.targets.tensorrt.profiles import ShapeProfile, shape_profiles
from bnexport.targets.tensorrt.progress import Phases, make_monitor
from bnexport.targets.tensorrt.source import OnnxSource
from bnexport.targets.tensorrt.timing import Timings
from bnexport.targets.tensorrt.worker import run_cancellable

__all__ = ["build_engine"]

Report = Callable[[Event], None]


@dataclass(frozen=True)
class _Job:
    """What one build is asked for, and what the library says on the way."""

    source: OnnxSource
    profiles: tuple[ShapeProfile, ...]
    flavour: Flavour
    options: EngineOptions
    targets: Targets
    messages: Messages


def build_engine(
    onnx_path: Path,
    engine_path: Path,
    flavour: Flavour,
    options: EngineOptions,
    observe: Observer = silent,
) -> EngineInfo:
    """Build an engine and write it; an interrupt stops the build at its next step.

    Args:
        onnx_path: The model; its external data is found beside it.
        engine_path: Where the engine goes.
        flavour: From `find_flavour`.
        options: Profiles, targets, flags.
        observe: Told of each phase, with the fraction that is done.

    Raises:
        ExportError: The model cannot be expressed, or the build failed.
        UsageError: A target is named that this TensorRT does not build for, or a profile does not fit.
        OutputError: The engine cannot be written.
    """
    targets = choose_targets(flavour, options)
    source = OnnxSource.read(onnx_path, flavour.title)
    profiles = shape_profiles(
        source.inputs(), options.profiles, options.batch, static=options.static
    )
    job = _Job(source, profiles, flavour, options, targets, Messages())

    def work(report: Report, cancelled: threading.Event) -> tuple[Any, EngineInfo]:
        return _build(job, report, cancelled)

    plan, info = run_cancellable(work, observe)
    with output_errors(engine_path):
        engine_path.write_bytes(memoryview(plan))
    return info


def _build(job: _Job, report: Report, cancelled: threading.Event) -> tuple[Any, EngineInfo]:
    start = time.perf_counter()
    module = job.flavour.module
    logger = make_logger(module, job.messages)
    builder = _made(job, lambda: module.Builder(logger))
    flags = module.NetworkDefinitionCreationFlag
    network = _made(job, lambda: builder.create_network(1 << int(flags.STRONGLY_TYPED)))
    parser = parse(job.flavour, network, logger, job.messages, job.source)
    layers, scales = census(network), scaling(network, job.source)
    config = _config(job, builder)
    _set_shapes(job, builder, network, config)
    monitor = make_monitor(module, Phases(report), cancelled)
    config.progress_monitor = monitor
    with _timings(job, config):
        plan = _made(job, lambda: builder.build_serialized_network(network, config))
    del parser  # it owns the weights until here
    options = job.options
    return plan, EngineInfo(
        flavour=job.flavour.name,
        version=job.flavour.version,
        targets=job.targets.names,
        assumed=job.targets.assumed,
        profiles=job.profiles[0] if job.profiles else {},
        more_profiles=job.profiles[1:],
        static=options.static,
        precision=precision(network, options.tf32),
        tf32=options.tf32,
        inputs=tensors(network.get_input, network.num_inputs),
        outputs=tensors(network.get_output, network.num_outputs),
        layers=layers,
        scale_layers=len(scales),
        scaling=scales,
        warnings=tuple(job.messages.warnings),
        build_seconds=time.perf_counter() - start,
        bytes=plan.nbytes,
        compatible=options.compatible,
        stripped=options.strip_weights,
        refittable=options.refit or options.strip_weights,
        optimisation_level=options.optimisation_level,
    )


def _config(job: _Job, builder: Any) -> Any:
    module, options = job.flavour.module, job.options
    _check_refit(job)
    config = _made(job, builder.create_builder_config)
    if options.tf32:
        config.set_flag(module.BuilderFlag.TF32)
    else:
        config.clear_flag(module.BuilderFlag.TF32)
    if options.workspace_mib is not None:
        size = options.workspace_mib << 20
        config.set_memory_pool_limit(module.MemoryPoolType.WORKSPACE, size)
    if options.optimisation_level is not None:
        config.builder_optimization_level = options.optimisation_level
    # What the inspector tells of each layer where the engine runs.
    config.profiling_verbosity = module.ProfilingVerbosity.DETAILED
    if options.strip_weights:
        config.set_flag(module.BuilderFlag.STRIP_PLAN)
    if options.refit:
        config.set_flag(module.BuilderFlag.REFIT)
    _set_compatible(job, config)
    if job.flavour.rtx:
        _set_targets(job, config)
    return config


def _check_refit(job: _Job) -> None:
    """Refuse what fails deep inside the library."""
    options = job.options
    gpu = find_gpu()
    if (options.refit or options.strip_weights) and job.flavour.rtx and isinstance(gpu, str):
        what = f"{job.flavour.title} and --{'refit' if options.refit else 'strip-weights'}"
        raise UsageError(what, f"it needs a GPU for that: {gpu}", "Leave it out")


def _set_compatible(job: _Job, config: Any) -> None:
    module, title = job.flavour.module, job.flavour.title
    for word in job.options.compatible:
        if job.flavour.rtx:
            why = "its engines run on the GPUs that they are built for, under that release"
            raise UsageError(f"{title} and compatible {word}", why, "Name the GPUs with --sm")
        if word == "version":
            config.set_flag(module.BuilderFlag.VERSION_COMPATIBLE)
        elif word == "ampere":
            config.hardware_compatibility_level = module.HardwareCompatibilityLevel.AMPERE_PLUS
        elif hasattr(module.HardwareCompatibilityLevel, "SAME_COMPUTE_CAPABILITY"):
            level = module.HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY
            config.hardware_compatibility_level = level
        else:
            why = "this release does not have it"
            raise UsageError(f"{title} and compatible {word}", why, "Say compatible ampere")


def _timings(job: _Job, config: Any) -> AbstractContextManager[None]:
    """What earlier builds measured. tensorrt_rtx measures nothing when it builds."""
    if job.flavour.rtx or not job.options.keep_timings:
        return nullcontext()
    return Timings(job.flavour, job.options.timing_cache).lent_to(config)


def _set_targets(job: _Job, config: Any) -> None:
    members = job.flavour.module.ComputeCapability.__members__
    config.num_compute_capabilities = len(job.targets.capabilities)
    for index, capability in enumerate(job.targets.capabilities):
        if not config.set_compute_capability(members[f"SM{capability}"], index):
            raise _failure(job)


def _set_shapes(job: _Job, builder: Any, network: Any, config: Any) -> None:
    """Add the profiles; of a static engine, fix the inputs themselves, which leaves nothing to choose."""
    if job.options.static and job.profiles:
        (shapes,) = job.profiles
        for tensor in (network.get_input(index) for index in range(network.num_inputs)):
            if tensor.name in shapes:
                tensor.shape = shapes[tensor.name][0]
        return
    for shapes in job.profiles:
        profile = builder.create_optimization_profile()
        for name, three in shapes.items():
            profile.set_shape(name, *three)
        if config.add_optimization_profile(profile) < 0:
            raise _failure(job)


def _made(job: _Job, make: Callable[[], Any]) -> Any:
    """What ``make`` returns. The library says no by None or, from a constructor, by an exception."""
    try:
        made = make()
    except (RuntimeError, TypeError, MemoryError) as error:
        raise _failure(job, error) from error
    if made is None:
        raise _failure(job)
    return made


def _failure(job: _Job, error: Exception | None = None) -> ExportError:
    why = reason(job.messages)
    if error is not None and not job.messages.errors:
        why = str(error).strip().partition("\n")[0] or type(error).__name__
    what = f"{job.flavour.title} cannot build the engine"
    if "SM75" in why:
        return ExportError(what, why, "Leave 75 out of --sm")
    return ExportError(what, why, f"{remedy('', why)}; --debug shows all that it says")
