"""Check the graph of a torch.export archive: known operators and plain arithmetic, nothing that is evaluated."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from bnexport.load.errors import Corrupt, TooLarge, Unsafe, Unsupported
from bnexport.load.limits import Limits

__all__ = ["check_program", "is_arithmetic"]

_OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims|quantized_decomposed|higher_order)\.\w+(\.\w+)?", re.ASCII
)
_ARITHMETIC = "getitem add sub mul truediv floordiv mod neg pow eq ne lt le gt ge and_ or_ not_"
_ROUNDING = "ceil floor trunc sqrt pow"
_SYMBOLIC = "sum max min float int not ite sqrt constrain_range_for_size"
_PYTHON = {
    *(f"_operator.{name}" for name in _ARITHMETIC.split()),
    *(f"math.{name}" for name in _ROUNDING.split()),
    *(f"torch.sym_{name}" for name in _SYMBOLIC.split()),
}
_SYMBOL = re.compile(r"[su]\d+", re.ASCII)
_SYMPY = """
    Symbol Integer Float Add Mul Pow Max Min Mod PythonMod FloorDiv CeilDiv CleanDiv
    ModularIndexing TrueDiv IntTrueDiv FloatTrueDiv Eq Ne Lt Le Gt Ge And Or Not Where
    TruncToInt ToFloat Rational oo int_oo true false
"""
_FUNCTIONS = frozenset(_SYMPY.split())
_ASSUMPTIONS = {"integer", "positive", "nonnegative", "real", "negative"}
_SYNTAX = (
    ast.Expression,
    ast.BinOp,
    ast.UnaryOp,
    ast.Compare,
    ast.operator,
    ast.unaryop,
    ast.cmpop,
    ast.Load,
    ast.keyword,
)
_FIELDS = {
    "graph_module",
    "opset_version",
    "range_constraints",
    "schema_version",
    "verifiers",
    "torch_version",
    "guards_code",
}
_STRUCTURES = ("builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict", None)
_NUMBERS = ("Integer", "Float", "Rational")
_MAX_EXPRESSION = 4000
_MAX_EXPONENT = 16
_MAX_BITS = 64
_MAX_DEPTH = 150


def check_program(program: Any, path: str, limits: Limits) -> Any:
    """The program without guards and metadata, once all that torch would evaluate has been checked.

    Raises:
        Unsafe: An expression or operator is not a plain one.
        Unsupported: It holds custom objects or structures.
        Corrupt: It has not the form of a program.
    """
    _walk(program, path, 0)
    try:
        return _cleaned(program, path)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise Corrupt(path, f"malformed program ({type(error).__name__}: {error})") from None


def is_arithmetic(text: Any) -> bool:
    """Whether sympy may be given this text: numbers, symbols like ``s31`` and listed functions."""
    if not isinstance(text, str) or len(text) > _MAX_EXPRESSION:
        return False
    try:
        tree = ast.parse(text, mode="eval")
        return all(map(_is_plain, ast.walk(tree)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _is_plain(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return _is_plain_call(node)
    if isinstance(node, ast.Name):
        return node.id in _FUNCTIONS or _SYMBOL.fullmatch(node.id) is not None
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return _SYMBOL.fullmatch(node.value) is not None
        if isinstance(node.value, int):
            return node.value.bit_length() <= _MAX_BITS
        return isinstance(node.value, float)
    if _is_power(node):
        return _is_small_power(node)
    return isinstance(node, _SYNTAX)


def _is_plain_call(node: ast.Call) -> bool:
    if not isinstance(node.func, ast.Name) or node.func.id not in _FUNCTIONS:
        return False
    for keyword in node.keywords:
        if keyword.arg not in _ASSUMPTIONS or not isinstance(keyword.value, ast.Constant):
            return False
    if node.func.id == "Pow":
        return _is_small_power(node)
    if node.func.id == "Symbol":
        name = node.args[0] if len(node.args) == 1 else None
        return isinstance(name, ast.Constant) and isinstance(name.value, str)
    return True


def _is_power(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "Pow"
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow | ast.LShift)


def _is_small_power(node: ast.AST) -> bool:
    """9**9**9 is plain arithmetic too, and never ends: exponents are small, and powers do not nest."""
    parts = node.args if isinstance(node, ast.Call) else list(ast.iter_child_nodes(node))[::2]
    inner = [part for operand in parts for part in ast.walk(operand)]
    if len(parts) != 2 or any(map(_is_power, inner)):
        return False
    return all(
        not isinstance(part, ast.BinOp | ast.Name)
        or (isinstance(part, ast.Name) and part.id in _NUMBERS)
        for part in ast.walk(parts[1])
    ) and all(
        abs(part.value) <= _MAX_EXPONENT
        for part in ast.walk(parts[1])
        if isinstance(part, ast.Constant) and isinstance(part.value, int | float)
    )


def _walk(value: Any, path: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise TooLarge(path, "the program nests too deeply")
    if isinstance(value, dict):
        for key, item in value.items():
            _check_entry(key, item, path)
            _walk(item, path, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _walk(item, path, depth + 1)


def _check_entry(key: str, value: Any, path: str) -> None:
    if key == "expr_str" and not is_arithmetic(value):
        why = f"the symbolic expression {str(value)[:60]!r} is no plain arithmetic; nothing was run"
        raise Unsafe(path, why)
    if key in ("target", "as_operator") and not _is_operator(value):
        why = f"it calls {str(value)[:80]!r}, which is no operator of torch's own"
        raise Unsafe(path, why, "Custom operators cannot be exported")
    if key in ("as_custom_obj", "as_opaque") and value:
        raise Unsupported(path, "it holds a custom object")


def _is_operator(value: Any) -> bool:
    return isinstance(value, str) and (value in _PYTHON or _OPERATOR.fullmatch(value) is not None)


def _cleaned(program: Any, path: str) -> Any:
    unknown = sorted(set(program) - _FIELDS)
    if unknown:
        raise Unsupported(path, f"the program has unknown fields: {', '.join(unknown[:5])}")
    # torch would execute the guards; the verify station judges shapes by running the model.
    program["guards_code"] = []
    for symbol in program.get("range_constraints") or {}:
        if not _SYMBOL.fullmatch(symbol):
            raise Unsafe(path, f"a range constraint on {symbol[:40]!r}; nothing was run")
    module = program["graph_module"]
    module["metadata"] = {}
    if module.get("treespec_namedtuple_fields"):
        raise Unsupported(path, "its inputs or outputs are named tuples")
    for call in module.get("module_call_graph") or []:
        _check_signature(call.get("signature") or {}, path)
    _clean_graph(module["graph"], path, 0)
    return program


def _clean_graph(graph: Any, path: str, depth: int) -> None:
    """Keep of each node's metadata only where it stood in the module, in this graph and those inside."""
    if depth > _MAX_DEPTH:
        raise TooLarge(path, "the program nests too deeply")
    if graph.get("custom_obj_values"):
        raise Unsupported(path, "it holds custom objects")
    for node in graph["nodes"]:
        stack = (node.get("metadata") or {}).get("nn_module_stack")
        node["metadata"] = {"nn_module_stack": stack} if isinstance(stack, str) else {}
        for argument in node.get("inputs") or []:
            inner = (argument.get("arg") or {}).get("as_graph")
            if inner:
                _clean_graph(inner["graph"], path, depth + 1)


def _check_signature(signature: Any, path: str) -> None:
    for name in ("in_spec", "out_spec"):
        if not signature.get(name):
            continue
        spec = json.loads(signature[name])
        if not (isinstance(spec, list) and len(spec) == 2 and spec[0] == 1):
            raise Unsupported(path, f"an unknown form of {name}")
        _check_structure(spec[1], path, 0)


def _check_structure(spec: Any, path: str, depth: int) -> None:
    if depth > _MAX_DEPTH or spec.get("type") not in _STRUCTURES:
        raise Unsupported(path, f"inputs or outputs in a structure of {str(spec.get('type'))[:60]}")
    for child in spec.get("children_spec") or []:
        _check_structure(child, path, depth + 1)
