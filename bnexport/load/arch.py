"""Build the architecture that the user names: ``package.module:factory``, called with ``--arch-args``."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import torch

from bnexport.errors import UsageError
from bnexport.load.errors import ArchRefused
from bnexport.load.importing import user_code
from bnexport.load.wrappers import unwrap

__all__ = ["build_arch", "call_factory", "check_arch", "check_not_empty", "find_callable"]


def check_arch(arch: str, option: str = "--arch") -> tuple[str, str]:
    """The module and the factory that an ``--arch``, or another ``option``, names.

    Raises:
        UsageError: It is not of the form ``package.module:factory``.
    """
    home, colon, factory = arch.partition(":")
    parts = [*home.split("."), *factory.split(".")]
    if not colon or not all(part.isidentifier() for part in parts):
        raise UsageError(
            f"{option} {arch}",
            "not of the form package.module:factory",
            "As in --arch mynets.unet:UNet",
        )
    return home, factory


def build_arch(arch: str, args: Mapping[str, object]) -> tuple[torch.nn.Module, tuple[str, ...]]:
    """The module that the factory returns, out of its wrappers, and notes.

    Raises:
        UsageError: ``arch`` is malformed.
        ArchRefused: It cannot be imported, called, or returns something else than a module.
    """
    home, name = check_arch(arch)
    with user_code():
        made = _call(f"--arch {arch}", _factory(f"--arch {arch}", home, name), args)
    if not isinstance(made, torch.nn.Module):
        why = f"it returned a {type(made).__name__}, not a torch.nn.Module"
        raise ArchRefused(f"--arch {arch}", why, "Name a class or function that gives the model")
    module, wrappers = unwrap(made)
    return module, tuple(f"unwrapped {wrapper}" for wrapper in wrappers)


def call_factory(option: str, named: str) -> object:
    """What the factory that ``option`` names returns, whatever it is.

    Raises:
        UsageError: It is not of the form ``package.module:factory``.
        ArchRefused: It cannot be imported or called.
    """
    home, name = check_arch(named, option)
    with user_code():
        return _call(f"{option} {named}", _factory(f"{option} {named}", home, name), {})


def find_callable(option: str, named: str) -> Callable[..., Any]:
    """What ``option`` names, not called.

    Raises:
        UsageError: It is not of the form ``package.module:function``.
        ArchRefused: It cannot be imported.
    """
    home, name = check_arch(named, option)
    with user_code():
        return _factory(f"{option} {named}", home, name)


def check_not_empty(module: torch.nn.Module, what: str) -> None:
    """Refuse a module without parameters, buffers or children: there is nothing to convert."""
    if isinstance(module, torch.jit.ScriptModule):
        return  # a frozen one holds its weights in its code
    held = (*module.parameters(), *module.buffers(), *module.children())
    if not held:
        raise ArchRefused(what, "the model holds no layer", "Give the model that was trained")


def _factory(option: str, home: str, name: str) -> Callable[..., Any]:
    try:
        found: Any = importlib.import_module(home)
    except (Exception, SystemExit) as error:
        # The module is the user's: whatever it raises is the reason why it cannot be had.
        why = f"{home} cannot be imported ({type(error).__name__}: {error})"
        remedy = "Run in the folder that holds it, or install its package"
        raise ArchRefused(option, why, remedy) from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise ArchRefused(option, f"{home} has no {name!r}", _choices(option, found))
        found = getattr(found, part)
    if not callable(found):
        why = f"{name} is a {type(found).__name__} and cannot be called"
        raise ArchRefused(option, why, _choices(option, importlib.import_module(home)))
    return found  # type: ignore[no-any-return]


def _call(option: str, factory: Callable[..., Any], args: Mapping[str, object]) -> Any:
    try:
        return factory(**args)
    except (Exception, SystemExit) as error:
        # The factory is the user's: whatever it raises is the reason why there is no model.
        why = f"the factory raised {type(error).__name__}: {error}"
        remedy = "Give its arguments with --arch-args" if option.startswith("--arch") else "Mend it"
        raise ArchRefused(option, why, remedy) from error


def _choices(option: str, home: Any) -> str:
    """The module classes that stand there, to choose from, where a module is wanted."""
    if not option.startswith("--arch"):
        return "Check the name"
    names = [
        name
        for name, value in vars(home).items()
        if isinstance(value, type) and issubclass(value, torch.nn.Module)
    ]
    return f"It has {', '.join(sorted(names)[:8])}" if names else "Check the name"
