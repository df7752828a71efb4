"""Read a .safetensors file; the library checks its header and bounds."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

from bnexport.load.checkpoint import Weights
from bnexport.load.errors import Corrupt, TooLarge
from bnexport.load.limits import Limits

__all__ = ["read_safetensors"]


def read_safetensors(path: Path, limits: Limits) -> Weights:
    """The tensors of the file, by name.

    Raises:
        Corrupt: The header or the sizes in it are wrong.
        TooLarge: It holds more than the limit.
    """
    if path.stat().st_size > limits.total_bytes:
        raise TooLarge(str(path), "its tensors are too large together", "total_bytes")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return Weights({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (SafetensorError, ValueError, RuntimeError, OSError) as error:
        why = f"a truncated or damaged .safetensors file ({error})"
        raise Corrupt(str(path), why, "Save or download the file again") from None
