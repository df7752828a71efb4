"""Spellings that mean the same and that not every runtime reads."""

from __future__ import annotations

import string

import onnx_ir as ir

from bnexport.passes.graphs.contract import GraphPass
from bnexport.passes.graphs.traverse import every_node

__all__ = ["LowerCaseEinsum"]


class LowerCaseEinsum(GraphPass):
    """Spell Einsum's labels in lower case: TensorRT takes no others."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rename in place."""
        modified = False
        for node in every_node(model.graph):
            if node.op_type != "Einsum" or node.domain:
                continue
            equation = node.attributes["equation"].as_string()
            spelt = _lowered(equation)
            if spelt != equation:
                node.attributes["equation"] = ir.AttrString("equation", spelt)
                modified = True
        return ir.passes.PassResult(model, modified)


def _lowered(equation: str) -> str:
    """The same with other letters; as it is where 26 are not enough.

    Without an arrow the result's labels are in alphabetical order, which other letters would change.
    """
    upper = sorted({letter for letter in equation if letter in string.ascii_uppercase})
    free = [letter for letter in string.ascii_lowercase if letter not in equation]
    if "->" not in equation or len(upper) > len(free):
        return equation
    own = [letter for letter in upper if letter.lower() in free]
    rest = [letter for letter in free if letter.upper() not in own]
    chosen = {letter: letter.lower() for letter in own}
    chosen |= dict(zip((letter for letter in upper if letter not in own), rest, strict=False))
    return "".join(chosen.get(letter, letter) for letter in equation)
