"""The ONNX file to TensorRT's network, and the parser's refusals in words."""

from __future__ import annotations

from typing import Any

from bnexport.errors import ExportError
from bnexport.targets.tensorrt.advice import plain, remedy
from bnexport.targets.tensorrt.flavour import Flavour
from bnexport.targets.tensorrt.logger import Messages, reason
from bnexport.targets.tensorrt.source import OnnxSource

__all__ = ["parse"]


def parse(
    flavour: Flavour, network: Any, logger: Any, messages: Messages, source: OnnxSource
) -> Any:
    """Fill ``network``; returns the parser, which owns the weights and has to outlive the build.

    Raises:
        ExportError: An operator is not supported, or used in a way that is not.
    """
    parser = flavour.module.OnnxParser(network, logger)
    # As one layer, InstanceNorm keeps its float32 arithmetic and stays out of the census of scales.
    parser.set_flag(flavour.module.OnnxParserFlag.NATIVE_INSTANCENORM)
    if parser.parse_from_file(str(source.path)):
        return parser
    if not parser.num_errors:
        raise ExportError(f"{flavour.title} cannot read {source.path.name}", reason(messages))
    raise _refusal(flavour, parser.get_error(0), source)


def _refusal(flavour: Flavour, error: Any, source: OnnxSource) -> ExportError:
    operator = error.node_operator() or source.operator(error.node())
    why = plain(error.desc())
    if not operator:
        what = f"{flavour.title} cannot read {source.path.name}"
        return ExportError(what, why, remedy("", why))
    place = source.place(error.node(), operator) or error.node_name()
    what = f"{flavour.title} cannot take operator {operator}" + (f" ({place})" if place else "")
    return ExportError(what, why, remedy(operator, why))
