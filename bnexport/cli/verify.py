"""``bnexport verify``."""

from __future__ import annotations

from typing import Any

import click

from bnexport.cli.answer import Answer
from bnexport.cli.command import Command
from bnexport.cli.mode import Mode
from bnexport.cli.options import input_options, speech_options, tolerance_options
from bnexport.cli.progress import progress

__all__ = ["verify_command"]

SCHEMA = "bnexport.verification/1"


@click.command("verify", cls=Command)
@click.argument("a")
@click.argument("b")
@input_options
@tolerance_options
@click.option(
    "--trust-torchscript",
    "trust",
    is_flag=True,
    help="Open TorchScript and torch.export archives: their code runs as they load.",
)
@speech_options
@click.pass_context
def verify_command(ctx: click.Context, /, a: str, b: str, **options: Any) -> Answer:
    """Run A and B on the same inputs and judge B by A.

    Each is an ONNX file, a TensorRT engine, a TorchScript or a torch.export archive. The exit
    code is 1 where they disagree, or where a sample's output depends on its neighbours.
    """
    mode: Mode = ctx.find_object(Mode) or Mode()
    with progress(quiet=mode.quiet) as observe:
        from bnexport.cli.parity_table import show_parity
        from bnexport.compare import verify
        from bnexport.report import parity_json, versions

        parity = verify(a, b, observe=observe, **options)
    judged = parity_json(parity)
    document = {
        "schema": SCHEMA,
        "a": a,
        "b": b,
        "ok": parity.ok,
        "parity": judged,
        "versions": versions(),
    }
    return Answer(document, lambda console: show_parity(console, judged), 0 if parity.ok else 1)
