"""The driver is asked for GPUs, and every answer is a GPU or a reason."""

import ctypes

import pytest

from bnexport.targets import cuda


class Driver:
    def __init__(self, init=0, count=1, count_code=0):
        self.init, self.count, self.count_code = init, count, count_code

    def cuInit(self, flags):  # noqa: N802
        return self.init

    def cuDeviceGetCount(self, pointer):  # noqa: N802
        pointer._obj.value = self.count
        return self.count_code

    def cuDeviceGet(self, pointer, index):  # noqa: N802
        return 0

    def cuDeviceGetAttribute(self, pointer, attribute, device):  # noqa: N802
        pointer._obj.value = {75: 12, 76: 1}[attribute]
        return 0

    def cuDeviceGetName(self, text, size, device):  # noqa: N802
        text.value = b"NVIDIA GB10"
        return 0


def test_a_gpu_is_named_with_its_capability(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver())
    gpu = cuda.find_gpu()
    assert (gpu.name, gpu.capability, gpu.target) == ("NVIDIA GB10", 121, "sm_121")


@pytest.mark.parametrize("driver", [Driver(init=100), Driver(count=0), Driver(count_code=3)])
def test_no_device(monkeypatch, driver):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver)
    assert cuda.find_gpu().startswith("no CUDA device")


def test_no_driver(monkeypatch):
    monkeypatch.setattr(cuda, "_DRIVER", "libnosuchcuda.so.1")
    assert cuda.find_gpu() == "no CUDA driver"
