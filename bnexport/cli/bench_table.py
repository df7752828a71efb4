"""The table of a benchmark: one line for each participant and batch size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bnexport.cli.layout import Cell, columns, fields, rows

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["show_bench"]

Document = dict[str, Any]

HEADERS = ("contestant", "batch", "median", "p95", "p99", "samples/s", "ratio (95 %)")


def show_bench(console: Console, document: Document) -> None:
    """Print what ``document``, of the form ``bnexport.bench/1``, says; latencies are in milliseconds."""
    fields(console, [("device", _device(document)), ("input", _inputs(document["inputs"]))])
    fields(console, [("assumed", text) for text in [document["inputs"]["assumed"]] if text])
    fields(console, [("note", note) for note in document["notes"]])
    fields(console, [("runtime", text) for text in _runtimes(document)])
    table = columns(*HEADERS, wide="contestant")
    rows(console, table, [_row(document, each) for each in document["results"]])
    fields(console, [("measured", _measured(document)), *_memory(document), *_skipped(document)])


def _row(document: Document, result: Document) -> list[Cell]:
    times = (_milliseconds(result["latency_ms"][name]) for name in ("median", "p95", "p99"))
    rate = result["samples_per_second"]
    told = f"{rate:,.{0 if rate >= 100 else 1}f}"
    return [_who(document, result), str(result["batch"]), *times, told, _ratio(result["ratio"])]


def _who(document: Document, result: Document) -> str:
    who = document["participants"][result["participant"]]
    return f"{who['model']} in {who['runtime']}"


def _ratio(ratio: Document | None) -> str:
    if ratio is None:
        return "1"
    if ratio["low"] is None:
        return f"{ratio['median']:.3f}"
    return f"{ratio['median']:.2f} ({ratio['low']:.2f}-{ratio['high']:.2f})"


def _milliseconds(value: float | None) -> str:
    """Three digits at least: ``0.0214``."""
    if value is None:
        return "-"
    return f"{value:.{0 if value >= 1000 else 1 if value >= 10 else 2 if value >= 1 else 3}f}"


def _device(document: Document) -> str:
    device, threads = document["device"], document["settings"]["threads"]
    told = "threads as each runtime chooses" if threads is None else f"threads: {threads}"
    processor = (
        f"{device['cpu']}, {device['cores']} cores, load {device['load_average']:.1f}, {told}"
    )
    return "; ".join(filter(None, (device["gpu"], processor)))


def _inputs(inputs: Document) -> str:
    specs = (f"{s['name']} {'x'.join(map(str, s['shape']))} {s['dtype']}" for s in inputs["specs"])
    return ", ".join(specs) + (" (samples from the file given)" if inputs["real"] else "")


def _runtimes(document: Document) -> Iterator[str]:
    """Each once: ``ort: ONNX Runtime 1.32.0, cpu, float32``."""
    told = (
        f"{who['runtime']}: {who['title']}, {who['device']}, {who['precision']}"
        + (", CUDA graphs" if who["cuda_graph"] else "")
        for who in document["participants"]
    )
    yield from dict.fromkeys(told)


def _measured(document: Document) -> str:
    rounds = sorted({each["rounds"] for each in document["results"]})
    count = f"{rounds[0]}" if len(rounds) == 1 else f"{rounds[0]} to {rounds[-1]}"
    text = f"milliseconds; {count} rounds, in each of which each takes its turn; one run at a time"
    if len(document["participants"]) > 1:
        text += "; ratio: the time over the first one's, round by round"
    return text


def _memory(document: Document) -> Iterator[tuple[str, str]]:
    for each in document["results"]:
        if told := each["memory"]:
            sizes = [(told["host_bytes"], "host"), (told["gpu_bytes"], "GPU")]
            found = [f"{size / 1e6:.1f} MB {where}" for size, where in sizes if size is not None]
            text = ", ".join([*found, *filter(None, [told["reason"]])])
            yield "memory", f"{_who(document, each)}, batch {each['batch']}: {text}"


def _skipped(document: Document) -> Iterator[tuple[str, str]]:
    for each in document["skipped"]:
        yield "skipped", f"{each['model']} in {each['runtime']}: {each['reason']}"
