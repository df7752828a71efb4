"""The names that records may mention without the user's leave: torch's layers and a closed list of plain things."""

from __future__ import annotations

import sys
from typing import Any

import torch

from bnexport.load.tensors import DTYPES

__all__ = ["CONSTANTS", "HOOKS", "HOOK_HELPERS", "core_layer", "is_core_layer", "is_known"]

_LAYERS = "torch.nn.modules."
_BUILTIN_TYPES: tuple[type, ...] = (int, float, bool, str, bytes, complex, list, tuple, dict, set)

_FUNCTIONAL = (
    "adaptive_avg_pool2d celu dropout elu gelu glu hardsigmoid hardswish hardtanh interpolate "
    "leaky_relu log_softmax logsigmoid mish normalize pad prelu relu relu6 rrelu selu sigmoid silu "
    "softmax softmin softplus softsign tanh tanhshrink avg_pool1d avg_pool2d avg_pool3d"
)
_MATH = "relu sigmoid tanh flatten cat add mul sub div exp log sqrt abs clamp softmax"


def _functions() -> dict[str, Any]:
    """Pure functions of tensors that models keep as values: activations, pools, resizing."""
    found: dict[str, Any] = {}
    for name in _FUNCTIONAL.split():
        function = getattr(torch.nn.functional, name)
        found[f"torch.nn.functional.{name}"] = function
        # Some are C functions, which pickle names by where they were made.
        found[f"torch._C._nn.{name}"] = function
    found["torch._C._nn.log_sigmoid"] = torch.nn.functional.logsigmoid
    for name in _MATH.split():
        found[f"torch.{name}"] = getattr(torch, name)
    return found


def _enumerations() -> dict[str, Any]:
    kinds = (torch.memory_format, torch.layout)
    return {str(value): value for value in vars(torch).values() if isinstance(value, kinds)}


CONSTANTS: dict[str, Any] = {
    **DTYPES,
    **_functions(),
    **_enumerations(),
    **{f"builtins.{kind.__name__}": kind for kind in _BUILTIN_TYPES},
}

HOOKS = ("torch.nn.utils.weight_norm.WeightNorm", "torch.nn.utils.spectral_norm.SpectralNorm")
HOOK_HELPERS = (
    "torch.nn.utils.spectral_norm.SpectralNormStateDictHook",
    "torch.nn.utils.spectral_norm.SpectralNormLoadStateDictPreHook",
    "torch.nn.modules.module._WrappedHook",
)
_PLAIN = (
    "_codecs.encode",
    "argparse.Namespace",
    "builtins.bytearray",
    "builtins.frozenset",
    "builtins.getattr",
    "builtins.range",
    "builtins.slice",
    "collections.OrderedDict",
    "collections.defaultdict",
    "collections.deque",
    "functools.partial",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy.dtype",
    "numpy.ndarray",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib._local.PosixPath",
    "torch.Size",
    "torch._C._VariableFunctionsClass",
    "torch.device",
    "torch.serialization._get_layout",
    "types.SimpleNamespace",
)
_KNOWN = frozenset((*_PLAIN, *CONSTANTS, *HOOKS, *HOOK_HELPERS))


def is_known(path: str) -> bool:
    """Whether the name is in the closed list of plain things."""
    return path in _KNOWN


def is_core_layer(path: str) -> bool:
    """Whether the name is a module class that torch.nn.modules itself defines."""
    return core_layer(path) is not None


def core_layer(path: str) -> type[torch.nn.Module] | None:
    """The class, looked up among the modules that torch has imported already: the file imports nothing."""
    if not path.startswith(_LAYERS):
        return None
    home, _, name = path.rpartition(".")
    found = vars(sys.modules[home]).get(name) if home in sys.modules else None
    if not isinstance(found, type) or not issubclass(found, torch.nn.Module):
        return None
    return found if found.__module__ == home else None
