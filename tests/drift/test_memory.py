"""Ten times the data take no more memory, in drift and in recalibration."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import torch
import bnexport
from drifting import network

def data(count):
    made = torch.Generator().manual_seed(0)
    for _ in range(count):
        yield torch.randn(64, 3, 32, 32, generator=made)

count, what = int(sys.argv[1]), getattr(bnexport, sys.argv[2])
what(network(), data(count))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(count, what):
    """KiB on Linux, bytes on macOS: only the ratio counts."""
    command = [sys.executable, "-c", SCRIPT, str(count), what]
    paths = [path for path in sys.path if path]
    environment = {"PYTHONPATH": ":".join(paths), "PATH": ""}
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return int(shown.stdout)


@pytest.mark.parametrize("what", ["drift", "recalibrate"])
def test_memory_is_flat(what):
    """The 360 batches more are 283 MB, of a process of some 400."""
    assert peak(400, what) < 1.05 * peak(40, what)
