"""A live module as a hash: its weights, every attribute of every layer, and the code of their classes.

Whatever its content alone does not tell makes the whole unknown: a hook, an open file, a class or function that was
made by another, a method that was put in the place of the one in the file. What a module's own file keeps in variables
is told by the file's source.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import hashlib
import sys
import types
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bnexport.cache.code import code_of

__all__ = ["module_hash"]

_HOOKS = "_hooks"  # how the names of nn.Module's tables of hooks end, or go on
_SIMPLE = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))
_OF_TORCH = (torch.dtype, torch.device, torch.memory_format, torch.layout, torch.Size)
_CONTAINERS = (dict, list, tuple, set, frozenset, collections.OrderedDict)
_DEEPEST = 20
_OTHERS = frozenset({"torch", "builtins", "typing", "enum", "abc", "collections", "numpy"})
# What Python and dataclasses keep of a class, which its source tells.
_KEPT = frozenset(
    {
        *("__module__", "__dict__", "__weakref__", "__doc__", "__annotations__", "__qualname__"),
        *("__abstractmethods__", "_abc_impl", "__parameters__", "__orig_bases__", "__slots__"),
        *("__firstlineno__", "__static_attributes__", "__dataclass_fields__", "__match_args__"),
        *("__dataclass_params__", "__hash__", "__annotate_func__", "__annotations_cache__"),
    }
)


_MADE = ("<string>", dataclasses.__file__)  # where dataclasses say that their methods stand


class _Unknown(Exception):
    """There is something that its content does not tell."""


def module_hash(module: nn.Module) -> str | None:
    """A hash that another process gives for the same module; None where it cannot be told.

    Args:
        module: Left as it is.
    """
    try:
        return _Digest(module).hexdigest()
    except Exception:
        return (
            None  # a tensor that is not to be read, an attribute that fails: then it is not known
        )


class _Digest:
    def __init__(self, module: nn.Module) -> None:
        self._hash = hashlib.sha256()
        self._layers = {id(layer): number for number, layer in enumerate(module.modules())}
        self._files: set[Path] = set()
        self._classes: set[type] = set()
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
            top = base.__module__.partition(".")[0]
            if base in self._classes or top in _OTHERS or top in sys.stdlib_module_names:
                continue
            self._classes.add(base)
            if "<locals>" in base.__qualname__ or vars(base).get("__slots__"):
                raise _Unknown
            self._file(getattr(sys.modules.get(base.__module__), "__file__", None))
            for key, value in sorted(vars(base).items()):
                if key not in _KEPT:
                    self._say("of the class", key)
                    self._member(base, key, value)

    def _member(self, cls: type, key: str, value: Any) -> None:
        if isinstance(value, staticmethod | classmethod):
            self._member(cls, key, value.__func__)
        elif isinstance(value, property):
            for function in (value.fget, value.fset, value.fdel):
                if function is not None:
                    self._member(cls, key, function)
        elif isinstance(value, functools.cached_property):
            self._member(cls, key, value.func)
        elif isinstance(value, types.FunctionType):
            self._method(cls, key, value)
        else:
            self._value(value, 0)

    def _method(self, cls: type, key: str, function: types.FunctionType) -> None:
        """One that stands in the class's source, decorated by torch's own decorators at most."""
        inner = function.__dict__.get("__wrapped__")
        if inner is not None and _is_torchs(function):
            self._method(cls, key, inner)  # @torch.no_grad()
            return
        if dataclasses.is_dataclass(cls) and function.__code__.co_filename in _MADE:
            return
        free = set(function.__code__.co_freevars) - {"__class__"}
        own = (function.__module__, function.__qualname__) == (
            cls.__module__,
            f"{cls.__qualname__}.{function.__name__}",
        )
        if inner is not None or free or not own:
            raise _Unknown
        self._file(function.__code__.co_filename)
        self._value((function.__defaults__, function.__kwdefaults__), 0)

    def _file(self, name: str | None) -> None:
        """Remember where code stands; what was typed in has no file."""
        if name is None or not Path(name).is_file():
            raise _Unknown
        self._files.add(Path(name))

    def _value(self, value: Any, depth: int) -> None:
        if depth > _DEEPEST:
            raise _Unknown
        if type(value) in _SIMPLE:
            self._say(value)
        elif isinstance(value, _OF_TORCH):
            self._say(type(value).__name__, value)
        elif isinstance(value, nn.Module):
            if id(value) not in self._layers:
                raise _Unknown
            self._say("layer", self._layers[id(value)])
        elif isinstance(value, torch.Tensor):
            self._tensor(value)
        elif type(value) is np.ndarray and value.dtype.kind in "biufc":
            self._say("array", value.dtype, value.shape, value.tobytes())
        elif isinstance(value, enum.Enum):
            self._class(type(value))
            self._say(value.name)
        elif type(value) in _CONTAINERS or _is_named_tuple(value):
            self._container(value, depth)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, types.FunctionType | types.BuiltinFunctionType):
            self._function(value)
        elif isinstance(value, weakref.ref):  # a recurrent layer's, to its weights
            self._value(value(), depth + 1)
        elif type(value) is functools.partial:
            self._value((value.func, value.args, value.keywords), depth + 1)
        else:
            self._object(value, depth)

    def _tensor(self, tensor: torch.Tensor) -> None:
        if type(tensor) not in (torch.Tensor, nn.Parameter) or tensor.layout is not torch.strided:
            raise _Unknown
        if tensor.is_meta or tensor.is_quantized or tensor.is_conj() or tensor.is_neg():
            raise _Unknown
        self._say("tensor", tensor.dtype, tuple(tensor.shape), tensor.device.type)
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        if flat.numel():
            self._hash.update(flat.view(torch.uint8).numpy().data)

    def _container(self, value: Any, depth: int) -> None:
        self._class(type(value))
        self._say(len(value))
        items = list(value.items()) if isinstance(value, dict) else list(value)
        if isinstance(value, set | frozenset):
            if any(type(item) not in _SIMPLE for item in items):
                raise _Unknown
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
        for base in type(value).__mro__[:-1]:
            top = base.__module__.partition(".")[0]
            if top not in ("abc", "typing") and (top in _OTHERS or top in sys.stdlib_module_names):
                raise _Unknown  # which may hold more than its attributes
        self._class(type(value))
        self._value(vars(value), depth + 1)


def _is_torchs(function: types.FunctionType) -> bool:
    return Path(function.__code__.co_filename).is_relative_to(Path(torch.__file__).parent)


def _is_named_tuple(value: object) -> bool:
    return isinstance(value, tuple) and hasattr(type(value), "_fields")
