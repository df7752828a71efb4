"""``bnexport inspect``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import click

from bnexport.cli.answer import Answer
from bnexport.cli.command import Command
from bnexport.cli.mode import Mode
from bnexport.cli.options import load_options, shape_options, speech_options
from bnexport.cli.progress import progress

if TYPE_CHECKING:
    from rich.console import Console

    from bnexport.cli.layout import Cell
    from bnexport.load.loaded import Loaded

__all__ = ["inspect_command"]

Document = dict[str, Any]


@click.command("inspect", cls=Command)
@click.argument("model", required=False)
@load_options
@click.option("--layers", "every_layer", is_flag=True, help="List every layer with parameters.")
@click.option(
    "--explain",
    "explained",
    multiple=True,
    metavar="LAYER",
    help="Tell what becomes of this BatchNorm, and why; repeatable.",
)
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
    **options: Any,
) -> Answer:
    """Show what MODEL holds: its layers, its BatchNorms and their statistics.

    Of an ONNX file: its operators. Of a TensorRT engine: what its header and its sidecar say, and with
    --layers, where a GPU is here that runs it, its layers as TensorRT fused them. The model is read as
    `convert` reads it; nothing is run, unless --explain asks what `convert` would do.
    """
    if model is None and options["arch"] is None:
        raise click.UsageError("Missing argument 'MODEL' (or --arch MODULE:FACTORY).", ctx)
    from bnexport.load import load
    from bnexport.report.inspection import inspect_engine, inspect_loaded, is_engine

    if model is not None and is_engine(Path(model)):
        document = inspect_engine(Path(model), layers=every_layer)
    else:
        loaded = load(model, **options)
        document = inspect_loaded(loaded)
        if explained:
            document["explained"] = _explained(ctx, loaded, explained, inputs, inputs_from)
    return Answer(document, lambda console: _show(console, document, every_layer))


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
        _show_engine(console, document, every_layer)


def _show_module(console: Console, document: Document, every_layer: bool) -> None:
    from bnexport.cli.layout import columns, fields, rows

    norms = document["batch_norms"]
    fields(console, _module(document))
    if every_layer:
        listed = [[x["name"], x["kind"], f"{x['parameters']:,}"] for x in document["layers"]]
        table = columns("layer", "kind", "parameters", wide="layer", left=("kind",))
        rows(console, table, listed)
    if norms:
        heads = ("BatchNorm", "kind", "ch", "mean", "variance", "weight")
        table = columns(*heads, wide="BatchNorm", left=("kind",))
        rows(console, table, map(_norm, norms))
    problems = [(norm["name"], problem) for norm in norms for problem in norm["problems"]]
    fields(console, [("problem", f"{name or 'the model'}: {text}") for name, text in problems])


def _module(document: Document) -> Iterator[tuple[str, Cell]]:
    yield "class", f"{document['class']}, {document['parameters']:,} parameters"
    yield "layers", f"{len(document['layers'])}: {_counted(document['census'])}"
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
    yield "operators", f"{document['nodes']}: {_counted(document['census'])}"


def _show_engine(console: Console, document: Document, every_layer: bool) -> None:
    from rich.text import Text

    from bnexport.cli.layout import BAD, columns, fields, rows

    header, fault = document["header"], document["fault"]
    if header:
        fields(console, [("header", f"{header['flavour']} {header['version']}".strip())])
    if document["sidecar"]:
        fields(console, _engine(document["sidecar"]))
    if fault:
        fields(console, [("problem", Text(fault, BAD))])
    found = document["engine_layers"]
    if isinstance(found, str):
        fields(console, [("layers", f"not as they run: {found}")])
    elif found:
        table = columns("layer", "kind", wide="layer", left=("kind",))
        cells = [[str(x.get("Name", "")), str(x.get("LayerType", ""))] for x in found]
        rows(console, table, cells)


def _engine(sidecar: Document) -> Iterator[tuple[str, Cell]]:
    """Sidecars of earlier releases lack what came later."""
    yield (
        "built by",
        f"{sidecar['flavour']} {sidecar['version']} for {', '.join(sidecar['targets'])}",
    )
    flags = [word for word in ("static", "stripped", "refittable") if sidecar.get(word)]
    flags += [f"compatible: {word}" for word in sidecar.get("compatible", ())]
    yield "precision", ", ".join([str(sidecar["precision"]), *flags])
    for label in ("inputs", "outputs"):
        for tensor in sidecar[label]:
            shape = "x".join("N" if size < 0 else str(size) for size in tensor["shape"])
            yield label[:-1], f"{tensor['name']} {shape or 'scalar'} {tensor['dtype']}"
    for profile in (sidecar["profiles"], *sidecar.get("more_profiles", ())):
        for name, shapes in profile.items():
            least, usual, most = ("x".join(map(str, shape)) for shape in shapes)
            yield "profile", f"{name}: {least} to {most}, tuned for {usual}"
    scales, names = sidecar["scale_layers"], ", ".join(sidecar.get("scaling", ()))
    yield "layers", _counted(sidecar["layers"])
    yield "BatchNorm", f"{scales} scaling layers: {names}" if scales else "none left"


def _explanation(layer: Document) -> Iterator[tuple[str, Cell]]:
    channels = f", {layer['channels']} channels" if layer["channels"] else ""
    yield "BatchNorm", f"{layer['name']} ({layer['kind']}{channels})"
    into = f" into {layer['into']}" if layer["into"] else ""
    yield "fate", f"{layer['fate']}{into}"
    if layer["reason"]:
        yield "because", layer["reason"]
    yield "before", " <- ".join(layer["before"]) or "nothing"
    yield "behind", " -> ".join(layer["behind"]) or "nothing"


def _counted(census: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in census.items())


def _norm(norm: Document) -> list[Cell]:
    from rich.text import Text

    from bnexport.cli.layout import BAD

    ranges = [_range(norm[f"{name}_range"]) for name in ("mean", "var", "weight")]
    name: Cell = norm["name"] or "(the model)"
    if norm["problems"]:
        name = Text(str(name), BAD)
    return [name, norm["kind"], str(norm["channels"] or "?"), *ranges]


def _range(ends: tuple[float, float] | None) -> str:
    """The least and the greatest value."""
    return "-" if ends is None else f"{ends[0]:.2g}..{ends[1]:.2g}"
