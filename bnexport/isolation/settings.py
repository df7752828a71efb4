"""What native work may take."""

from __future__ import annotations

from dataclasses import dataclass

from bnexport.errors import UsageError

__all__ = ["Isolation"]


@dataclass(frozen=True)
class Isolation:
    """How steps of native code are run.

    Attributes:
        in_process: Whether they run in the caller's own process, without limits: for callers who trust their models
            and want the last tenth of a second.
        timeout: Seconds that one step may go on without a sign of life.
        memory: Bytes that the worker may hold; None: nine tenths of what is available when a step begins.

    Raises:
        UsageError: A limit is not above zero.
    """

    in_process: bool = False
    timeout: float = 600.0
    memory: int | None = None

    def __post_init__(self) -> None:
        if not self.timeout > 0:
            raise UsageError(f"a timeout of {self.timeout} s", "it must be above 0")
        if self.memory is not None and self.memory <= 0:
            raise UsageError(f"a memory limit of {self.memory} bytes", "it must be above 0")
