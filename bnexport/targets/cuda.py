"""The GPUs that are here, by the driver's C interface: without torch, and before TensorRT is touched.

Some releases of TensorRT crash on first use where there is no GPU, so the driver is asked first.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

__all__ = ["Gpu", "find_gpu"]

_DRIVER = "libcuda.so.1"
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of cuda.h


@dataclass(frozen=True)
class Gpu:
    """A CUDA device.

    Attributes:
        name: As the driver gives it.
        capability: The compute capability, as in ``sm_89``: 89.
    """

    name: str
    capability: int

    @property
    def target(self) -> str:
        """``sm_89``."""
        return f"sm_{self.capability}"


def find_gpu() -> Gpu | str:
    """The first GPU, or why there is none, in a few words."""
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        return "no CUDA driver"
    if code := driver.cuInit(0):
        return f"no CUDA device (cuInit returned {code})"
    count = ctypes.c_int(0)
    if driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return "no CUDA device"
    device = ctypes.c_int(0)
    if code := driver.cuDeviceGet(ctypes.byref(device), 0):
        return f"no CUDA device (cuDeviceGet returned {code})"
    major, minor = _attribute(driver, _MAJOR, device), _attribute(driver, _MINOR, device)
    return Gpu(_name(driver, device), 10 * major + minor)


def _attribute(driver: ctypes.CDLL, attribute: int, device: ctypes.c_int) -> int:
    value = ctypes.c_int(0)
    driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
    return value.value


def _name(driver: ctypes.CDLL, device: ctypes.c_int) -> str:
    text = ctypes.create_string_buffer(128)
    driver.cuDeviceGetName(text, len(text), device)
    return text.value.decode(errors="replace") or "CUDA device"
