"""The charts stand in the page, read in any light, and draw what was recorded."""

from __future__ import annotations

import builtins
from xml.etree import ElementTree

import pytest
from hostile_report import plain
from sample_report import check, facts, parity

from bnexport.parity.measure import DECADES
from bnexport.report import charts, html

COUNTS = (90, *[0] * 10, 5, 5, 0, 0, 0, 0, 0)
POINTS = [
    {"value": f"v{i}", "layer": f"layer{i}", "place": 10 * i, "ratio": ratio}
    for i, ratio in enumerate([0.1, 0.2, 300.0, "Infinity"])
]


def drawn() -> str:
    made = charts.spread([{"runtime": "A <b>&", "histogram": [*COUNTS]}], DECADES)
    assert made is not None
    return made


def test_the_decades_are_those_that_are_recorded():
    assert html.DECADES == DECADES


@pytest.mark.parametrize("svg", [drawn(), charts.curve(POINTS, "v2")])
def test_a_chart_is_an_element_of_the_page_in_its_ink(svg):
    root = ElementTree.fromstring(svg.replace("xlink:", ""))
    assert root.tag == "figure"
    assert root[0].tag == "svg"
    assert not {"width", "height"} & set(root[0].attrib)
    assert "currentColor" in svg
    assert "#010203" not in svg
    assert "http" not in svg


def test_names_are_escaped():
    assert "A &lt;b&gt;&amp;" in drawn()


def test_the_wrong_value_is_labelled_with_its_layer():
    made = charts.curve(POINTS, "stem.conv")
    assert "stem.conv" in made
    assert "mathdefault" not in made


def test_what_was_not_recorded_is_not_drawn():
    assert charts.spread([{"runtime": "A"}], DECADES) is None
    assert charts.curve(POINTS[:1], "v0") is None


def test_runtimes_are_added_up():
    each = {"runtime": "A", "histogram": [1, 2, 3, 4]}
    assert charts.spread([each, each, {"runtime": "B", "histogram": [4, 3, 2, 1]}], DECADES)


def test_without_matplotlib_the_page_says_what_to_install(monkeypatch):
    plain_import = builtins.__import__

    def importing(name, *arguments, **options):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return plain_import(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", importing)
    assert "pip install bnexport[plots]" in drawn()


def test_a_page_has_the_chart_of_what_was_recorded():
    with_counts = plain(facts(parity=parity(check(histogram=COUNTS))))
    assert "<svg" in html.page(with_counts)
    assert "<svg" not in html.page(plain(facts()))
