"""The worker's side: take a request, do the step, answer; until the caller is gone."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import resource
import signal
import socket
import sys
import threading
import time
from typing import Any

from bnexport.isolation.raised import told
from bnexport.isolation.wire import Message, receive, send

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """``python -c ... DESCRIPTOR PARENT``."""
    sock = socket.socket(fileno=int(sys.argv[1]))
    _tie_to(int(sys.argv[2]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):  # the caller is gone
        while (request := receive(sock)) is not None:
            _serve(sock, request)


def _serve(sock: socket.socket, request: Message) -> None:
    from bnexport.isolation.steps import STEPS, warm

    head = request.head
    if "warm" in head:
        with contextlib.suppress(Exception):
            warm(head["warm"])
        return

    def say(what: Any) -> None:
        send(sock, Message({"said": what}))

    log = logging.getLogger("bnexport")
    log.handlers = [_Teller(sock)] if head["debug"] else []
    log.setLevel(logging.DEBUG if head["debug"] else logging.CRITICAL)
    try:
        answer = STEPS[head["step"]](head["arguments"], request.blobs, request.files, say)
    except Exception as error:
        answer = Message({"raised": told(error)})
    finally:
        for descriptor in request.files:
            with contextlib.suppress(OSError):
                os.close(descriptor)
    send(sock, answer)


class _Teller(logging.Handler):
    """Hands what is logged to the caller's own logging."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self._sock = sock

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            send(
                self._sock, Message({"logged": [record.name, record.levelno, record.getMessage()]})
            )


def _tie_to(parent: int) -> None:
    """Die when the caller does, however it dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    """Where the kernel has no such signal, and for a caller whose thread ended before it did."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)
