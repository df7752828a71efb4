"""What every pass over a graph requires and ensures, checked before and after it runs."""

from __future__ import annotations

import onnx_ir as ir

from bnexport.passes.graphs.traverse import every_node

__all__ = ["GraphPass"]

Interface = tuple[tuple[str | None, ir.DataType | None], ...]


class GraphPass(ir.passes.InPlacePass):
    """A pass that keeps the model's inputs and outputs, and leaves no value unmade.

    Requires a graph without functions of its own (they are inlined when a file is read).
    """

    _interface: Interface = ()

    def requires(self, model: ir.Model) -> None:
        """Refuse what no pass here is written for.

        Raises:
            PreconditionError: The model has functions.
        """
        if model.functions:
            raise ir.passes.PreconditionError("functions must be inlined first")
        self._interface = _interface(model)

    def ensures(self, model: ir.Model) -> None:
        """Hold the result against what went in.

        Raises:
            PostconditionError: An input or output changed, or a value that is read comes from nowhere.
        """
        if _interface(model) != self._interface:
            raise ir.passes.PostconditionError("the model's inputs or outputs changed")
        for node in every_node(model.graph):
            for value in node.inputs:
                producer = value.producer() if value is not None else None
                if producer is not None and producer.graph is None:
                    name = value.name if value is not None else ""
                    raise ir.passes.PostconditionError(
                        f"{node.op_type} reads {name}, which is gone"
                    )


def _interface(model: ir.Model) -> Interface:
    values = (*model.graph.inputs, *model.graph.outputs)
    return tuple((value.name, value.dtype) for value in values)
