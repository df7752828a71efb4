"""Import the user's own code: current directory on the path, output kept off stdout, RNG put back."""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import sys
import warnings
from collections.abc import Iterator

import numpy as np
import torch

__all__ = ["locate", "user_code"]


@contextlib.contextmanager
def user_code() -> Iterator[None]:
    """While it lasts, modules of the current directory can be imported.

    Afterwards ``sys.path`` and the random states are as before. What the code prints goes to stderr: stdout may be
    one JSON document.
    """
    here, numpy_state, python_state = os.getcwd(), np.random.get_state(), random.getstate()
    sys.path.insert(0, here)
    try:
        with (
            torch.random.fork_rng(devices=[]),
            contextlib.redirect_stdout(sys.stderr),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(here)
        np.random.set_state(numpy_state)
        random.setstate(python_state)


def locate(path: str) -> object:
    """The object that ``pkg.mod.Outer.Inner`` names.

    Raises:
        ImportError: No part of the path is a module that can be imported.
        AttributeError: The module holds no such name.
    """
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        home = ".".join(parts[:cut])
        try:
            # Imported by its full name: a package may hide a submodule behind a function of the same name.
            found: object = importlib.import_module(home)
        except ModuleNotFoundError as error:
            if cut == 1 or error.name is None or not f"{home}.".startswith(f"{error.name}."):
                raise
            continue
        for part in parts[cut:]:
            found = getattr(found, part)
        return found
    return importlib.import_module(path)
