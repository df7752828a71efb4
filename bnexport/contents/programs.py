"""Archives that hold a program: torch.export's, and TorchScript."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bnexport.contents.contents import DANGER, RISK, Contents, Record, Risk
from bnexport.errors import Refused
from bnexport.load.archive import Archive
from bnexport.load.limits import in_force
from bnexport.load.program import check_program

__all__ = ["exported", "script"]


def script(path: Path, archive: Archive, records: tuple[Record, ...]) -> Contents:
    """TorchScript: its code is in the file."""
    code = [each for each in records if each.name.startswith("code/")]
    facts = {"code": [each.name for each in code]}
    text = f"a TorchScript archive with {len(code)} records of code, which runs when it is loaded"
    return Contents(
        path,
        "TorchScript archive",
        path.stat().st_size,
        records,
        (),
        (),
        facts,
        (Risk(DANGER, text),),
    )


def exported(path: Path, archive: Archive, records: tuple[Record, ...]) -> Contents:
    """A program of torch.export: its operators, and whether torch's own loader would run something of it."""
    programs = [
        each.name
        for each in records
        if each.name.startswith("models/") and each.name.endswith(".json")
    ]
    operators: Counter[str] = Counter()
    risks: list[Risk] = []
    for name in programs:
        found = _program(archive, name)
        if found is None:
            risks.append(Risk(DANGER, f"its program {name} is no JSON"))
            continue
        operators.update(_operators(found))
        guards = found.get("guards_code") if isinstance(found, dict) else None
        if guards:
            risks.append(
                Risk(RISK, f"it holds {len(guards)} guards, source that torch's own loader runs")
            )
        try:
            check_program(found, str(path), in_force())
        except Refused as error:
            risks.append(Risk(DANGER, error.why or error.what))
    for each in records:
        if each.name.endswith((".so", ".dll", ".dylib", ".cubin")):
            risks.append(Risk(DANGER, f"it holds native code, {each.name}"))
        if each.name.startswith("data/sample_inputs/") and each.bytes:
            risks.append(
                Risk(RISK, "its sample inputs are a pickle, which torch's own loader may run")
            )
        if each.name.endswith("_config.json") and b'"use_pickle": true' in archive.read(
            each.name, in_force().json_bytes
        ):
            risks.append(Risk(DANGER, f"{each.name} marks weights as pickles"))
    facts = {"operators": dict(operators.most_common())}
    return Contents(
        path, "archive of torch.export", path.stat().st_size, records, (), (), facts, tuple(risks)
    )


def _program(archive: Archive, name: str) -> Any:
    try:
        return json.loads(archive.read(name, in_force().json_bytes, "json_bytes"))
    except (ValueError, RecursionError):
        return None


def _operators(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            if isinstance(each.get("target"), str):
                yield each["target"]
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
