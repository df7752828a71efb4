"""How much memory a contestant takes, measured in a process of its own.

In the process that times, all contestants share one heap, and what one frees another takes up. Here a fresh process
imports what it needs, reads how much it holds, makes the model ready, and then opens and runs it. What is told is how
far its resident memory rose from that first reading to the highest mark while it was opened and run: weights, what
the runtime makes of them, activations, for ``torch.compile`` the compiler. What only reading the file took is left out.
"""

from __future__ import annotations

import ctypes
import gc
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from bnexport.folders import scratch
from bnexport.parity.arrays import Arrays, from_torch, to_torch
from bnexport.subject import BUILT

if TYPE_CHECKING:
    from bnexport.bench.contestant import Contestant
    from bnexport.bench.entrants import Entrant, Means
    from bnexport.load.loaded import Loaded
    from bnexport.runnable import Reading

__all__ = ["Memory", "answer", "memory_of"]

_RUNS = 3
_SPEC, _INPUTS, _ANSWER = "spec.json", "inputs.pt", "answer.json"


@dataclass(frozen=True)
class Memory:
    """What a process of its own needed.

    Attributes:
        host_bytes: The rise of its resident memory, to its peak; None: not known.
        gpu_bytes: On the GPU: PyTorch's own peak, or how much less was free after the runs; None: none, or not known.
        reason: Why something is not known.
    """

    host_bytes: int | None = None
    gpu_bytes: int | None = None
    reason: str = ""


def memory_of(
    entrant: Entrant,
    names: Sequence[str],
    means: Means,
    precision: str,
    inputs: Arrays,
    reading: Reading,
) -> Memory:
    """Ask a fresh process.

    Args:
        entrant: The model and the runtime.
        names: Of the inputs.
        means: How it is run.
        precision: Of the contestant, so that the process need not read the weights to tell.
        inputs: What it is fed.
        reading: How the files of PyTorch are read.
    """
    loaded = entrant.model.loaded
    if entrant.model.path is None and loaded is not None and loaded.format == "module":
        return Memory(reason="a live module cannot be given to another process")
    spec = {
        "path": None if entrant.model.path is None else str(entrant.model.path.resolve()),
        "kind": entrant.model.kind,
        "runtime": entrant.runtime,
        "names": list(names),
        "means": asdict(means),
        "precision": precision,
        "reading": asdict(_own(reading, loaded)),
    }
    with scratch("bench") as folder:
        (folder / _SPEC).write_text(json.dumps(spec), encoding="utf-8")
        torch.save([to_torch(each) for each in inputs], folder / _INPUTS)
        command = [sys.executable, "-m", "bnexport.bench.worker", str(folder)]
        # What models print must reach neither standard output, which is ours, nor the summary.
        done = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
        )
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
            return Memory(reason=f"its process ended with {done.returncode}: {said[-1][:200]}")
        return Memory(**json.loads((folder / _ANSWER).read_text(encoding="utf-8")))


def _own(reading: Reading, loaded: Loaded | None) -> Reading:
    """How this file is read: the architecture may be for another one."""
    if loaded is not None and loaded.format in BUILT:
        return reading
    return replace(reading, arch=None, arch_args=None)


def answer(folder: Path) -> None:
    """What the fresh process does: measure what the folder describes, and write it there."""
    spec = json.loads((folder / _SPEC).read_text(encoding="utf-8"))
    inputs = from_torch(torch.load(folder / _INPUTS, weights_only=True))
    found = _measured(spec, inputs)
    (folder / _ANSWER).write_text(json.dumps(asdict(found)), encoding="utf-8")


def _measured(spec: dict[str, Any], inputs: Arrays) -> Memory:
    from bnexport.bench.torch_contestant import as_deployed
    from bnexport.passes.modules import undisturbed

    if spec["runtime"].startswith("ort"):
        import onnxruntime  # noqa: F401 (its libraries are no part of what the model takes)
    free = (
        _free()
    )  # before the resident memory: asking makes the GPU's context, which is none of the model's
    before = _resident("VmRSS")
    contestant = _made(spec)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    resettable = _forget_peak()
    with as_deployed(spec["means"]["threads"]), undisturbed(0), contestant:
        contestant.lay(inputs)
        for _ in range(_RUNS):
            contestant.run()
        host = _resident("VmHWM") - before
        gpu = _on_gpu(spec["runtime"], free)
    if not resettable:
        return Memory(None, gpu, "the kernel does not let the peak be read from here on")
    return Memory(max(host, 0), gpu)


def _made(spec: dict[str, Any]) -> Contestant:
    """The contestant; what was only needed to make it is let go."""
    from bnexport.bench.entrants import Entrant, Means, made
    from bnexport.runnable import ONNX, Model, Reading, open_model

    path, means = spec["path"] and Path(spec["path"]), Means(**spec["means"])
    model = (
        Model(
            path.name, ONNX, path
        )  # its declarations are not needed, and reading them takes memory
        if spec["kind"] == ONNX
        else open_model(path, Reading(**spec["reading"]))
    )
    entrant = Entrant(model, spec["runtime"], asked=True)
    return made(entrant, spec["names"], means, spec["precision"])


def _resident(field: str) -> int:
    for line in (
        Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    ):
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0


def _forget_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _free() -> int | None:
    return int(torch.cuda.mem_get_info(0)[0]) if torch.cuda.is_available() else None


def _on_gpu(runtime: str, free: int | None) -> int | None:
    if free is None or runtime in ("torch", "torch-compile", "ort", "ort-plain"):
        return None
    if runtime.startswith("torch"):
        return int(torch.cuda.max_memory_allocated(0))
    # Their arenas give nothing back between runs, so what is gone is what they needed.
    return max(0, free - int(torch.cuda.mem_get_info(0)[0]))
