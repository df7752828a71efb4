"""How much a file may ask for before it is refused: checked before the memory is taken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields

from bnexport.errors import UsageError

__all__ = ["Limits", "in_force"]


@dataclass(frozen=True)
class Limits:
    """Bounds far above what real models need, far below what harms a machine.

    Other bounds hold for the length of a ``with`` block::

        with bnexport.Limits(tensor_bytes=40 << 30).applied():
            bnexport.convert("huge.pt")

    Attributes:
        pickle_bytes: The size of one pickle, which holds structure and no weights.
        json_bytes: The size of one JSON record.
        records: The number of records in an archive.
        classes: The number of different classes that a pickle may name.
        tensor_bytes: The logical size of one tensor (a stride of 0 makes it larger than its storage).
        total_bytes: The size of all storages together.
        depth: How deep objects may nest.
        objects: The number of objects.
        nodes: The number of nodes in an ONNX graph, local functions inlined.
        ratio: How many times as large as it is stored a record of a TorchScript archive may become.

    Raises:
        UsageError: A bound is not above zero.
    """

    pickle_bytes: int = 64 << 20
    json_bytes: int = 256 << 20
    records: int = 200_000
    classes: int = 5_000
    tensor_bytes: int = 16 << 30
    total_bytes: int = 64 << 30
    depth: int = 200
    objects: int = 5_000_000
    nodes: int = 500_000
    ratio: int = 200

    def __post_init__(self) -> None:
        for each in fields(self):
            if getattr(self, each.name) < 1:
                raise UsageError(f"the limit {each.name}", "it must be above 0")

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let these hold instead of the usual ones."""
        token = _IN_FORCE.set(self)
        try:
            yield
        finally:
            _IN_FORCE.reset(token)


_IN_FORCE: ContextVar[Limits | None] = ContextVar("bnexport_limits", default=None)


def in_force() -> Limits:
    """The limits that hold here."""
    return _IN_FORCE.get() or Limits()
