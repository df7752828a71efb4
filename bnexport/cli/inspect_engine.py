"""What `inspect` shows of a TensorRT engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from bnexport.cli.layout import Cell

__all__ = ["counted", "show_engine"]

Document = dict[str, Any]


def counted(census: dict[str, int]) -> str:
    """``3 Conv, 2 Relu``."""
    return ", ".join(f"{count} {kind}" for kind, count in census.items())


def show_engine(console: Console, document: Document, every_layer: bool) -> None:
    """Its header, what its sidecar says, what is wrong with it, and its layers where they were asked for."""
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
    yield "layers", counted(sidecar["layers"])
    yield "BatchNorm", f"{scales} scaling layers: {names}" if scales else "none left"
