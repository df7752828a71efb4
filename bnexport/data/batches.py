"""Batches as a model takes them, however the data spells them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bnexport.errors import BnexportError, Refused, UsageError
from bnexport.inputs.forward import all_parameters, float_dtype, required_parameters

__all__ = ["Batch", "Batches"]


@dataclass(frozen=True)
class Batch:
    """What one call is given.

    Attributes:
        args: By position.
        kwargs: By name.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def __len__(self) -> int:
        """How many samples: the first axis of the first tensor."""
        given = chain(self.args, self.kwargs.values())
        return next((len(each) for each in given if isinstance(each, Tensor) and each.dim()), 0)

    def run(self, module: nn.Module) -> Any:
        """Call ``module`` with it."""
        return module(*self.args, **self.kwargs)


class Batches:
    """An iterable of `Batch`; iterating it anew starts at the beginning, where the source can.

    Attributes:
        name: Of the source, for messages.
        samples: How many there are, where that is known before they are read.
        again: Whether it can be iterated more than once.
        notes: What was assumed.
        batch_size: Samples a batch, where the source does not say itself.
        counted: Batches and samples of the last reading.
    """

    def __init__(
        self,
        name: str,
        start: Callable[[], Iterable[Any]],
        module: nn.Module,
        *,
        samples: int | None = None,
        limit: int | None = None,
        batch_size: int | None = None,
        again: bool = True,
        notes: Sequence[str] = (),
    ) -> None:
        self.name, self.again, self.notes = name, again, tuple(notes)
        self.batch_size, self.counted = batch_size, (0, 0)
        counts = [count for count in (samples, limit) if count is not None]
        self.samples = None if samples is None else min(counts)
        self._start, self._limit, self._begun = start, limit, False
        self._inputs = required_parameters(module)
        self._known = all_parameters(module)
        self._dtype = float_dtype(module)
        # A graph module or a functional one may hold nothing.
        held = next(chain(module.parameters(), module.buffers()), None)
        self._device = torch.device("cpu") if held is None else held.device

    def __iter__(self) -> Iterator[Batch]:
        """Read from the beginning.

        Raises:
            UsageError: The source can be read once only, or yields something that is no batch.
            Refused: Reading it fails.
        """
        if self._begun and not self.again:
            why = "it was read to its end, and cannot be read again"
            raise UsageError(f"data {self.name}", why, "Give a file, a folder or a factory")
        self._begun = True
        return self._read()

    def _read(self) -> Iterator[Batch]:
        left, self.counted = self._limit, (0, 0)
        for given in self._given():
            batch = self._fitted(given)
            if left is not None and len(batch) > left:
                batch = _cut(batch, left)
            if len(batch):
                self.counted = self.counted[0] + 1, self.counted[1] + len(batch)
                yield batch
            if left is not None and (left := left - len(batch)) <= 0:
                return

    def _given(self) -> Iterator[Any]:
        """What the source yields; whatever a user's own code raises is the reason why there is no more."""
        try:
            yield from self._start()
        except BnexportError:
            raise
        except Exception as error:
            why = f"reading it raised {type(error).__name__}: {error}"
            raise Refused(f"data {self.name}", why, "Mend it, or see where with --debug") from error

    def _fitted(self, given: Any) -> Batch:
        if isinstance(given, Mapping):
            named = {
                name: self._tensor(value) for name, value in given.items() if name in self._known
            }
            if named:
                return Batch((), named)
            why = f"a batch holds {', '.join(map(str, given)) or 'nothing'}"
            remedy = f"Name its entries after what forward takes: {', '.join(self._known)}"
            raise UsageError(f"data {self.name}", why, remedy)
        if isinstance(given, list | tuple):
            # What a DataLoader yields beside the inputs is the target.
            values = tuple(map(self._tensor, given[: max(len(self._inputs), 1)]))
        else:
            values = (self._tensor(given),)
        return Batch(values, {})

    def _tensor(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            value = torch.as_tensor(value)
        if not isinstance(value, Tensor):
            why = f"it yields a {type(value).__name__} where a batch of arrays is wanted"
            remedy = "Yield tensors or NumPy arrays, batch first, a tuple or a dict of them"
            raise UsageError(f"data {self.name}", why, remedy)
        if value.is_floating_point():
            value = value.to(self._dtype)
        return value.to(self._device)


def _cut(batch: Batch, count: int) -> Batch:
    size = len(batch)

    def cut(value: Any) -> Any:
        whole = isinstance(value, Tensor) and value.dim() and len(value) == size
        return value[:count] if whole else value

    return Batch(tuple(map(cut, batch.args)), {k: cut(v) for k, v in batch.kwargs.items()})
