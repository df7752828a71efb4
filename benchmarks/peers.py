"""The files that are compared: one network as bnexport exports it, and as others do.

    torch         torch.onnx.export(dynamo=True, optimize=True)
    onnxsim       that, simplified by onnxsim
    onnxslim      that, simplified by onnxslim
    onnxruntime   that, as ONNX Runtime's offline optimiser writes it at its extended level

Everything is made once and kept in a folder. What bnexport captures is kept too, and only folded anew when its
passes have changed: the capture is what takes long. Each file is made in a process of its own, because
native code of others may crash, and a crash is a result.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

__all__ = ["FILES", "OURS", "PEERS", "Exports", "digest", "export"]

OURS = "bnexport"
PEERS = ("torch", "onnxsim", "onnxslim", "onnxruntime")
FILES = (OURS, *PEERS)
SAMPLES = 2  # of the reference
TIMEOUT = 1800  # seconds, for a file
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Exports:
    """The files of one network.

    Attributes:
        name: The network.
        folder: Where they lie.
        paths: By who made them; who failed is missing.
        errors: The last line of what those said who failed.
    """

    name: str
    folder: Path
    paths: dict[str, Path]
    errors: dict[str, str]

    @property
    def sample(self) -> tuple[int, ...]:
        """The shape of one sample."""
        shape: tuple[int, ...] = self.reference[0].shape[1:]
        return shape

    @property
    def reference(self) -> tuple[np.ndarray, np.ndarray]:
        """Inputs, and what PyTorch makes of them in float64."""
        with np.load(self.folder / "reference.npz") as stored:
            return stored["x"], stored["y"]

    @property
    def ledger(self) -> list[dict[str, str]]:
        """One row a BatchNorm of bnexport's graph."""
        rows: list[dict[str, str]] = json.loads((self.folder / "ledger.json").read_text())
        return rows

    @property
    def batch_norms(self) -> int:
        """How many BatchNorms the module has."""
        return int(json.loads((self.folder / "module.json").read_text())["batch_norms"])


def export(name: str, work: Path, peers: tuple[str, ...] = PEERS) -> Exports:
    """Make what is missing of ``name`` below ``work``."""
    folder = work / name
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / "passes.sha256"
    if not stamp.exists() or stamp.read_text() != digest():
        (folder / f"{OURS}.onnx").unlink(missing_ok=True)
        (folder / f"{OURS}.error").unlink(missing_ok=True)
        stamp.write_text(digest())
    paths, errors = {}, {}
    for kind in ("captured", OURS, *peers):
        path, failed = folder / f"{kind}.onnx", folder / f"{kind}.error"
        if not path.exists() and not failed.exists():
            _make_apart(kind, name, folder, failed)
        if path.exists():
            paths[kind] = path
        else:
            errors[kind] = failed.read_text()
    return Exports(name, folder, paths, errors)


def digest() -> str:
    """Of the sources that decide what bnexport makes of a captured graph."""
    sources = [*sorted((ROOT / "passes" / "graphs").glob("*.py")), ROOT / "bnexport" / "rewrite.py"]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def _make_apart(kind: str, name: str, folder: Path, failed: Path) -> None:
    command = [sys.executable, __file__, kind, name, str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        failed.write_text(f"not done after {TIMEOUT} s")
        return
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["nothing was said"]
        failed.write_text(f"exit status {done.returncode}: {said[-1][:300]}")


def make_captured(name: str, folder: Path) -> None:
    """The unoptimised graph that bnexport folds, and the reference."""
    import onnx_ir as ir
    import torch
    import zoo
    from torch.nn.modules.batchnorm import _BatchNorm

    from bnexport.events import silent
    from bnexport.inputs import InputSpec
    from bnexport.load import load
    from bnexport.subject import subject_of

    torch.set_num_threads(1)
    module, shape = zoo.network(name)
    x = torch.randn(SAMPLES, *shape, generator=torch.Generator().manual_seed(0))
    subject = subject_of(load(module), [InputSpec("", (None, *shape))], None, None, silent)
    count = sum(isinstance(each, _BatchNorm) for each in module.modules())
    (folder / "module.json").write_text(json.dumps({"batch_norms": count}))
    with torch.no_grad():
        np.savez(folder / "reference.npz", x=x.numpy(), y=module.double()(x.double()).numpy())
    ir.save(subject.graph, folder / "captured.onnx")


def make_bnexport(name: str, folder: Path) -> None:
    """What bnexport folds."""
    import onnx_ir as ir

    from bnexport.rewrite import rewrite
    from bnexport.targets.onnx import write_onnx

    rewritten = rewrite(ir.load(folder / "captured.onnx"))
    rows = [asdict(row) for row in rewritten.ledger.rows]
    (folder / "ledger.json").write_text(json.dumps(rows, indent=1))
    write_onnx(rewritten.model, folder / f"{OURS}.onnx")


def make_torch(name: str, folder: Path) -> None:
    """Torch's own export, with the batch axis free."""
    import torch
    import zoo

    torch.set_num_threads(1)
    module, shape = zoo.network(name)
    torch.onnx.export(
        module,
        (torch.zeros(SAMPLES, *shape),),
        folder / "torch.onnx",
        dynamo=True,
        optimize=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
        verbose=False,
    )


def make_onnxsim(name: str, folder: Path) -> None:
    """What onnxsim makes of torch's."""
    import onnx
    import onnxsim

    simplified, _ = onnxsim.simplify(onnx.load(folder / "torch.onnx"))
    onnx.save(simplified, folder / "onnxsim.onnx")


def make_onnxslim(name: str, folder: Path) -> None:
    """What onnxslim makes of torch's."""
    import onnxslim

    onnxslim.slim(str(folder / "torch.onnx"), str(folder / "onnxslim.onnx"))


def make_onnxruntime(name: str, folder: Path) -> None:
    """What ONNX Runtime's offline optimiser makes of torch's."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(folder / "onnxruntime.onnx")
    ort.InferenceSession(folder / "torch.onnx", options, providers=["CPUExecutionProvider"])


MAKERS = {
    "captured": make_captured,
    OURS: make_bnexport,
    "torch": make_torch,
    "onnxsim": make_onnxsim,
    "onnxslim": make_onnxslim,
    "onnxruntime": make_onnxruntime,
}

if __name__ == "__main__":
    MAKERS[sys.argv[1]](sys.argv[2], Path(sys.argv[3]))
