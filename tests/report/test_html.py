import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hostile_report import NAMES, hostile, nothing_compared, plain, verification
from sample_report import check, facts, failed_check, parity

from bnexport.ledger import Ledger
from bnexport.parity.result import Wrong
from bnexport.printable import printable
from bnexport.report.html import page

VOID = {"meta", "br"}


class Page(HTMLParser):
    """Reads a page and keeps what a browser would: elements, attributes and text."""

    def __init__(self, source):
        super().__init__()
        self.open, self.tags, self.attributes, self.texts = [], [], [], []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        return "".join(self.texts)


FAILED = plain(facts(parity=parity(failed_check(), check(kind="alone"))))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_makes_no_element(name):
    ordinary = Page(page(hostile("layer")))
    assert Page(page(hostile(name))).tags == ordinary.tags


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_as_it_is_but_for_control_characters(name):
    assert printable(name) in Page(page(hostile(name))).text


@pytest.mark.parametrize("name", NAMES)
def test_the_page_is_utf_8_without_control_characters(name):
    made = page(hostile(name)).encode("utf-8")
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", made)


@pytest.mark.parametrize("report", [plain(facts()), FAILED, hostile("x")])
def test_the_page_needs_nothing_else(report):
    made = Page(page(report))
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(made.tags)
    assert not {"src", "href", "srcset", "action"} & {name for name, _ in made.attributes}
    assert not re.search(r"url\((?!#)|@import|https?:", page(report))


def test_the_page_forbids_what_it_does_not_need():
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    assert ("content", policy) in Page(page(FAILED)).attributes


def test_there_is_a_style_for_the_dark():
    assert "prefers-color-scheme: dark" in page(FAILED)


@pytest.mark.parametrize(("report", "word"), [(plain(facts()), "PASSED"), (FAILED, "FAILED")])
def test_the_verdict_comes_first(report, word):
    text = Page(page(report)).text
    assert text.index(word) < text.index("Agreement")


def test_the_bar_is_the_share_of_the_limit():
    made = page(plain(facts(parity=parity(check(ratio=0.27)))))
    assert 'style="width:27.0%"' in made
    assert "27%" in made


def test_the_bar_of_a_failure_is_full_and_marked():
    made = page(plain(facts(parity=parity(check(ratio=3.5, passed=False, detail="off")))))
    assert '<i style="width:100.0%" class="over">' in made
    assert "3.5 x" in made


def test_an_error_that_was_not_measured_is_said_to_be_so():
    assert "not measured" in Page(page(FAILED)).text


def test_the_first_wrong_layer_is_named():
    wrong = Wrong("conv_7", "Conv", "stem.conv", "off by 0.3", 5)
    given = replace(parity(failed_check()), located=str(wrong), origin=wrong)
    text = Page(page(plain(facts(parity=given)))).text
    assert "It starts in layer stem.conv, Conv conv_7: off by 0.3" in text


def test_a_place_in_words_alone_is_shown():
    given = replace(parity(failed_check()), located="one of the optimisers")
    assert "It starts in one of the optimisers" in Page(page(plain(facts(parity=given)))).text


def test_the_ledger_is_grouped_by_fate_what_was_kept_first_and_open():
    made = page(plain(facts()))
    groups = re.findall(r"<details( open)?><summary>(1 \w+)", made)
    assert groups == [(" open", "1 kept"), ("", "1 merged"), ("", "1 absorbed"), ("", "1 unused")]


def test_without_batch_norms_there_is_no_ledger():
    assert "BatchNorm:" not in Page(page(plain(facts(ledger=Ledger())))).text


def test_what_was_skipped_is_said():
    text = Page(page(plain(facts()))).text
    assert "tensorrt_rtx 1.7.1: built for sm_89, not executed: no CUDA device" in text


def test_a_page_without_checks_says_so():
    text = Page(page(nothing_compared())).text
    assert "FAILED nothing was compared" in text


@pytest.mark.parametrize(
    "fact", ["44.7 MB", "checkpoint", "torch", "atol", "FoldConstants", "abab"]
)
def test_how_it_was_made_is_shown(fact):
    assert fact in Page(page(plain(facts()))).text


def test_a_verification_is_a_page_too():
    text = Page(page(verification(parity(failed_check())))).text
    assert "model.onnx, judged by model.pt" in text
    assert "1 of 1 checks failed" in text
