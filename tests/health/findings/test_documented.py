"""docs/findings.md and the catalogue tell the same."""

import re
from pathlib import Path

import pytest

from bnexport.health.findings import RULES, SEVERITIES

PAGE = Path(__file__).resolve().parents[3] / "docs" / "findings.md"
pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="needs the source tree")


@pytest.mark.parametrize("code", RULES)
def test_each_finding_has_its_section(code):
    rule, text = RULES[code], re.sub(r"\s+", " ", PAGE.read_text())
    assert f"## {code} {rule.title} *{rule.severity.capitalize()}.* {rule.effect}." in text
    assert f"Remedy: {rule.remedy}." in text


def test_no_section_is_of_no_finding():
    assert re.findall(r"^## (BNX\d+)", PAGE.read_text(), re.MULTILINE) == list(RULES)


def test_severities_and_codes():
    assert {rule.severity for rule in RULES.values()} <= set(SEVERITIES)
    assert all(re.fullmatch(r"BNX1\d\d", code) for code in RULES)
