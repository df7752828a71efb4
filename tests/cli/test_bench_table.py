from io import StringIO

import pytest
from rich.console import Console

from bnexport.cli.bench_table import show_bench


def shown(document, width=100):
    stream = StringIO()
    show_bench(Console(file=stream, width=width, color_system=None), document)
    return stream.getvalue()


def participant(model, runtime, **facts):
    told = {"title": "ONNX Runtime 1.32.0", "device": "cpu", "precision": "float32"}
    return {"model": model, "runtime": runtime, "cuda_graph": False, **told, **facts}


def result(place, ratio, **facts):
    times = {"median": 1.234, "p95": 23.456, "p99": None}
    told = {"batch": 8, "rounds": 50, "samples_per_second": 6482.9, "memory": None}
    return {"participant": place, "latency_ms": times, "ratio": ratio, **told, **facts}


@pytest.fixture
def document():
    ratio = {"rounds": 50, "median": 0.5, "low": 0.45, "high": 0.551}
    return {
        "device": {"cpu": "A CPU", "cores": 2, "gpu": None, "load_average": 0.5},
        "settings": {"threads": None},
        "inputs": {
            "specs": [{"name": "x", "shape": ["N", 3], "dtype": "float32"}],
            "real": False,
            "assumed": "",
        },
        "notes": [],
        "participants": [participant("a.onnx", "ort"), participant("b.onnx", "ort")],
        "results": [result(0, None), result(1, ratio)],
        "skipped": [{"model": "c.engine", "runtime": "trt", "reason": "no CUDA driver"}],
    }


def test_a_line_for_each(document):
    lines = shown(document).splitlines()
    assert "  a.onnx in ort      8    1.23  23.5    -      6,483                 1" in lines
    assert "  b.onnx in ort      8    1.23  23.5    -      6,483  0.50 (0.45-0.55)" in lines


def test_a_runtime_is_told_once(document):
    assert shown(document).count("ort: ONNX Runtime 1.32.0, cpu, float32") == 1


def test_what_was_skipped_is_told_with_the_reason(document):
    assert "skipped   c.engine in trt: no CUDA driver" in shown(document)


def test_a_ratio_of_few_rounds_has_no_interval(document):
    document["results"][1]["ratio"] |= {"low": None, "high": None}
    assert "0.500\n" in shown(document)


def test_memory_is_told_where_it_was_measured(document):
    document["results"][0]["memory"] = {"host_bytes": 12_300_000, "gpu_bytes": None, "reason": ""}
    assert "memory    a.onnx in ort, batch 8: 12.3 MB host" in shown(document)


def test_one_contestant_has_nothing_to_be_compared_with(document):
    document["participants"].pop()
    document["results"].pop()
    assert "the first one's" not in shown(document)


def test_a_name_cannot_control_the_terminal(document):
    document["participants"][0]["model"] = "\x1b[2J[bold]a"
    assert "\x1b" not in shown(document)
    assert "[bold]a" in shown(document)


def test_nothing_is_cut_off_on_a_narrow_terminal(document):
    document["participants"][0]["model"] = "a_network_with_a_long_name.folded.onnx"
    assert "\u2026" not in shown(document, width=80)
