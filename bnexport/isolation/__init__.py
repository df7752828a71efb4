"""Native work outside the caller's process: a crash, a hang or a hunger for memory is an error, not the caller's death.

onnxsim, the ONNX checker and shape inference, sessions of ONNX Runtime on files of others and TensorRT's builder are
C++ that a graph can bring down. Here they run in a worker process under a limit of time and memory. Weights reach it
in shared memory, never through a pipe. It is for robustness, and no sandbox: the worker has the user's own rights.
"""

from __future__ import annotations

from bnexport.isolation.scope import current, expect, isolated, isolating, meet_foreign
from bnexport.isolation.settings import Isolation

__all__ = ["Isolation", "current", "expect", "isolated", "isolating", "meet_foreign"]
