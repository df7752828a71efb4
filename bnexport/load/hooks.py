"""Hooks in a saved module: torch's own weight and spectral normalisation are rebuilt, all others refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from bnexport.load.names import HOOK_HELPERS, HOOKS
from bnexport.load.records import Call, pairs

if TYPE_CHECKING:
    from bnexport.load.values import Rebuild

__all__ = ["HOOK_TABLES", "restore_hooks"]

HOOK_TABLES = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks_always_called",
)
_FIELDS: dict[str, tuple[type[Any], dict[str, type[Any]]]] = {
    HOOKS[0]: (WeightNorm, {"name": str, "dim": int}),
    HOOKS[1]: (
        SpectralNorm,
        {"name": str, "dim": int, "n_power_iterations": int, "eps": float},
    ),
}
_REMEDY = "Remove the hooks before saving, or save model.state_dict() and give --arch"


def restore_hooks(
    rebuild: Rebuild, module: torch.nn.Module, tables: dict[str, Any], where: str
) -> None:
    """Put back the normalisation hooks of a module.

    Raises:
        Unsafe: The module carries any other hook.
    """
    for table, record in tables.items():
        entries = [] if record is None else pairs(record)
        if entries is None:
            rebuild.refuse(where, f"malformed {table}")
        for key, hook in entries:
            path = hook.path if isinstance(hook, Call) else type(hook).__name__
            if table == "_forward_pre_hooks" and path in _FIELDS and type(key) is int:
                module._forward_pre_hooks[key] = _hook(rebuild, hook, where)
            elif path not in HOOK_HELPERS or "state_dict" not in table:
                # The helpers only write and read state dicts: a converter needs neither.
                rebuild.refuse(where, f"carries a hook in {table} ({path})", _REMEDY)


def _hook(rebuild: Rebuild, record: Call, where: str) -> Any:
    cls, fields = _FIELDS[record.path]
    state = dict(pairs(record.state) or ())
    if record.args or set(state) != set(fields):
        rebuild.refuse(where, f"malformed {record.path}", _REMEDY)
    made = object.__new__(cls)
    for name, kind in fields.items():
        if type(state[name]) is not kind:
            rebuild.refuse(where, f"malformed {record.path}", _REMEDY)
        vars(made)[name] = state[name]
    if not made.name.isidentifier() or not 0 < state.get("n_power_iterations", 1) < 1000:
        rebuild.refuse(where, f"malformed {record.path}", _REMEDY)
    return made
