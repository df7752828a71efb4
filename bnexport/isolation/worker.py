"""The caller's side: one worker process, watched while it works, killed when it must be."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from bnexport.errors import MissingRuntime, NativeFailure
from bnexport.isolation.evidence import keep
from bnexport.isolation.limits import allowance, resident
from bnexport.isolation.raised import raise_again
from bnexport.isolation.settings import Isolation
from bnexport.isolation.wire import Buffer, Message, receive, send

__all__ = ["Step", "Worker"]

_TICK = 0.05
_TAIL = 4000
# The folder that holds the package, put last: the current folder and what lies in it come in nowhere.
_ROOT = str(Path(__file__).resolve().parents[2])
_START = (
    f"import sys; sys.path.append({_ROOT!r}); from bnexport.isolation.serve import main; main()"
)


def _is_debug() -> bool:
    """Whether what the step logs is wanted."""
    return logging.getLogger("bnexport").isEnabledFor(logging.DEBUG)


@dataclass(frozen=True)
class Step:
    """One piece of native work.

    Attributes:
        name: As `bnexport.isolation.steps` has it.
        title: What to call it to a user: ``onnxsim``.
        remedy: What a user can do when it crashes.
        evidence: What it was given, by file name; a path is copied.
    """

    name: str
    title: str
    remedy: str = ""
    evidence: Mapping[str, Buffer | Path] | None = None


class Worker:
    """A process that does native work; it dies with its caller.

    Args:
        settings: Its limits.

    Raises:
        MissingRuntime: No process can be started here.
    """

    def __init__(self, settings: Isolation) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._said: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        self._sock, theirs = socket.socketpair()
        # A worker that neither reads nor goes on speaking does not hold the caller up.
        self._sock.settimeout(settings.timeout)
        with theirs:
            self._process = self._started(theirs)

    def _started(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        # -P and the path appended: a file numpy.py in the current folder is not what the worker imports.
        command = [sys.executable, "-P", "-c", _START, str(theirs.fileno()), str(os.getpid())]
        try:
            if not sys.executable:  # Python is embedded in another program
                raise FileNotFoundError(errno.ENOENT, "where Python lies is not known")
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C is the caller's to handle
            )
        except OSError as error:
            self._sock.close()
            self._said.close()
            why = f"its process cannot be started ({error.strerror or error})"
            raise MissingRuntime("the worker", why, "Use --in-process") from error

    @property
    def alive(self) -> bool:
        """Whether it can be given work."""
        return self._process.poll() is None and self._sock.fileno() >= 0

    def warm(self, step: str) -> None:
        """Let it import what the step needs while the caller does something else."""
        with contextlib.suppress(OSError):
            send(self._sock, Message({"warm": step}))

    def call(
        self,
        step: Step,
        arguments: Mapping[str, Any],
        blobs: Sequence[Buffer] = (),
        files: Sequence[int] = (),
        observe: Callable[[Any], None] | None = None,
    ) -> Message:
        """Do a step.

        Args:
            step: Which.
            arguments: JSON.
            blobs: Bytes.
            files: Descriptors.
            observe: Told what the step says on its way.

        Raises:
            NativeFailure: It crashed, hung, or took too much memory; the process is gone.
            Exception: What the step raised.
        """
        with self._lock:
            try:
                head = {"step": step.name, "arguments": dict(arguments), "debug": _is_debug()}
                request = Message(head, blobs, files)
                with contextlib.suppress(OSError):  # it is gone: the wait below says how
                    send(self._sock, request)
                return self._answer(step, observe)
            except BaseException:
                if not self._idle:
                    self.close()
                raise

    def _answer(self, step: Step, observe: Callable[[Any], None] | None) -> Message:
        self._idle = False
        limit = self._settings.memory or allowance(self._process.pid)
        while True:
            self._wait(step, limit)
            try:
                message = receive(self._sock)
            except (ValueError, KeyError, TypeError, OSError) as error:
                raise self._failed(step, "answered nonsense", str(error)) from None
            if message is None:
                raise self._crashed(step)
            if "logged" in message.head:
                name, level, text = message.head["logged"]
                logging.getLogger(str(name)).log(int(level), "%s", text)
                continue
            if "said" in message.head:
                if observe is not None:
                    observe(message.head["said"])
                continue
            self._idle = True
            if "raised" in message.head:
                raise_again(message.head["raised"])
            return message

    def _wait(self, step: Step, limit: int | None) -> None:
        """Until it says something; the limits are looked at while nothing comes."""
        end = time.monotonic() + self._settings.timeout
        while not select.select([self._sock], [], [], _TICK)[0]:
            if limit is not None and resident(self._process.pid) > limit:
                what = f"took more than {limit / 2**30:.1f} GiB of memory"
                raise self._failed(step, what, "it was stopped", "--memory gives it more")
            if time.monotonic() > end:
                what = f"gave no sign of life for {self._settings.timeout:g} s"
                raise self._failed(step, what, "it was stopped", "--timeout gives it longer")

    def _crashed(self, step: Step) -> NativeFailure:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        code = self._process.poll()
        if code is None:
            return self._failed(step, "closed its door", "")
        if code == -signal.SIGKILL:
            why = "by somebody, or by the kernel for want of memory"
            return self._failed(step, "was killed (SIGKILL)", why, "--memory stops it earlier")
        how = f"ended with {code}"
        if code < 0:
            with contextlib.suppress(ValueError):
                how = f"crashed ({signal.Signals(-code).name})"
        return self._failed(step, how, self._last_words())

    def _failed(self, step: Step, how: str, why: str, more: str = "") -> NativeFailure:
        self.close()
        about = {"step": step.title, "how": how, "why": why, "said": self._last_words(_TAIL)}
        folder = keep(step.name, about, step.evidence or {})
        kept = f"its input is kept for a report in {folder}" if folder else ""
        remedies = [text for text in (more, step.remedy, kept) if text]
        remedy = "; ".join(remedies)
        return NativeFailure(f"{step.title} {how}", why, remedy[:1].upper() + remedy[1:])

    def _last_words(self, most: int = 200) -> str:
        """The last line that it printed, or as many characters as are asked for."""
        try:
            size = self._said.seek(0, os.SEEK_END)
            self._said.seek(max(0, size - _TAIL))
            text = self._said.read().decode(errors="replace").strip()
        except ValueError:  # closed
            return self._kept_words
        self._kept_words = text
        return text[-most:] if most > 200 else (text.splitlines() or [""])[-1][:most]

    _kept_words = ""
    _idle = True

    def close(self) -> None:
        """Stop it; whatever it does is lost."""
        if self._process.poll() is None:  # once it is waited for, its number may be another's
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._sock.close()
        self._kept_words = self._kept_words or self._last_words()
        self._said.close()
