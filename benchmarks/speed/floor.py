"""What no verified conversion can do without, as one process; beside it a conversion is timed.

It starts Python, imports torch and ONNX Runtime, maps the checkpoint, runs the module at each batch size, writes the
weights once, opens a file that was made before, runs it at each batch size and compares.

python benchmarks/speed/floor.py NAME CHECKPOINT ARTIFACT [--batch 1,2]
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin are no part of the work

import nets
import numpy as np
import onnxruntime
import torch


def main() -> int:
    """Run it; 1 where the outputs are apart."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--batch", default="1,2")
    given = parser.parse_args()
    batches = [int(each) for each in given.batch.split(",")]
    module = torch.load(given.checkpoint, weights_only=False, mmap=True).eval()
    inputs = {n: torch.randn(n, *nets.shape_of(given.name)) for n in batches}
    with torch.inference_mode():
        right = {n: module(x).numpy() for n, x in inputs.items()}
    written = given.artifact.with_suffix(".floor")
    _write(module, written)
    del module  # while one tensor lives, the whole mapping stays in memory
    gc.collect()
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        str(given.artifact), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    apart = 0.0
    for n, x in inputs.items():
        found = session.run(None, {name: x.numpy()})[0]
        apart = max(apart, float(np.abs(found - right[n]).max() / np.abs(right[n]).max()))
    written.unlink()
    print(apart)
    return int(not apart < 1e-3)


def _write(module: torch.nn.Module, path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for tensor in module.state_dict().values():
            file.write(memoryview(tensor.contiguous().view(-1).numpy()).cast("B"))


if __name__ == "__main__":
    sys.exit(main())
