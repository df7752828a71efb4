"""The process of a command, which is ours alone: how its threads wait, what it puts off loading, how it ends."""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import importlib.machinery
import os
import sys
import types
from typing import Any, NoReturn

__all__ = ["end", "prepare"]


# Objects that are made before their garbage is looked for: importing torch makes a quarter of a million and keeps them,
# and each look at them takes as long as a forward pass.
_YOUNG = 1_000_000


# onnx_ir imports sympy for sizes that are computed with: a fifth of a second and 30 MB, and few graphs have such.
_LATER = ("sympy", "onnx_ir._symbolic_shapes")


class _Later(types.ModuleType):
    """A module that is imported when it is first looked into; where it is missing, that is said then."""

    @property
    def __spec__(self) -> Any:
        """Where it lies, for who asks whether it is there."""
        home, _, _ = self.__name__.rpartition(".")
        path = sys.modules[home].__path__ if home in sys.modules else None
        return importlib.machinery.PathFinder.find_spec(self.__name__, path)

    @__spec__.setter
    def __spec__(self, spec: object) -> None:
        pass  # of a module that is not there yet

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__path__":  # asked by who looks through all modules
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        real = importlib.import_module(self.__name__)
        self.__dict__.update(real.__dict__)
        return getattr(real, name)


def prepare() -> None:
    """Before any library is loaded.

    Threads that spin while they wait take processor time from others and, on a busy machine, from the one they wait
    for; what the user has set stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if os.uname().machine == "x86_64":  # elsewhere torch multiplies by it, too
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy's: it only has small products
    gc.set_threshold(_YOUNG)
    for name in _LATER:
        sys.modules.setdefault(name, _Later(name))


def end(code: int) -> NoReturn:
    """End with ``code``, at once: taking torch apart takes a third of a second, and every file is closed."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)
