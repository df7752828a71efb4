"""A model that serves: eval mode and no gradients on every call, whatever else the process does to it."""

from __future__ import annotations

import logging
import threading
from typing import Any

import torch
from torch import nn

from bnexport.errors import UsageError

__all__ = ["EvalOnly"]
logger = logging.getLogger(__name__)


class EvalOnly(nn.Module):
    """Calls ``module`` in eval mode without gradients; threads may call it at once.

    Somebody who puts a layer inside back into train mode, by another reference to it, is overruled at the next call,
    and a warning is logged. The size of a batch is logged the first time that it is seen: the bug that shows at batch 1
    alone starts with a batch of 1.

    Args:
        module: Held, not copied, and put into eval mode.

    Attributes:
        module: The module.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self._lock = threading.Lock()
        self._sizes: set[int] = set()
        super().train(False)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Whatever ``module`` returns, without a history."""
        self._settle()
        self._note((*args, *kwargs.values()))
        with torch.no_grad():
            return self.module(*args, **kwargs)

    def train(self, mode: bool = True) -> EvalOnly:
        """Refuse.

        Raises:
            UsageError: ``mode`` is True.
        """
        if mode:
            raise UsageError("EvalOnly.train()", "this module serves", "Train the module inside it")
        super().train(False)
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._lock = threading.Lock()

    def _settle(self) -> None:
        """Flags are written only where one is wrong: threads that only read need no lock."""
        live = [name for name, layer in self.module.named_modules() if layer.training]
        if live:
            with self._lock:
                for layer in self.module.modules():
                    layer.training = False
            named = ", ".join(name or "the module itself" for name in live[:3])
            logger.warning("%d layers were in train mode (%s): put back", len(live), named)

    def _note(self, values: tuple[Any, ...]) -> None:
        size = next((v.shape[0] for v in values if isinstance(v, torch.Tensor) and v.ndim), None)
        if size is None or size in self._sizes:
            return
        with self._lock:
            known = size in self._sizes
            self._sizes.add(size)
        if not known:
            logger.info("first batch of %d", size)
