"""The process of a command: what it puts off loading is there for who asks."""

from __future__ import annotations

import subprocess
import sys


def run(code: str) -> str:
    full = f"from bnexport.cli.process import prepare; prepare()\n{code}"
    shown = subprocess.run([sys.executable, "-c", full], capture_output=True, text=True, check=True)
    return shown.stdout.strip()


def test_a_module_that_is_put_off_is_not_loaded_by_being_asked_for():
    code = """
import importlib.util, sys
print(importlib.util.find_spec("sympy").origin.endswith("sympy/__init__.py"), "sympy.core" in sys.modules)
"""
    assert run(code) == "True False"


def test_it_is_loaded_when_it_is_looked_into():
    assert run("import sympy; print(sympy.Integer(2) + 3)") == "5"
    assert run("from sympy import Integer; print(Integer(2) + 3)") == "5"
    assert run("import sympy.core.numbers as n; print(n.Integer(2) + 3)") == "5"


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert run("import os; print(os.environ['OMP_WAIT_POLICY'])") == "ACTIVE"
