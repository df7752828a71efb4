"""Options that several commands share, and the parameter types behind them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

__all__ = [
    "PRECISIONS",
    "RUNTIMES",
    "TARGETS",
    "counts",
    "input_options",
    "json_object",
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
PRECISIONS = ("fp32", "fp16", "bf16", "mixed")
RUNTIMES = ("ort", "ort-plain", "ort-rounded", "ort-cuda", "ort-trt")


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
    )(command)


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
    return _stack(
        shape_options,
        click.option(
            "--batch",
            callback=counts,
            metavar="N[,N...]",
            default="1,8",
            show_default=True,
            help="Batch sizes to verify at; the largest is an engine's maximum.",
        ),
    )(command)


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
