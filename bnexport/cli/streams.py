"""Keep what models and libraries say apart from what bnexport says."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator

__all__ = ["divert_stdout", "end_of_pipe", "hush"]

STDOUT, STDERR = 1, 2


@contextlib.contextmanager
def hush(*, unless: bool) -> Iterator[None]:
    """Drop the warnings and log records of libraries."""
    if unless:
        yield
        return
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    # The records of torch's trace pass the line above, and pytest prints them after a failed test.
    trace = logging.getLogger("torch.__trace")
    disabled, trace.disabled = trace.disabled, "TORCH_TRACE" not in os.environ
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        trace.disabled = disabled
        logging.disable(before)


@contextlib.contextmanager
def divert_stdout() -> Iterator[None]:
    """Send standard output to standard error: Python's and that of native libraries."""
    if sys.stdout is not None:
        sys.stdout.flush()
    with contextlib.redirect_stdout(sys.stderr):
        try:
            saved = os.dup(STDOUT)
        except OSError:  # the process was started without a standard output
            yield
            return
        try:
            with contextlib.suppress(OSError):  # without a standard error, it stays where it is
                os.dup2(STDERR, STDOUT)
            yield
        finally:
            os.dup2(saved, STDOUT)
            os.close(saved)


def end_of_pipe() -> None:
    """After a broken pipe, let the interpreter's last flush of stdout go nowhere."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, STDOUT)
        os.close(nowhere)
