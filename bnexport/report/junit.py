"""The report as JUnit XML, the form in which CI systems read tests: one test case a check."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as ET

from bnexport.printable import printable
from bnexport.report.reading import NOTHING, subject
from bnexport.report.runs import Run, ratio, runs, sentence, value

__all__ = ["suites"]

Document = dict[str, Any]


def suites(report: Document) -> str:
    """The whole file: one suite a run of a runtime, one for what was skipped."""
    parity = report["parity"]
    root = ET.Element("testsuites", name="bnexport")
    for run in runs(parity):
        _run(root, run, report)
    _skipped(root, parity["skipped"], report)
    if not parity["checks"]:
        suite = _suite(root, "verification", report)
        failure = ET.SubElement(_case(suite, "verification", "anything was compared"), "failure")
        failure.set("message", NOTHING)
    if len(root):
        _properties(root[0], report["versions"])
    for suite in root:
        _count(suite, [suite])
    _count(root, root)
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _run(root: ET.Element, run: Run, report: Document) -> None:
    name = f"{run.runtime} {run.precision} batch {run.batch}"
    suite = _suite(root, name, report)
    for check in run.checks:
        case = _case(suite, f"{run.runtime} {run.precision}", _name(check))
        if check["passed"]:
            continue
        failure = ET.SubElement(case, "failure", type=_clean(check["kind"]))
        failure.set("message", _clean(sentence(check)))
        failure.text = _clean(
            "\n".join([sentence(check), *_numbers(check), *_place(check, report)])
        )


def _name(check: Document) -> str:
    inputs = f" on {check['inputs']}" if check.get("inputs") else ""
    return f"{check['output']} at batch {check['batch']}{inputs}: {check['kind']}"


def _numbers(check: Document) -> list[str]:
    if not math.isfinite(value(check["max_abs"])) or check["kind"] == "graph":
        return []
    return [
        f"largest difference {value(check['max_abs']):.6g} at {check['worst']}",
        f"relative error {value(check['relative']):.6g}, limit {value(check['limit']):.6g}",
        f"{ratio(check):.6g} times the limit",
    ]


def _place(check: Document, report: Document) -> list[str]:
    located = report["parity"].get("located")
    return [f"it starts in {located}"] if located and check["kind"] == "agreement" else []


def _skipped(root: ET.Element, skipped: Sequence[Document], report: Document) -> None:
    if not skipped:
        return
    suite = _suite(root, "skipped", report)
    for each in skipped:
        case = _case(suite, each["runtime"], "runs")
        ET.SubElement(case, "skipped", message=_clean(each["reason"]))


def _suite(root: ET.Element, name: str, report: Document) -> ET.Element:
    suite = ET.SubElement(root, "testsuite", name=_clean(f"{subject(report)}: {name}"))
    if "created" in report:
        suite.set("timestamp", report["created"].removesuffix("Z"))
    return suite


def _properties(suite: ET.Element, versions: dict[str, str]) -> None:
    """The versions, before the suite's cases, where the form wants them."""
    properties = ET.Element("properties")
    for library, version in versions.items():
        ET.SubElement(properties, "property", name=_clean(library), value=_clean(version))
    suite.insert(0, properties)


def _case(suite: ET.Element, group: str, name: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=_clean(group), name=_clean(name), time="0")


def _count(element: ET.Element, within: Sequence[ET.Element] | ET.Element) -> None:
    """Write how many cases there are, and how they went; runs are not timed one by one."""
    cases = [case for suite in within for case in suite.iter("testcase")]
    element.set("tests", str(len(cases)))
    element.set("failures", str(sum(case.find("failure") is not None for case in cases)))
    element.set("errors", "0")
    element.set("skipped", str(sum(case.find("skipped") is not None for case in cases)))
    element.set("time", "0")


def _clean(given: object) -> str:
    """Text without the characters that XML cannot hold, not even as references."""
    return printable(given)
