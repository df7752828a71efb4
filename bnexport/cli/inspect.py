"""``bnexport inspect``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import click

from bnexport.cli.answer import Answer
from bnexport.cli.command import Command
from bnexport.cli.contents import contents_answer
from bnexport.cli.findings import show_findings
from bnexport.cli.inspect_engine import counted, show_engine
from bnexport.cli.mode import Mode
from bnexport.cli.options import load_options, shape_options, speech_options
from bnexport.cli.progress import progress
from bnexport.cli.reports import check_reports, report_option_of, show_written, write_reports
from bnexport.errors import ParityFailure, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from bnexport.cli.layout import Cell
    from bnexport.load.loaded import Loaded
    from bnexport.report.forms import Wanted

__all__ = ["inspect_command"]

Document = dict[str, Any]

_ROOMY = 100  # characters


@click.command("inspect", cls=Command)
@click.argument("model", required=False)
@load_options
@click.option(
    "--layers",
    "every_layer",
    is_flag=True,
    help="List every layer with parameters, and every layer of each finding.",
)
@click.option(
    "--explain",
    "explained",
    multiple=True,
    metavar="LAYER",
    help="Tell what becomes of this BatchNorm, and why; repeatable.",
)
@click.option(
    "--fail-on",
    type=click.Choice(("note", "warning", "error", "never")),
    default="never",
    show_default=True,
    help="Exit with 1 where a finding is at least so grave.",
)
@click.option(
    "--ignore",
    "ignore",
    multiple=True,
    metavar="CODE[:LAYER]",
    help="A finding that is known, of all layers or those of a pattern; repeatable. Also read from the next "
    "pyproject.toml: [tool.bnexport.inspect] ignore = [...].",
)
@click.option(
    "--config", type=click.Path(), metavar="TOML", help="Read `ignore` from this file instead."
)
@click.option(
    "--static", is_flag=True, help="Run nothing: then what each layer follows is not known."
)
@click.option(
    "--contents",
    "listed",
    is_flag=True,
    help="List what the file holds, and what in it is risky, without loading it.",
)
@report_option_of(("html", "sarif"))
@shape_options
@speech_options
@click.pass_context
def inspect_command(
    ctx: click.Context,
    /,
    model: str | None,
    every_layer: bool,
    explained: tuple[str, ...],
    inputs: tuple[str, ...],
    inputs_from: str | None,
    fail_on: str,
    ignore: tuple[str, ...],
    config: str | None,
    static: bool,
    listed: bool,
    report: tuple[Wanted, ...],
    **options: Any,
) -> Answer:
    """Show what MODEL holds: its layers, its BatchNorms and their statistics, and what is questionable about them.

    A copy of the model runs once, in eval mode, on inputs that are given or inferred: that shows what each
    BatchNorm follows and feeds. Every finding has a code (docs/findings.md). Of an ONNX file: its operators. Of a
    TensorRT engine: what its header and its sidecar say, and with --layers, where a GPU is here that runs it, its
    layers as TensorRT fused them.
    """
    if model is None and options["arch"] is None:
        raise click.UsageError("Missing argument 'MODEL' (or --arch MODULE:FACTORY).", ctx)
    if listed:
        return contents_answer(ctx, model, every_layer, fail_on)
    check_reports(report, model)
    if model is not None and Path(model).is_file():
        from bnexport.report.inspection import inspect_engine, is_engine

        if is_engine(Path(model)):
            if report or fail_on != "never":
                why = "an engine has no running statistics left to look at"
                raise UsageError(
                    "--report and --fail-on", why, "Inspect the model that it was built from"
                )
            document = inspect_engine(Path(model), layers=every_layer)
            return Answer(document, lambda console: _show(console, document, every_layer))
    from bnexport.health.findings import parse_ignored, read_ignored
    from bnexport.load import load
    from bnexport.report.inspection import inspect_loaded

    known = (*map(parse_ignored, ignore), *read_ignored(Path(config) if config else None))
    loaded = load(model, **options)
    if explained:
        document = inspect_loaded(loaded)
        document["explained"] = _explained(ctx, loaded, explained, inputs, inputs_from)
        return Answer(document, lambda console: _show(console, document, every_layer))
    seen = None
    if loaded.format != "onnx":
        from bnexport.health.checkup import checkup

        samples = Path(inputs_from) if inputs_from else None
        seen = checkup(loaded, inputs=inputs, inputs_from=samples, run=not static, ignored=known)
    document = inspect_loaded(loaded, seen, known)
    write_reports(report, document)

    def show(console: Console) -> None:
        _show(console, document, every_layer)
        show_findings(console, document, every_layer)
        show_written(console, report)

    from bnexport.health.findings import at_least

    grave = any(at_least(each["severity"], fail_on) for each in document["findings"])
    return Answer(document, show, exit_code=ParityFailure.exit_code if grave else 0)


def _explained(
    ctx: click.Context,
    loaded: Loaded,
    layers: tuple[str, ...],
    inputs: tuple[str, ...],
    inputs_from: str | None,
) -> list[Document]:
    from bnexport.explain import explain

    mode: Mode = ctx.find_object(Mode) or Mode()
    samples = Path(inputs_from) if inputs_from else None
    with progress(quiet=mode.quiet) as observe:
        found = explain(loaded, layers, inputs=inputs, inputs_from=samples, observe=observe)
    return [each.to_json() for each in found]


def _show(console: Console, document: Document, every_layer: bool) -> None:
    from bnexport.cli.layout import fields

    if "explained" in document:
        for layer in document["explained"]:
            fields(console, _explanation(layer))
        return
    source = document["source"]
    name = PurePath(source["path"]).name if source["path"] else source["name"]
    fields(console, [("model", f"{name} ({source['format']})")])
    fields(console, [("note", note) for note in source["notes"]])
    if document["kind"] == "module":
        _show_module(console, document, every_layer)
    elif document["kind"] == "graph":
        fields(console, _graph(document))
    else:
        show_engine(console, document, every_layer)


def _show_module(console: Console, document: Document, every_layer: bool) -> None:
    from bnexport.cli.layout import columns, fields, rows

    norms = document["batch_norms"]
    fields(console, _module(document))
    if every_layer:
        listed = [[x["name"], x["kind"], f"{x['parameters']:,}"] for x in document["layers"]]
        table = columns("layer", "kind", "parameters", wide="layer", left=("kind",))
        rows(console, table, listed)
    if norms:
        heads = ["BatchNorm", "kind", "ch", "mean", "variance", "weight"]
        if console.width >= _ROOMY:  # on a narrow terminal the names need the room
            heads.append("between")
        table = columns(*heads, wide="BatchNorm", left=("kind", "between"))
        rows(console, table, (_norm(norm)[: len(heads)] for norm in norms))


def _module(document: Document) -> Iterator[tuple[str, Cell]]:
    yield "class", f"{document['class']}, {document['parameters']:,} parameters"
    yield "layers", f"{len(document['layers'])}: {counted(document['census'])}"
    training = document["training"]
    if training:
        yield "mode", f"{training} modules are in train mode; convert exports eval mode"


def _graph(document: Document) -> Iterator[tuple[str, Cell]]:
    from bnexport.report.runs import size

    opsets = ", ".join(f"{domain or 'ai.onnx'} {v}" for domain, v in document["opsets"].items())
    yield "opset", opsets
    for label in ("inputs", "outputs"):
        for value in document[label]:
            shape = "?" if value["shape"] is None else "x".join(map(str, value["shape"]))
            yield label[:-1], f"{value['name']} {shape or 'scalar'} {value['dtype']}"
    yield "weights", size(document["weight_bytes"])
    yield "operators", f"{document['nodes']}: {counted(document['census'])}"


def _explanation(layer: Document) -> Iterator[tuple[str, Cell]]:
    channels = f", {layer['channels']} channels" if layer["channels"] else ""
    yield "BatchNorm", f"{layer['name']} ({layer['kind']}{channels})"
    into = f" into {layer['into']}" if layer["into"] else ""
    yield "fate", f"{layer['fate']}{into}"
    if layer["reason"]:
        yield "because", layer["reason"]
    yield "before", " <- ".join(layer["before"]) or "nothing"
    yield "behind", " -> ".join(layer["behind"]) or "nothing"


def _norm(norm: Document) -> list[Cell]:
    from rich.text import Text

    from bnexport.cli.layout import BAD

    ranges = [_range(norm[f"{name}_range"]) for name in ("mean", "var", "weight")]
    name: Cell = norm["name"] or "(the model)"
    if norm["problems"]:
        name = Text(str(name), BAD)
    return [name, norm["kind"], str(norm["channels"] or "?"), *ranges, _between(norm)]


def _between(norm: Document) -> str:
    """What it follows and what it feeds, by kind."""
    if norm["follows"] is None:
        return ""
    sides = ([step.split()[0] for step in norm[side]] for side in ("follows", "feeds"))
    return " -> ".join("+".join(dict.fromkeys(kinds)) or "-" for kinds in sides)


def _range(ends: tuple[float, float] | None) -> str:
    """The least and the greatest value."""
    return "-" if ends is None else f"{ends[0]:.2g}..{ends[1]:.2g}"
