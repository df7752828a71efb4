"""What torch.onnx does at each export and a program that is ready for it does not need.

It reads the signatures of its five hundred translations, source text included, of which a program calls a few, and
makes a table of all that torch can decompose: two thirds of a second together.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram

__all__ = ["only_needed"]

_NEEDED: ContextVar[Collection[str] | None] = ContextVar("bnexport_needed", default=None)
_OURS = "_bnexport"
# What torch.onnx itself puts into a graph where types are mixed.
_ALWAYS = frozenset({"aten::scalar_tensor", "aten::_to_copy"})


@dataclass(frozen=True)
class _Translation:
    """What torch.onnx asks of one.

    Attributes:
        qualified_name: Of the operator, ``aten::add.Tensor``.
        function: It.
        is_complex: Whether it is for complex numbers.
    """

    qualified_name: str
    function: Any
    is_complex: bool


@contextmanager
def only_needed(program: ExportedProgram) -> Iterator[None]:
    """Inside the block torch.onnx finds those translations alone that ``program`` needs, and does not decompose it.

    For a program that `bnexport.capture.ready` knows to be ready. All is as ever where it calls what has no
    translation, where this torch has another inside, and for other threads.
    """
    needed = _named(program) if _is_installed() else None
    token = _NEEDED.set(needed)
    try:
        yield
    finally:
        _NEEDED.reset(token)


def _named(program: ExportedProgram) -> Collection[str] | None:
    """The operators that the program calls, less their overloads; None where one has no translation."""
    known = {name for name, _ in _registered()}
    found = set(_ALWAYS)
    for node in program.graph.nodes:
        operator: Any = node.target
        if isinstance(operator, torch._ops.OpOverload):
            name: str = operator.name()  # type: ignore[no-untyped-call]
            if name not in known:
                return None
            found.add(_less_overload(name))
    return found


def _registered() -> list[tuple[str, Any]]:
    """Every translation of onnxscript's, by the operator's name."""
    home = "onnxscript.function_libs.torch_lib."
    importlib.import_module(f"{home}ops")  # which registers them
    registry = importlib.import_module(f"{home}registration").default_registry
    return [(name, each) for name, each in registry.items() if each.overloads or each.complex]


def _less_overload(name: str) -> str:
    return name.partition(".")[0]


def _is_installed() -> bool:
    """Put our own in the place of two functions of torch.onnx, once; whether that could be done.

    They do what they did, but inside `only_needed`.
    """
    try:
        exporter = "torch.onnx._internal.exporter."
        apis: Any = importlib.import_module(f"{exporter}_registration").onnxscript_apis
        passes: Any = importlib.import_module(f"{exporter}_fx_passes")
        every, decompose = apis.get_torchlib_ops, passes.decompose_with_registry
        _registered()
    except (ImportError, AttributeError):
        return False
    if hasattr(every, _OURS):
        return True

    def get_torchlib_ops() -> Sequence[Any]:
        needed = _NEEDED.get()
        found: Sequence[Any] = every() if needed is None else _selected(needed)
        return found

    def decompose_with_registry(program: ExportedProgram, registry: object) -> ExportedProgram:
        made: ExportedProgram = program
        if _NEEDED.get() is None:
            made = decompose(program, registry)
        return made

    setattr(get_torchlib_ops, _OURS, True)
    apis.get_torchlib_ops, passes.decompose_with_registry = (
        get_torchlib_ops,
        decompose_with_registry,
    )
    return True


def _selected(needed: Collection[str]) -> list[_Translation]:
    """Those of the operators named, and all that are not of ATen."""
    return [
        _Translation(name, function, is_complex)
        for name, functions in _registered()
        if not name.startswith("internal::")
        and (not name.startswith("aten::") or _less_overload(name) in needed)
        for every, is_complex in ((functions.overloads, False), (functions.complex, True))
        for function in every
    ]
