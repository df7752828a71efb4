"""Options that several commands share, and the parameter types behind them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bnexport.cli.sizes import parse_size

if TYPE_CHECKING:
    from bnexport.isolation import Isolation
    from bnexport.targets.tensorrt.options import EngineOptions

__all__ = [
    "BENCHED",
    "COMPATIBLE",
    "PRECISIONS",
    "RUNTIMES",
    "TARGETS",
    "batch_option",
    "benched",
    "counts",
    "engine_of",
    "engine_options",
    "input_options",
    "isolation_of",
    "isolation_options",
    "json_object",
    "limit_option",
    "limits",
    "load_options",
    "runtimes",
    "shape_options",
    "speech_options",
    "targets",
    "tolerance_options",
]

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Decorator = Callable[[Decorated], Decorated]

TARGETS = ("onnx", "trt", "trt-rtx", "torchscript", "pt2")
COMPATIBLE = ("ampere", "capability", "version")
PRECISIONS = ("fp32", "fp16", "bf16", "mixed")
RUNTIMES = ("ort", "ort-plain", "ort-rounded", "ort-cuda", "ort-trt")
BENCHED = (
    *("torch", "torch-compile", "torch-cuda", "torch-compile-cuda"),
    *("ort", "ort-plain", "ort-cuda", "ort-trt", "trt"),
)


def counts(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...]:
    """Parse whole numbers above zero, separated by commas: ``1,8``."""
    words = [word.strip() for word in value.split(",")] if value is not None else []
    if not all(word.isascii() and word.isdecimal() and int(word) > 0 for word in words):
        message = f"{value!r} is not a list of whole numbers above 0, as in 1,8."
        raise click.BadParameter(message, ctx, param)
    return tuple(dict.fromkeys(map(int, words)))


def targets(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> tuple[str, ...]:
    """Parse targets, separated by commas or given one by one."""
    return _words(ctx, param, value, TARGETS)


def runtimes(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> tuple[str, ...]:
    """Parse runtimes, separated by commas or given one by one."""
    return _words(ctx, param, value, RUNTIMES)


def benched(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> tuple[str, ...]:
    """Parse what `bench` runs files in, separated by commas or given one by one."""
    return _words(ctx, param, value, BENCHED)


def json_object(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> dict[str, Any] | None:
    """Parse ``{"num_classes": 10}``."""
    if value is None:
        return None
    try:
        found = json.loads(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not JSON: {error}.", ctx, param) from None
    if not isinstance(found, dict):
        message = f"{value!r} is not a JSON object, as in '{{\"num_classes\": 10}}'."
        raise click.BadParameter(message, ctx, param)
    return found


def load_options(command: Decorated) -> Decorated:
    """How MODEL is read."""
    return _stack(
        click.option("--arch", metavar="MODULE:FACTORY", help="The code that builds the network."),
        click.option(
            "--arch-args",
            callback=json_object,
            metavar="JSON",
            help="Its keyword arguments: '{\"num_classes\": 10}'.",
        ),
        click.option(
            "--allow",
            multiple=True,
            metavar="NAME",
            help="A class, or a module of classes, that a pickled model may use; repeatable.",
        ),
        click.option(
            "--allow-partial", is_flag=True, help="Accept keys that are missing or left over."
        ),
        click.option(
            "--state-dict-key", metavar="KEY", help="Where in the checkpoint the weights are."
        ),
        click.option(
            "--trust-torchscript",
            is_flag=True,
            help="Open a TorchScript archive: its code runs as it loads.",
        ),
        limit_option,
    )(command)


def limit_option(command: Decorated) -> Decorated:
    """``--file-limit``: how much a file may ask for; it holds while the command runs."""
    return click.option(
        "--file-limit",
        "file_limit",
        callback=limits,
        multiple=True,
        expose_value=False,
        metavar="NAME=N",
        help="Let a file ask for more, or for less, as in tensor-bytes=40GiB; repeatable. The error names the limit.",
    )(command)


def limits(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> None:
    """Put limits into force: ``tensor-bytes=40GiB``."""
    if not value:
        return
    from dataclasses import fields

    from bnexport.load.limits import Limits

    known = [each.name for each in fields(Limits)]
    asked: dict[str, int] = {}
    for text in value:
        name, _, number = text.partition("=")
        name = name.strip().replace("-", "_")
        if name not in known:
            names = ", ".join(each.replace("_", "-") for each in known)
            raise click.BadParameter(
                f"{text!r} is not one of {names}, as in depth=500.", ctx, param
            )
        try:
            asked[name] = parse_size(number)
        except ValueError as error:
            raise click.BadParameter(f"{error}.", ctx, param) from None
    ctx.with_resource(Limits(**asked).applied())


def shape_options(command: Decorated) -> Decorated:
    """What one call of the model is fed."""
    return _stack(
        click.option(
            "--input",
            "inputs",
            multiple=True,
            metavar="[NAME:]SHAPE[:DTYPE]",
            help="As in Nx3x224x224 (N is the batch); repeat for several inputs.",
        ),
        click.option(
            "--inputs-from", metavar="FILE", help="Real samples, batch first: an .npz or a .pt."
        ),
    )(command)


def input_options(command: Decorated) -> Decorated:
    """What the model is fed, and in what batches."""
    sizes = batch_option("1,8", "Batch sizes to verify at; the largest is an engine's maximum.")
    return _stack(shape_options, sizes)(command)


def batch_option(default: str, text: str) -> Callable[[Decorated], Decorated]:
    """``--batch``: several sizes, separated by commas."""
    return click.option(
        "--batch",
        callback=counts,
        metavar="N[,N...]",
        default=default,
        show_default=True,
        help=text,
    )


def engine_options(command: Decorated) -> Decorated:
    """How TensorRT builds; `engine_of` takes them together."""
    return _stack(
        click.option(
            "--sm",
            callback=counts,
            metavar="N[,N...]",
            help="Compute capabilities to build an engine for, as in 80,86,89,120.",
        ),
        click.option("--tf32", is_flag=True, help="Let TensorRT round float32 to TF32."),
        click.option(
            "--profile",
            "profiles",
            multiple=True,
            metavar="AXIS=MIN:OPT:MAX[,...]",
            help="The range of a free axis, or of an input's whole shape; once a profile.  "
            "[default: the batches of --batch]",
        ),
        click.option(
            "--static", is_flag=True, help="Build an engine of batch 1, without profiles."
        ),
        click.option(
            "--optimisation-level",
            "--optimization-level",
            "optimisation_level",
            type=click.IntRange(0, 5),
            metavar="0-5",
            help="How long TensorRT searches for fast kernels.  [default: its own]",
        ),
        click.option(
            "--workspace",
            "workspace_mib",
            type=click.IntRange(min=1),
            metavar="MIB",
            help="The most scratch memory on the GPU.  [default: all of it]",
        ),
        click.option(
            "--compatible",
            multiple=True,
            type=click.Choice(COMPATIBLE),
            help="Let other GPUs, or later releases of tensorrt, run the engine; repeatable.",
        ),
        click.option(
            "--strip-weights", is_flag=True, help="Leave the weights out, to be refitted."
        ),
        click.option("--refit", is_flag=True, help="Let the weights be replaced later."),
        click.option(
            "--timing-cache",
            metavar="PATH",
            type=click.Path(path_type=Path),
            help="Where tensorrt keeps what its kernels took.  [default: the user's cache folder]",
        ),
        click.option(
            "--no-timing-cache",
            "keep_timings",
            flag_value=False,
            default=True,
            help="Keep no such timings.",
        ),
        click.option(
            "--no-engine-cache",
            "keep_engines",
            flag_value=False,
            default=True,
            help="Build although the same was built before, and keep no engine for later.",
        ),
    )(command)


def engine_of(options: dict[str, Any]) -> EngineOptions:
    """Take from ``options`` what `engine_options` added, but for what `convert` takes itself."""
    from bnexport.targets.tensorrt.options import EngineOptions

    names = (
        *("profiles", "static", "optimisation_level", "workspace_mib", "compatible"),
        *("strip_weights", "refit", "timing_cache", "keep_timings"),
        "keep_engines",
    )
    return EngineOptions(**{name: options.pop(name) for name in names})


def tolerance_options(command: Decorated) -> Decorated:
    """What is asked of a runtime, and of which: tolerances in place of the model's own rounding, independence."""
    limit = click.FloatRange(min=0)
    return _stack(
        click.option(
            "--atol",
            type=limit,
            metavar="X",
            help="Absolute tolerance, in place of the derived one.",
        ),
        click.option(
            "--rtol",
            type=limit,
            metavar="X",
            help="Relative tolerance, in place of the derived one.",
        ),
        click.option(
            "--mixes-batch",
            is_flag=True,
            help="The model mixes samples on purpose: do not ask that they are independent.",
        ),
        click.option(
            "--runtime",
            "runtimes",
            callback=runtimes,
            multiple=True,
            metavar=f"[{'|'.join(RUNTIMES)}]",
            help="What runs an ONNX file; separate several by commas. ort-plain has every optimiser off; "
            "ort-rounded rounds each value of a half-precision file, as a GPU does.  "
            "[default: ort, and ort-cuda where convert finds a GPU]",
        ),
    )(command)


def isolation_options(command: Decorated, *, memory: str = "--memory") -> Decorated:
    """How native work is kept apart; `isolation_of` takes them together."""
    return _stack(
        click.option(
            "--in-process",
            is_flag=True,
            help="Run native code in this process: faster, and a crash takes it along.",
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            default=600,
            show_default=True,
            help="How long native code may go on without a sign of life.",
        ),
        click.option(
            memory,
            "memory_limit",
            callback=size,
            metavar="SIZE",
            help="What native code may take, as in 8GiB.  [default: nine tenths of what is free]",
        ),
    )(command)


def isolation_of(options: dict[str, Any]) -> Isolation:
    """Take from ``options`` what `isolation_options` added."""
    from bnexport.isolation.settings import Isolation

    return Isolation(options.pop("in_process"), options.pop("timeout"), options.pop("memory_limit"))


def size(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Parse a size above zero: ``8GiB``."""
    if value is None:
        return None
    try:
        parsed = parse_size(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", ctx, param) from None
    if not parsed:
        raise click.BadParameter("it must be above 0.", ctx, param)
    return parsed


def speech_options(command: Decorated) -> Decorated:
    """How the outcome is shown; `Mode.of` reads them, so that the command does not have to."""
    return _stack(
        click.option("--json", is_flag=True, expose_value=False, help="Print one JSON document."),
        click.option(
            "-q", "--quiet", is_flag=True, expose_value=False, help="Print nothing on success."
        ),
        click.option(
            "--debug", is_flag=True, expose_value=False, help="Show tracebacks and warnings."
        ),
    )(command)


def _words(
    ctx: click.Context, param: click.Parameter, value: Sequence[str], known: Sequence[str]
) -> tuple[str, ...]:
    words = [word.strip() for text in value for word in text.split(",")]
    for word in words:
        if word not in known:
            message = f"{word!r} is not one of {', '.join(known)}."
            raise click.BadParameter(message, ctx, param)
    return tuple(dict.fromkeys(words))


def _stack(*decorators: Callable[[Any], Any]) -> Callable[[Decorated], Decorated]:
    def apply(command: Decorated) -> Decorated:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return apply
