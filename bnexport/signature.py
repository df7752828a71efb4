"""A model as every station calls it: positional tensors in, a flat tuple of named tensors out."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from bnexport.errors import ExportError

__all__ = ["Plain", "parameter_names", "signature"]


class Plain(torch.nn.Module):
    """``forward(*tensors) -> tuple of tensors`` around any module.

    Inputs are passed to the parameters of the module's ``forward`` that ``inputs`` names. Outputs may be a tensor, or
    dicts, tuples, lists, named tuples and dataclasses of them, nested; what is not a tensor is left out. Every output
    is a tensor of its own, under a name of its own: one that is also an input, or returned twice, is copied.

    Attributes:
        model: The wrapped module.
        inputs: The names of the inputs, in order.
        outputs: The names of the outputs, in order; set by the first call.
    """

    def __init__(self, model: torch.nn.Module, inputs: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.inputs = tuple(inputs)
        self.outputs: tuple[str, ...] = ()
        self._positional = _positional(model, self.inputs)
        self.training = model.training

    @property
    def by_position(self) -> bool:
        """Whether the wrapped module can be called with the same positional tensors."""
        return self._positional == len(self.inputs)

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Call the module and flatten what it returns.

        Raises:
            ExportError: The module returned no tensor.
        """
        split = self._positional
        keywords = dict(zip(self.inputs[split:], tensors[split:], strict=True))
        return self.flattened(self.model(*tensors[:split], **keywords), tensors)

    def flattened(
        self, result: object, tensors: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, ...]:
        """The outputs in what the module returned for ``tensors``.

        Raises:
            ExportError: There is no tensor in it.
        """
        found = list(_flatten("", result))
        if not found:
            kind = type(result).__name__
            raise ExportError("the model returns no tensor", f"its forward returned {kind}")
        if not self.outputs:
            self.outputs = _distinct([name for name, _ in found], self.inputs)
        return _own([tensor for _, tensor in found], tensors)


def _distinct(names: Sequence[str], taken: Sequence[str]) -> tuple[str, ...]:
    """The names, with a number on each that an input or an earlier output bears: values share one name space."""
    chosen: list[str] = []
    for name in names:
        free, count = name, 1
        while free in chosen or free in taken:
            free, count = f"{name}_{count}", count + 1
        chosen.append(free)
    return tuple(chosen)


def _own(
    outputs: Sequence[torch.Tensor], inputs: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, ...]:
    seen = {id(tensor) for tensor in inputs}
    own = []
    for tensor in outputs:
        own.append(tensor.clone() if id(tensor) in seen else tensor)
        seen.add(id(tensor))
    return tuple(own)


def signature(module: torch.nn.Module) -> inspect.Signature:
    """The signature of ``forward``; a compiled one's is read off its schema."""
    if not isinstance(module, torch.jit.ScriptModule):
        return inspect.signature(module.forward)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    arguments = module._c._get_method("forward").schema.arguments[1:]
    return inspect.Signature(
        [
            inspect.Parameter(each.name, kind, default=each.default_value)
            if each.has_default_value()
            else inspect.Parameter(each.name, kind)
            for each in arguments
        ]
    )


def parameter_names(module: torch.nn.Module) -> tuple[str, ...]:
    """The parameters of ``forward`` that have no default; ``x`` where it takes ``*args``."""
    kinds = inspect.Parameter
    names: list[str] = []
    for name, parameter in signature(module).parameters.items():
        if parameter.kind is kinds.VAR_POSITIONAL:
            names.append("x")
        elif parameter.kind is not kinds.VAR_KEYWORD and parameter.default is kinds.empty:
            names.append(name)
    return tuple(names)


def _positional(module: torch.nn.Module, inputs: tuple[str, ...]) -> int:
    """How many of the leading inputs can be passed by position."""
    kinds = inspect.Parameter
    count = 0
    for name, parameter in signature(module).parameters.items():
        if parameter.kind is kinds.VAR_POSITIONAL:
            return len(inputs)
        if count == len(inputs) or parameter.kind is kinds.KEYWORD_ONLY or name != inputs[count]:
            return count
        count += 1
    return count


def _flatten(name: str, value: Any) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield name or "output", value
        return
    for key, item in _items(value):
        yield from _flatten(f"{name}.{key}" if name else str(key), item)


def _items(value: Any) -> Iterator[tuple[object, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield field.name, getattr(value, field.name)
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        yield from zip(value._fields, value, strict=True)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield f"output_{index}" if len(value) > 1 else "output", item
