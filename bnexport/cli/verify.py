"""``bnexport verify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bnexport.cli.answer import Answer
from bnexport.cli.command import Command
from bnexport.cli.mode import Mode
from bnexport.cli.options import (
    input_options,
    isolation_of,
    isolation_options,
    load_options,
    speech_options,
    tolerance_options,
)
from bnexport.cli.progress import progress
from bnexport.cli.reports import check_reports, report_option, show_written, write_reports
from bnexport.printable import printable

if TYPE_CHECKING:
    from rich.console import Console

    from bnexport.report.forms import Wanted

__all__ = ["verify_command"]

SCHEMA = "bnexport.verification/1"
MANIFEST_SCHEMA = "bnexport.manifest/1"


@click.command("verify", cls=Command)
@click.argument("a", required=False)
@click.argument("b", required=False)
@load_options
@input_options
@tolerance_options
@click.option(
    "--locate/--no-locate",
    default=True,
    help="After a disagreement, search for the first wrong layer.  [default: on]",
)
@click.option(
    "--manifest",
    metavar="FILE",
    help="Compare no models: hash the files that FILE, the .sha256 of a conversion, lists.",
)
@report_option
@isolation_options
@speech_options
@click.pass_context
def verify_command(
    ctx: click.Context,
    /,
    a: str | None,
    b: str | None,
    manifest: str | None,
    report: tuple[Wanted, ...],
    **options: Any,
) -> Answer:
    """Judge B, an ONNX file, a TensorRT engine or an archive, by A.

    A is the model that B was made of (as `bnexport convert` takes it; with --arch alone there is
    only B), which is run in PyTorch in float64, or another file that runs. The exit code is 1
    where B disagrees, or where a sample's output depends on its neighbours.
    """
    if manifest is not None:
        return _manifest(ctx, manifest, bool(a or b or report or options["arch"]))
    if a is None:
        raise click.UsageError("Missing argument 'A' (or --manifest FILE).", ctx)
    if b is None and options["arch"] is None:
        raise click.UsageError("Missing argument 'B'.", ctx)
    mode: Mode = ctx.find_object(Mode) or Mode()
    check_reports(report, a, b, options["inputs_from"])
    with progress(quiet=mode.quiet) as observe:
        from bnexport.cli.parity_table import show_parity
        from bnexport.compare import verify
        from bnexport.report import parity_json, versions

        isolation = isolation_of(options)
        judged_by, file = (None, a) if b is None else (a, b)
        parity = verify(judged_by, file, isolation=isolation, observe=observe, **options)
    judged = parity_json(parity)
    document = {
        "schema": SCHEMA,
        "a": judged_by or options["arch"],
        "b": file,
        "ok": parity.ok,
        "options": {"batch": list(options["batch"])}
        | {name: options[name] for name in ("atol", "rtol", "mixes_batch", "runtimes")},
        "parity": judged,
        "versions": versions(),
    }
    write_reports(report, document)

    def show(console: Console) -> None:
        show_parity(console, judged)
        show_written(console, report)

    return Answer(document, show, 0 if parity.ok else 1)


def _manifest(ctx: click.Context, manifest: str, more: bool) -> Answer:
    """Whether the files of a conversion are as they were written."""
    if more:
        raise click.UsageError("--manifest compares no models: leave the rest out.", ctx)
    from bnexport.manifest import read_manifest

    entries = read_manifest(Path(manifest))
    ok = all(entry.ok for entry in entries)
    files = [{"name": entry.name, "state": entry.state} for entry in entries]
    document = {"schema": MANIFEST_SCHEMA, "manifest": manifest, "ok": ok, "files": files}

    def show(console: Console) -> None:
        for entry in entries:
            console.print(f"{entry.state:8}{printable(entry.name)}", markup=False)

    return Answer(document, show, 0 if ok else 1)
