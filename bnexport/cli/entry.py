"""The ``bnexport`` command: its group, and the one place where an outcome becomes an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from bnexport import __version__
from bnexport.cli.answer import Answer, show
from bnexport.cli.command import Group
from bnexport.cli.failure import INTERRUPTED, Failure, explain
from bnexport.cli.mode import Mode
from bnexport.cli.process import end, prepare
from bnexport.cli.signals import terminable
from bnexport.cli.streams import end_of_pipe, hush

__all__ = ["cli", "console", "main"]

COMMANDS = {
    "convert": ("bnexport.cli.convert", "Convert a trained model to ONNX or TensorRT."),
    "verify": ("bnexport.cli.verify", "Compare two models on the same inputs."),
    "run": ("bnexport.cli.run", "Run a model or a file on real inputs."),
    "bench": ("bnexport.cli.bench", "Time models and files side by side."),
    "fold": ("bnexport.cli.fold", "Fold the BatchNorms of any ONNX file."),
    "inspect": ("bnexport.cli.inspect", "Show a model's layers and BatchNorm statistics."),
    "drift": ("bnexport.cli.drift", "Compare what BatchNorms see with their statistics."),
    "recalibrate": (
        "bnexport.cli.recalibrate",
        "Estimate the BatchNorm statistics anew from data.",
    ),
    "compare-ranks": (
        "bnexport.cli.compare_ranks",
        "Compare the statistics that the ranks of a training saved.",
    ),
    "passes": ("bnexport.cli.passes", "List the graph passes in the order they run."),
    "report": ("bnexport.cli.report", "Render a saved report, or judge it by other limits."),
    "doctor": ("bnexport.cli.doctor", "Say which runtimes are installed and usable."),
}


@click.group(
    cls=Group, commands_at=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="bnexport")
def cli() -> None:
    """Convert trained PyTorch models to ONNX and TensorRT: BatchNorm folded, agreement proved."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: The arguments after the program's name; None: the process's own.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    mode = Mode.of(arguments)
    try:
        with terminable():
            outcome = _run(arguments, mode)
        return _show(outcome, mode)
    except BrokenPipeError:
        end_of_pipe()
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED


def console() -> NoReturn:
    """The command as a process of its own."""
    prepare()
    end(main())


def _run(arguments: list[str], mode: Mode) -> Answer | Failure | int:
    try:
        with hush(unless=mode.debug):
            outcome = cli.main(arguments, prog_name="bnexport", standalone_mode=False, obj=mode)
    except BrokenPipeError:
        raise
    # The last line of defence: whatever comes, the user sees one message and an exit code.
    except BaseException as error:
        return explain(error)
    return outcome if isinstance(outcome, Answer | int) else 0


def _show(outcome: Answer | Failure | int, mode: Mode) -> int:
    if isinstance(outcome, int):
        return outcome
    if isinstance(outcome, Failure):
        outcome.show(mode)
    else:
        show(outcome, mode)
    return outcome.exit_code
