"""What a process holds, and what the machine can spare."""

from __future__ import annotations

from pathlib import Path

__all__ = ["allowance", "resident"]

_KIB = 1024


def resident(process: int) -> int:
    """The bytes of memory that a process holds; 0 where that cannot be told."""
    return _field(Path(f"/proc/{process}/status"), "VmRSS")


def allowance(process: int) -> int | None:
    """Nine tenths of what is available now, what the process holds already included; None where it cannot be told."""
    available = _field(Path("/proc/meminfo"), "MemAvailable")
    return int((available + resident(process)) * 0.9) if available else None


def _field(file: Path, name: str) -> int:
    try:
        lines = file.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    for line in lines:
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * _KIB
    return 0
