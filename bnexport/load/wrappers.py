"""Wrappers that training puts around a module: known by name, as records and as live modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnexport.load.records import Call, pairs

if TYPE_CHECKING:
    import torch

__all__ = ["peel", "unwrap", "wrapped"]

_INNER = {
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
    "torch.nn.parallel.data_parallel.DataParallel": "module",
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod",
    "torch.optim.swa_utils.AveragedModel": "module",
    "lightning.fabric.wrappers._FabricModule": "_forward_module",
    "lightning_fabric.wrappers._FabricModule": "_forward_module",
    "apex.parallel.distributed.DistributedDataParallel": "module",
}


def wrapped(record: object) -> bool:
    """Whether the record is a wrapper."""
    return isinstance(record, Call) and record.path in _INNER


def peel(record: Call) -> object | None:
    """The record inside a wrapper; None where there is none."""
    # An OptimizedModule reduces to (module, context); the others to their state.
    if record.path.endswith(".OptimizedModule") and record.args:
        inner: object = record.args[0]
        return inner
    state = dict(_text_keys(record.state))
    return dict(_text_keys(state.get("_modules"))).get(_INNER[record.path])


def unwrap(module: torch.nn.Module) -> tuple[torch.nn.Module, tuple[str, ...]]:
    """The live module inside its wrappers, and the wrappers' class names, outermost first."""
    names: list[str] = []
    while (
        attribute := _INNER.get(f"{type(module).__module__}.{type(module).__qualname__}")
    ) is not None:
        names.append(type(module).__name__)
        module = module.get_submodule(attribute)
    return module, tuple(names)


def _text_keys(record: object) -> list[tuple[str, object]]:
    return [(key, value) for key, value in pairs(record) or () if isinstance(key, str)]
