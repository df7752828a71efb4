"""From an ONNX file to an engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnexport.disk import output_errors
from bnexport.errors import ExportError
from bnexport.events import Event, Observer, silent
from bnexport.targets.tensorrt.flavour import Flavour
from bnexport.targets.tensorrt.info import EngineInfo
from bnexport.targets.tensorrt.logger import Messages, make_logger, reason
from bnexport.targets.tensorrt.network import Profiles, batch_profiles, census, precision, tensors
from bnexport.targets.tensorrt.options import EngineOptions, Targets, choose_targets
from bnexport.targets.tensorrt.parser import parse
from bnexport.targets.tensorrt.progress import Phases, make_monitor
from bnexport.targets.tensorrt.worker import run_cancellable

__all__ = ["build_engine"]

Report = Callable[[Event], None]


@dataclass(frozen=True)
class _Job:
    """What one build is asked for, and what the library says on the way."""

    onnx_path: Path
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
        options: Batch profile, targets, precision.
        observe: Told of each phase, with the fraction that is done.

    Raises:
        ExportError: The model cannot be expressed, or the build failed.
        UsageError: A target is named that this TensorRT does not build for.
        OutputError: The engine cannot be written.
    """
    job = _Job(onnx_path, flavour, options, choose_targets(flavour, options), Messages())

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
    parser = parse(job.flavour, network, logger, job.messages, job.onnx_path)
    layers, profiles = census(network), batch_profiles(network, job.options.batch)
    config = _config(job, builder)
    _add_profile(job, builder, config, profiles)
    monitor = make_monitor(module, Phases(report), cancelled)
    config.progress_monitor = monitor
    plan = _made(job, lambda: builder.build_serialized_network(network, config))
    del parser  # it owns the weights until here
    return plan, EngineInfo(
        flavour=job.flavour.name,
        version=job.flavour.version,
        targets=job.targets.names,
        assumed=job.targets.assumed,
        profiles=profiles,
        precision=precision(network, job.options.tf32),
        tf32=job.options.tf32,
        inputs=tensors(network.get_input, network.num_inputs),
        outputs=tensors(network.get_output, network.num_outputs),
        layers=layers,
        scale_layers=layers.get("SCALE", 0),
        warnings=tuple(job.messages.warnings),
        build_seconds=time.perf_counter() - start,
        bytes=plan.nbytes,
    )


def _config(job: _Job, builder: Any) -> Any:
    module, options = job.flavour.module, job.options
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
    if job.flavour.rtx:
        _set_targets(job, config)
    return config


def _set_targets(job: _Job, config: Any) -> None:
    members = job.flavour.module.ComputeCapability.__members__
    config.num_compute_capabilities = len(job.targets.capabilities)
    for index, capability in enumerate(job.targets.capabilities):
        if not config.set_compute_capability(members[f"SM{capability}"], index):
            raise _failure(job)


def _add_profile(job: _Job, builder: Any, config: Any, profiles: Profiles) -> None:
    if not profiles:
        return
    profile = builder.create_optimization_profile()
    for name, shapes in profiles.items():
        profile.set_shape(name, *shapes)
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
    remedy = "Use --target onnx, or see --debug for all that it says"
    if "SM75" in why:
        remedy = "Leave 75 out of --sm"
    return ExportError(f"{job.flavour.title} cannot build the engine", why, remedy)
