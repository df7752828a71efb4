"""The pytest plugin: the fixture ``bnexport_parity`` converts a model and fails the test if it may not be.

pytest imports this file as it starts, so what is heavy is imported when a test calls the fixture.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from bnexport.errors import BnexportError, MissingRuntime, UsageError

if TYPE_CHECKING:
    import os

    import torch

    from bnexport.conversion import Conversion
    from bnexport.inputs.given import Given
    from bnexport.load.loaded import Loaded

__all__ = ["BnexportParity"]

MARKER = "bnexport_parity"
BATCH_SIZES = "bnexport_batch_sizes"
REPORTS = "--bnexport-reports"
CACHE = "--bnexport-cache"
SKIPPED = "bnexport_skipped"  # the property of a test's report

_LONGEST = 150  # of a report's name; a file system ends at 255 bytes
_UNSAFE = re.compile(r"[^\w.,=+\[\]-]+", re.ASCII)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--bnexport-reports``, ``--bnexport-cache`` and ``bnexport_batch_sizes``."""
    group = parser.getgroup("bnexport")
    group.addoption(
        REPORTS,
        metavar="DIR",
        help="copy the JSON report of each conversion into DIR, named by the test",
    )
    group.addoption(
        CACHE,
        metavar="DIR",
        help="take conversions of what is unchanged, code and all, from DIR, and keep the others there",
    )
    parser.addini(
        BATCH_SIZES,
        "batch sizes at which the fixture bnexport_parity verifies",
        type="args",
        default=["1", "8"],
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; refuse batch sizes that are none before any test runs."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(inputs=..., targets=..., batch_sizes=..., atol=..., rtol=..., **options): "
        "what the fixture of this name takes where its call does not say",
    )
    _batch_sizes(config)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Warn of a marked test that checks nothing; on a class or module the mark may be for others."""
    marked = any(mark.name == MARKER for mark in item.own_markers)
    if marked and MARKER not in getattr(item, "fixturenames", ()):
        text = f"{item.nodeid} is marked {MARKER} and does not take the fixture: nothing is checked"
        item.warn(pytest.PytestWarning(text))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List what could not be run: a test that passed without it should not hide it."""
    lines = {
        f"{report.nodeid}: {value}": None
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == SKIPPED
    }
    if lines:
        terminalreporter.section("bnexport: not executed")
    for line in lines:
        terminalreporter.write_line(line)


@pytest.fixture
def bnexport_parity(request: pytest.FixtureRequest, tmp_path: Path) -> BnexportParity:
    """Convert a model, and fail the test if the result does not compute the same.

    ``bnexport_parity(model, inputs=None, *, targets=("onnx",), batch_sizes=(1, 8), atol=None,
    rtol=None, **options)`` returns the `bnexport.Conversion`. The files stay in ``tmp_path``.
    """
    return BnexportParity(request, tmp_path)


class BnexportParity:
    """What the fixture ``bnexport_parity`` is; call it.

    Args:
        request: Of the test.
        folder: Each call writes into a folder in it: ``bnexport``, then ``bnexport-2``.
    """

    def __init__(self, request: pytest.FixtureRequest, folder: Path) -> None:
        self._item: pytest.Item = request.node
        self._config = request.config
        self._parent = folder
        self._calls = self._reports = 0

    def __call__(
        self,
        model: torch.nn.Module | str | os.PathLike[str] | Loaded | None,
        inputs: Given | None = None,
        *,
        targets: str | Sequence[str] | None = None,
        batch_sizes: Sequence[int] | None = None,
        atol: float | None = None,
        rtol: float | None = None,
        **options: Any,
    ) -> Conversion:
        """Convert ``model`` and judge the result.

        What is not given is taken from the marker ``bnexport_parity``, closest first.

        Args:
            model: A live module, which is not changed, or a file; None with ``arch``.
            inputs: ``"Nx3x224x224"``, one text an input; real samples, batch first: an array or
                tensor, a tuple or mapping of them, or a file; None: inferred.
            targets: As of `bnexport.convert`; ``("onnx",)`` by default.
            batch_sizes: To verify at; by default those of the ini file, or 1 and 8.
            atol: With ``rtol``, replaces the yardstick.
            rtol: See ``atol``.
            options: More of `bnexport.convert`: ``opset``, ``sm``, ``arch``, ``mixes_batch``.

        Raises:
            pytest.fail.Exception: A check fails, or bnexport refuses the model.
            pytest.skip.Exception: A runtime is missing; targets that do not need it were checked.
        """
        __tracebackhide__ = True
        said = {
            "inputs": inputs,
            "targets": targets,
            "batch_sizes": batch_sizes,
            "atol": atol,
            "rtol": rtol,
        }
        said = {name: value for name, value in said.items() if value is not None}
        try:
            return self._judged(model, {**self._defaults(), **said, **options})
        except BnexportError as error:
            from bnexport.cli.plain import failure_text

            text = failure_text(error)
        pytest.fail(text, pytrace=False)

    def _defaults(self) -> dict[str, Any]:
        """The project's, then what the markers say, the closest last."""
        said = {"inputs": None, "targets": ("onnx",), "batch_sizes": _batch_sizes(self._config)}
        for mark in reversed(list(self._item.iter_markers(MARKER))):
            if mark.args:
                what, why = f"marker {MARKER}", "it takes its arguments by name"
                raise UsageError(what, why, f"Write {MARKER}(inputs=..., targets=...)")
            said |= mark.kwargs
        return said

    def _judged(self, model: Any, options: dict[str, Any]) -> Conversion:
        __tracebackhide__ = True
        from bnexport.build import parse_targets
        from bnexport.inputs.given import read_given

        folder = self._new_folder()
        targets = parse_targets(options.pop("targets"))
        inputs, inputs_from = read_given(options.pop("inputs"), folder)
        options = {
            "batch": options.pop("batch_sizes"),
            "inputs": inputs,
            "inputs_from": inputs_from,
            "keep_failed": True,
            "cache": self._cache(),
            **options,
        }
        try:
            return self._convert(model, folder, targets, options)
        except MissingRuntime as error:
            missing = error
        self._skip(model, folder, targets, options, missing)

    def _convert(
        self, model: Any, folder: Path, targets: Sequence[str], options: dict[str, Any]
    ) -> Conversion:
        __tracebackhide__ = True
        from bnexport.cli.streams import hush
        from bnexport.conversion import ConversionFailed
        from bnexport.convert import convert
        from bnexport.destination import SUFFIXES

        try:
            # A project that makes errors of warnings means its own, not those of torch's exporter.
            with hush(unless=False):
                conversion = convert(
                    model, folder / f"model{SUFFIXES[targets[0]]}", target=targets, **options
                )
        except ConversionFailed as failure:
            self._keep(failure.conversion)
            raise
        self._keep(conversion)
        return conversion

    def _skip(
        self,
        model: Any,
        folder: Path,
        targets: Sequence[str],
        options: dict[str, Any],
        missing: MissingRuntime,
    ) -> NoReturn:
        """Check each target that can be; then skip, for the others may not pass as checked."""
        __tracebackhide__ = True
        reasons = {} if len(targets) > 1 else {targets[0]: str(missing)}
        try:
            for target in targets if len(targets) > 1 else ():
                try:
                    self._convert(model, folder, (target,), options)
                except MissingRuntime as error:
                    reasons[target] = str(error)
        finally:
            for target, reason in reasons.items():
                self._say(f"target {target}: {reason}")
        passed = [f"target {target} passed" for target in targets if target not in reasons]
        pytest.skip("; ".join([*(f"target {t}: {why}" for t, why in reasons.items()), *passed]))

    def _cache(self) -> Path | None:
        folder = self._config.getoption(CACHE)
        return self._config.invocation_params.dir / folder if folder else None

    def _new_folder(self) -> Path:
        """Of this call's own: the test may have a ``model.onnx`` in ``tmp_path``."""
        self._calls += 1
        folder = self._parent / f"bnexport{_count(self._calls)}"
        folder.mkdir()
        return folder

    def _keep(self, conversion: Conversion) -> None:
        """Record what was not executed, and copy the report to where the user wants it."""
        for skipped in conversion.parity.skipped:
            self._say(f"{skipped.runtime}: {skipped.reason}")
        folder = self._config.getoption(REPORTS)
        if folder and conversion.report.exists():
            self._reports += 1
            name = _report_name(self._item.nodeid, self._reports)
            target = self._config.invocation_params.dir / folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(conversion.report, target)

    def _say(self, skipped: str) -> None:
        """As the fixture record_property does, which warns of every JUnit file of today's form."""
        self._item.user_properties.append((SKIPPED, skipped))
        self._item.add_report_section("call", "bnexport, not executed", f"{skipped}\n")


def _batch_sizes(config: pytest.Config) -> tuple[int, ...]:
    """``1 8``, ``1,8`` or a list, as the ini file says."""
    words = " ".join(map(str, config.getini(BATCH_SIZES))).replace(",", " ").split()
    if not words or not all(word.isdecimal() and int(word) for word in words):
        said = " ".join(words)
        raise pytest.UsageError(f"{BATCH_SIZES} = {said}: not batch sizes; write 1 8")
    return tuple(map(int, words))


def _report_name(nodeid: str, number: int) -> PurePosixPath:
    """``tests/test_net.py/test_net[8].json``: folders for files, so that no two tests share a name.

    A parameter's id may hold anything; where characters are replaced, a hash tells it from others.
    """
    file, _, test = nodeid.partition("::")
    name = _UNSAFE.sub("-", test.replace("::", "."))[:_LONGEST]
    if name != test.replace("::", "."):
        name += f"-{hashlib.sha256(test.encode()).hexdigest()[:8]}"
    folders = [part for part in PurePosixPath(file).parts if part not in ("..", "/")]
    return PurePosixPath(*folders, f"{name}{_count(number)}.json")


def _count(number: int) -> str:
    return f"-{number}" if number > 1 else ""
