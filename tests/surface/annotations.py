"""Which functions, parameters and attributes are ``Any``: in this package, what TensorRT made."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping

__all__ = ["any_functions", "exported", "functions", "is_any"]

_CONTAINERS = frozenset(
    [
        "Generator",
        "Iterable",
        "Iterator",
        "Optional",
        "Sequence",
        "frozenset",
        "list",
        "set",
        "tuple",
    ]
)
Function = ast.FunctionDef | ast.AsyncFunctionDef


def is_any(annotation: ast.expr | None, also: frozenset[str] = frozenset()) -> bool:
    """Whether an annotation is ``Any``, a container of it, or a function that returns it.

    A dict with values of ``Any`` is not: it is JSON. ``also`` holds the names of type variables.
    """
    match annotation:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name == "Any" or name in also
        case ast.Constant(value=str(text)):
            return is_any(ast.parse(text, mode="eval").body, also)
        case ast.BinOp(left=left, right=right):
            return is_any(left, also) or is_any(right, also)
        case ast.Subscript(value=ast.Name(id=head) | ast.Attribute(attr=head), slice=inner):
            parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            if head == "Callable":
                parts = parts[-1:]
            return head in _CONTAINERS | {"Callable"} and any(is_any(part, also) for part in parts)
    return False


def functions(trees: Iterable[ast.Module]) -> Iterator[Function]:
    """All of them, methods and nested ones included."""
    for tree in trees:
        yield from (node for node in ast.walk(tree) if isinstance(node, Function))


def any_functions(trees: Iterable[ast.Module]) -> dict[str, bool]:
    """For the name of every function, whether it may return an object of TensorRT.

    A generic function may: nothing is known of what it hands through.
    """
    trees = list(trees)
    generic = frozenset(_type_variables(trees))
    found: dict[str, bool] = {}
    for node in functions(trees):
        found[node.name] = found.get(node.name, False) or is_any(node.returns, generic)
    return found


def exported(trees: Mapping[str, ast.Module]) -> frozenset[str]:
    """The functions that are called from elsewhere too: under which guards is not known here.

    Args:
        trees: By the name of the file; what ``__init__.py`` names is exported, and public methods.
    """
    methods = {
        node.name
        for tree in trees.values()
        for owner in ast.walk(tree)
        if isinstance(owner, ast.ClassDef)
        for node in owner.body
        if isinstance(node, Function)
        and (not node.name.startswith("_") or node.name.endswith("__"))
    }
    front = trees.get("__init__.py", ast.Module([], []))
    named = {node.value for node in ast.walk(front) if isinstance(node, ast.Constant)}
    return frozenset(methods | {name for name in named if isinstance(name, str)})


def _type_variables(trees: Iterable[ast.Module]) -> Iterator[str]:
    for tree in trees:
        for node in ast.walk(tree):
            match node:
                case ast.Assign(
                    targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id="TypeVar"))
                ):
                    yield name
