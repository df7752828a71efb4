"""Break each guard of the folding in turn: some test must fail every time.

    python benchmarks/mutate_folding.py [--only FILE ...] [--quick] [--list] [--out FILE]

A guard is an ``if`` that ends in return, continue or raise: it is made never to hold, or, where it is an
``or``, each of its operands is. In what is returned, each operand of an ``and`` or ``or`` is taken out. A guard
against None is left alone: mypy fails without it. Runs in a copy of the tree; the tests come in the order of
their speed. ``equivalent_mutants.toml`` lists what cannot be told from the original, with the reason. Ends with
status 1 when a mutant survives that is not on the list, or when the list names one that is not there.
"""

from __future__ import annotations

import argparse
import ast
import datetime
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "passes" / "graphs"
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.toml")
OTHER_PASSES = ("__init__", "bias", "constants", "fate", "graph", "naming", "shapes", "simplify")
HERE = "tests/passes/graphs"
UNITS = "affine", "channel_shuffle", "compose_affines", "contract", "einsum", "plan", "rules"
GRAPHS = f"{HERE}/test_before_after.py"
STAGES = (
    [*(f"{HERE}/test_{unit}.py" for unit in UNITS), f"{GRAPHS}::test_the_graph_is_as_written"],
    [HERE, f"--ignore={HERE}/test_random_graphs.py"],
    [f"{HERE}/test_random_graphs.py"],
)
LIMIT = 400  # seconds, of one mutant's tests
COPIED = ("bnexport", "passes", "tests", "models", "pyproject.toml")


@dataclass(frozen=True)
class Mutant:
    """One change to one file."""

    name: str
    path: Path
    line: int
    source: str


def mutants(path: Path) -> Iterator[Mutant]:
    """Every mutant of a file, in the order of its lines."""
    tree = ast.parse(path.read_text())
    seen: Counter[str] = Counter()
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        for what, holder, field, index, new in _changes(function):
            name = f"{path.name}::{function.name}::{what}"
            seen[name] += 1
            name += f" #{seen[name]}" if seen[name] > 1 else ""
            old = getattr(holder, field)
            line = holder.lineno if hasattr(holder, "lineno") else function.lineno
            setattr(holder, field, [*old[:index], new, *old[index + 1 :]] if index >= 0 else new)
            yield Mutant(name, path, line, ast.unparse(tree))
            setattr(holder, field, old)


Change = tuple[str, ast.AST, str, int, ast.expr]


def _changes(function: ast.FunctionDef) -> Iterator[Change]:
    for node in ast.walk(function):
        if isinstance(node, ast.If) and not node.orelse:
            if isinstance(node.body[-1], ast.Return | ast.Continue | ast.Raise):
                if isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.Or):
                    yield from _operands(node.test)
                elif not _is_none(node.test):
                    yield f"if {ast.unparse(node.test)}", node, "test", -1, ast.Constant(False)
        elif isinstance(node, ast.Return) and node.value is not None:
            for part in ast.walk(node.value):
                if isinstance(part, ast.BoolOp):
                    yield from _operands(part)


def _is_none(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Is)


def _operands(node: ast.BoolOp) -> Iterator[Change]:
    """Each operand, replaced by what changes nothing for the others."""
    neutral = isinstance(node.op, ast.And)
    word = "and" if neutral else "or"
    for index, operand in enumerate(node.values):
        if _is_none(operand):
            continue
        what = f"{word} [{ast.unparse(operand)}] in {ast.unparse(node)}"
        yield what, node, "values", index, ast.Constant(neutral)


def survives(mutant: Mutant, copy: Path, stages: Sequence[list[str]]) -> bool:
    """Whether every test passes."""
    target = copy / mutant.path.relative_to(ROOT)
    original = target.read_text()
    target.write_text(mutant.source)
    try:
        return all(_passes(stage, copy) for stage in stages)
    finally:
        target.write_text(original)


def _passes(stage: list[str], copy: Path) -> bool:
    """Run in a fork, which has what is slow to import and none of what is tested."""
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        _test(stage, copy)
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _test(stage: list[str], copy: Path) -> None:
    import pytest

    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    sys.dont_write_bytecode = True
    status = 70
    try:
        status = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *stage]))
    finally:
        os._exit(status)


def main() -> int:
    """Run, and say who survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="FILE")
    parser.add_argument("--list", action="store_true", help="only list the mutants")
    parser.add_argument("--quick", action="store_true", help="without the random graphs")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    files = sorted(p for p in RULES.glob("*.py") if p.stem not in OTHER_PASSES)
    wanted = [p for p in files if not given.only or p.name in given.only]
    found = [mutant for path in wanted for mutant in mutants(path)]
    if given.list:
        print(*(mutant.name for mutant in found), sep="\n")
        return 0
    listed = {
        each["name"]: each["reason"] for each in tomllib.loads(EQUIVALENT.read_text())["mutant"]
    }
    known = {mutant.name for path in files for mutant in mutants(path)}
    stale = [name for name in listed if name not in known]
    survivors = _run(
        [m for m in found if m.name not in listed], STAGES[:2] if given.quick else STAGES
    )
    result = {
        "command": "python benchmarks/mutate_folding.py",
        "date": datetime.date.today().isoformat(),
        "mutants": len(found),
        "equivalent": sum(mutant.name in listed for mutant in found),
        "survived": [mutant.name for mutant in survivors],
        "listed but gone": stale,
    }
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    return 1 if survivors or stale else 0


def _run(found: list[Mutant], stages: Sequence[list[str]]) -> list[Mutant]:
    import hypothesis  # noqa: F401 - and the rest: each fork starts with it
    import onnx_ir  # noqa: F401
    import onnxruntime  # noqa: F401
    import onnxscript  # noqa: F401
    import pytest  # noqa: F401
    import torch

    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, copy / name, symlinks=True, ignore=ignored)
            else:
                shutil.copy(source, copy / name)
        if not all(_passes(stage, copy) for stage in stages):
            sys.exit("the tests fail as they are")
        for count, mutant in enumerate(found, 1):
            if survives(mutant, copy, stages):
                survivors.append(mutant)
                place = f"{mutant.path.name}:{mutant.line}"
                print(f"[{count}/{len(found)}] survived {place} {mutant.name}", flush=True)
    return survivors


if __name__ == "__main__":
    sys.exit(main())
