"""Eval mode with a way back, and a forward pass that leaves the process as it was."""

from __future__ import annotations

import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn

__all__ = ["eval_mode", "random_state", "undisturbed"]

M = TypeVar("M", bound=nn.Module)


@contextmanager
def eval_mode(module: M) -> Iterator[M]:
    """Put every submodule in eval mode; on leaving, by an exception too, restore each one's flag.

    The flags are set one by one, not by ``module.eval()``: a ``train`` or ``eval`` that the model
    overrides can skip submodules, merge weights or raise, and none of that could be taken back.
    """
    flags = [(each, each.training) for each in module.modules()]
    try:
        for each, training in flags:
            if training:
                each.training = False
        yield module
    finally:
        for each, training in flags:
            if each.training is not training:
                each.training = training


def _cuda_is_used() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


@contextmanager
def undisturbed(seed: int | None = None) -> Iterator[None]:
    """Run without gradients; give back the random states, grad mode and default dtype.

    Python's and NumPy's generators are kept too, for models that draw from them; library warnings
    stay inside.

    Args:
        seed: Where every generator starts inside; None: where it stood.
    """
    dtype, python_state = torch.get_default_dtype(), random.getstate()
    torch_state = torch.get_rng_state()
    # Asking for the CUDA states would create a CUDA context that nobody needs yet.
    cuda_states = torch.cuda.get_rng_state_all() if _cuda_is_used() else []
    numpy = sys.modules.get("numpy")
    numpy_state = numpy.random.get_state() if numpy else None
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if seed is not None:
                torch.manual_seed(seed)
                random.seed(seed)
                if numpy:
                    numpy.random.seed(seed)
            yield
    finally:
        torch.set_default_dtype(dtype)
        random.setstate(python_state)
        torch.set_rng_state(torch_state)
        if cuda_states:
            torch.cuda.set_rng_state_all(cuda_states)
        if numpy:
            numpy.random.set_state(numpy_state)


def random_state() -> tuple[bytes, Any, Any]:
    """Of torch, NumPy and Python: a run that changes one draws from it."""
    numpy = sys.modules.get("numpy")
    keys = numpy.random.get_state() if numpy else ()
    state = (keys[1].tobytes(), keys[2]) if isinstance(keys, tuple) and keys else ()
    return torch.get_rng_state().numpy().tobytes(), state, random.getstate()
