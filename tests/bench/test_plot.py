import sys
import xml.etree.ElementTree as ET

import pytest

from bnexport import bench
from bnexport.bench.plot import check_plots, drawn
from bnexport.errors import MissingRuntime

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture
def document(one, two):
    return bench([one, two], batch=(1, 2), runtimes=("ort",), rounds=2, threads=1).to_json()


def test_each_batch_and_the_sweep_are_drawn(document):
    svg = drawn(document)
    ET.fromstring(svg)
    assert all(text in svg for text in ("batch 1", "batch 2", "the sweep", "one.onnx, ort"))


def test_one_batch_is_no_sweep(one):
    assert "the sweep" not in drawn(bench(one, runtimes=("ort",), rounds=2, threads=1).to_json())


def test_a_drawing_is_a_function_of_the_document(document):
    assert drawn(document) == drawn(document)


def test_names_are_text_not_markup(document):
    document["participants"][0]["model"] = "<b>$x$\x1b[31m"
    svg = drawn(document)
    ET.fromstring(svg)
    assert "&lt;b&gt;$x$" in svg


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingRuntime, match=r"pip install bnexport\[plots\]"):
        check_plots()
