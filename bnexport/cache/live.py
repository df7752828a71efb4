"""A live module as a hash: its weights, every attribute of every layer, and the code of their classes.

What it holds that its content alone does not tell, a hook or an open file say, makes the whole unknown.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bnexport.cache.code import code_of

__all__ = ["module_hash"]

_HOOKS = "_hooks"  # how the names of nn.Module's tables of hooks end, or go on
_SIMPLE = (bool, int, float, complex, str, bytes, type(None))
_OF_TORCH = (torch.dtype, torch.device, torch.memory_format, torch.layout, torch.Size)
_DEEPEST = 20


class _Unknown(Exception):
    """There is something that its content does not tell."""


def module_hash(module: nn.Module) -> str | None:
    """A hash that another process gives for the same module; None where it cannot be told.

    Args:
        module: Left as it is.
    """
    try:
        return _Digest(module).hexdigest()
    except _Unknown:
        return None


class _Digest:
    def __init__(self, module: nn.Module) -> None:
        self._hash = hashlib.sha256()
        self._layers = {id(layer): number for number, layer in enumerate(module.modules())}
        self._files: set[Path] = set()
        for layer in module.modules():
            self._layer(layer)

    def hexdigest(self) -> str:
        """With the code of all classes that were met.

        Raises:
            _Unknown: Some of it is not in a file.
        """
        code = code_of((), self._files)
        if code is None:
            raise _Unknown
        self._hash.update(code.encode())
        return self._hash.hexdigest()

    def _say(self, *words: object) -> None:
        self._hash.update(repr(words).encode())

    def _layer(self, layer: nn.Module) -> None:
        self._class(type(layer))
        for name, value in sorted(vars(layer).items()):
            if _HOOKS in name:
                if value:
                    raise _Unknown
                continue
            self._say("attribute", name)
            self._value(value, 0)

    def _class(self, cls: type) -> None:
        self._say("class", cls.__module__, cls.__qualname__)
        for base in cls.__mro__:
            if base.__module__.partition(".")[0] in ("torch", "builtins", "typing", "enum", "abc"):
                continue
            self._file(getattr(sys.modules.get(base.__module__), "__file__", None))
            for value in vars(base).values():
                if isinstance(value, types.FunctionType) and value.__module__ != "dataclasses":
                    self._file(value.__code__.co_filename)

    def _file(self, name: str | None) -> None:
        """Remember where code stands; what was typed in has no file."""
        if name is None or not Path(name).is_file():
            raise _Unknown
        self._files.add(Path(name))

    def _value(self, value: Any, depth: int) -> None:
        if depth > _DEEPEST:
            raise _Unknown
        if isinstance(value, _SIMPLE) and type(value) in _SIMPLE:
            self._say(value)
        elif isinstance(value, _OF_TORCH):
            self._say(type(value).__name__, value)
        elif isinstance(value, nn.Module):
            if id(value) not in self._layers:
                raise _Unknown
            self._say("layer", self._layers[id(value)])
        elif isinstance(value, torch.Tensor):
            self._tensor(value)
        elif isinstance(value, np.ndarray):
            self._say("array", value.dtype, value.shape, value.tobytes())
        elif isinstance(value, Mapping | list | tuple | set | frozenset):
            self._container(value, depth)
        elif isinstance(value, enum.Enum):
            self._class(type(value))
            self._say(value.name)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, types.FunctionType | types.BuiltinFunctionType):
            self._function(value)
        elif isinstance(value, functools.partial):
            self._value((value.func, value.args, value.keywords), depth + 1)
        else:
            self._object(value, depth)

    def _tensor(self, tensor: torch.Tensor) -> None:
        if type(tensor) not in (torch.Tensor, nn.Parameter) or tensor.layout is not torch.strided:
            raise _Unknown
        self._say("tensor", tensor.dtype, tuple(tensor.shape), tensor.device.type)
        if tensor.is_meta or tensor.is_quantized:
            raise _Unknown
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        if flat.numel():
            self._hash.update(flat.view(torch.uint8).numpy().data)

    def _container(self, value: Any, depth: int) -> None:
        self._say(type(value).__name__, len(value))
        items = list(value.items()) if isinstance(value, Mapping) else list(value)
        if isinstance(value, set | frozenset):
            items = sorted(items, key=repr)
        for item in items:
            self._value(item, depth + 1)

    def _function(self, value: Any) -> None:
        """One that a module holds under its own name: a lambda, or one made by another, may be anything."""
        home, name = value.__module__ or "", value.__name__
        if getattr(sys.modules.get(home), name, None) is not value:
            raise _Unknown
        self._say("function", home, name)
        if isinstance(value, types.FunctionType) and not home.startswith("torch."):
            self._file(value.__code__.co_filename)

    def _object(self, value: Any, depth: int) -> None:
        """Of a class of the user's, by its attributes: a configuration, say."""
        if type(value).__module__ in sys.stdlib_module_names or not hasattr(value, "__dict__"):
            raise _Unknown
        self._class(type(value))
        self._value(vars(value), depth + 1)
