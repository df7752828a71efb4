"""Take a model out of the wrappers that training puts around it."""

from __future__ import annotations

from torch import nn

from bnexport.errors import Refused

__all__ = ["inner", "is_wrapper", "unwrap"]

# By class path: constructing or importing some of these needs a process group or another package.
_HOLDS = {
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
    "torch.nn.parallel.data_parallel.DataParallel": "module",
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod",
    "torch.optim.swa_utils.AveragedModel": "module",
    "apex.parallel.distributed.DistributedDataParallel": "module",
    "lightning.fabric.wrappers._FabricModule": "_forward_module",
    "lightning_fabric.wrappers._FabricModule": "_forward_module",
    "timm.utils.model_ema.ModelEmaV2": "module",
    "timm.utils.model_ema.ModelEmaV3": "module",
}
_SHARDED = "torch.distributed.fsdp.fully_sharded_data_parallel.FullyShardedDataParallel"


def unwrap(module: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """The model inside its wrappers, and the names of those, outermost first.

    DistributedDataParallel, DataParallel, ``torch.compile``'s OptimizedModule, AveragedModel (and
    those of apex, Lightning Fabric and timm) are known by class path: no process group is needed.

    Raises:
        Refused: The parameters are sharded over processes.
    """
    names: list[str] = []
    while (held := inner(module)) is not None:
        names.append(_wrapper_name(module))
        module = held
    return module, tuple(names)


def is_wrapper(module: nn.Module) -> bool:
    """Whether ``unwrap`` would take something off."""
    return inner(module) is not None


def inner(module: nn.Module) -> nn.Module | None:
    """The module directly inside this wrapper; None where it is no wrapper."""
    for path in _class_paths(module):
        if path == _SHARDED:
            raise Refused(
                "a FullyShardedDataParallel model",
                "its parameters are spread over the processes that trained it",
                "Save a full state_dict (FULL_STATE_DICT) and give it with --arch",
            )
        held = getattr(module, _HOLDS[path], None) if path in _HOLDS else None
        if isinstance(held, nn.Module):
            return held
    return None


def _wrapper_name(module: nn.Module) -> str:
    known = next(path for path in _class_paths(module) if path in _HOLDS)
    return known.rpartition(".")[2]


def _class_paths(module: nn.Module) -> list[str]:
    return [f"{each.__module__}.{each.__qualname__}" for each in type(module).__mro__]
