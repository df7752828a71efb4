"""The real bindings of each release: downloaded once, opened against empty libraries, and read."""

from __future__ import annotations

import ctypes
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["RELEASES", "Release", "SurfaceError", "read_surface"]

Surface = dict[str, dict[str, str]]

_DUMP = Path(__file__).with_name("dump.py")
_NEEDED = re.compile(r"\(NEEDED\).*\[(lib(?:nv|tensorrt)\S+)\]")
_UNDEFINED = re.compile(r"GLOBAL\s+DEFAULT\s+UND\s+([A-Za-z_]\w*)$", re.MULTILINE)


class SurfaceError(Exception):
    """The surface of a release cannot be had: the reason, in one line."""


@dataclass(frozen=True)
class Release:
    """One release of the bindings.

    Attributes:
        name: What they install as: ``tensorrt`` or ``tensorrt_rtx``.
        version: Of the wheel.
    """

    name: str
    version: str

    @property
    def wheel(self) -> str:
        """``tensorrt-rtx-cu12-bindings==1.7.1.116``."""
        return f"{self.name.replace('_', '-')}-cu12-bindings=={self.version}"

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


# The oldest that the extras admit, those where names came or went, and the newest.
RELEASES = (
    Release("tensorrt", "10.3.0"),
    Release("tensorrt", "10.8.0.43"),
    Release("tensorrt", "10.16.0.72"),
    Release("tensorrt", "11.0.0.114"),
    Release("tensorrt", "11.4.0.106"),
    Release("tensorrt_rtx", "1.4.0.76"),
    Release("tensorrt_rtx", "1.5.0.114"),
    Release("tensorrt_rtx", "1.6.1.120"),
    Release("tensorrt_rtx", "1.7.1.116"),
)


def read_surface(release: Release, cache: Path) -> Surface:
    """Owner -> member -> what it is or returns, as `dump` prints it.

    Args:
        release: Which.
        cache: Where the unpacked wheels stay; what is there is not downloaded again.

    Raises:
        SurfaceError: There is no wheel for this Python, or it cannot be imported.
    """
    folder = cache / f"{release.wheel}-{sys.implementation.cache_tag}"
    if not folder.exists():
        _fetch(release, folder)
    # Isolated, for the bindings would load the real libraries of an installed TensorRT.
    command = [sys.executable, "-I", "-S", str(_DUMP), str(folder), f"{release.name}_bindings"]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder / "stubs")}
    environment.pop("LD_BIND_NOW", None)
    surface: Surface = json.loads(_output(command, environment))
    return surface


def _fetch(release: Release, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        work = Path(name)
        pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check"]
        try:
            _output([*pip, "--no-deps", "--only-binary=:all:", "-d", name, release.wheel])
        except SurfaceError as error:
            remedy = "Python 3.11 and 3.12 on Linux have wheels of every release"
            raise SurfaceError(f"pip cannot download it ({error}); {remedy}") from error
        with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
            wheel.extractall(work / "whole")
        extension = f"whole/{release.name}_bindings/{release.name}.so"
        _make_stubs(work / extension, work / "whole" / "stubs")
        (work / "whole").rename(folder)  # at once: what an interrupt leaves is not taken for whole


def _make_stubs(extension: Path, folder: Path) -> None:
    """Libraries of the names that the extension wants, with the functions that it wants of them."""
    elf = _output(
        ["readelf", "-W", "-d", "--dyn-syms", str(extension)], {**os.environ, "LC_ALL": "C"}
    )
    process = ctypes.CDLL(None)  # Python's own symbols, and the C library's
    lacking = [name for name in _UNDEFINED.findall(elf) if not hasattr(process, name)]
    folder.mkdir()
    source = folder / "stub.c"
    source.write_text("".join(f"int {name}(void) {{ return 0; }}\n" for name in lacking))
    for soname in _NEEDED.findall(elf):
        link = [
            "-shared",
            "-fPIC",
            "-nostdlib",
            f"-Wl,-soname,{soname}",
            "-o",
            str(folder / soname),
        ]
        _output(["gcc", *link, str(source)])


def _output(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise SurfaceError(f"{command[0]} is not installed") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"{command[0]} ended with {done.returncode}"]
        raise SurfaceError(said[-1])
    return done.stdout
