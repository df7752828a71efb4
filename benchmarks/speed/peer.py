"""What is written today to come from a module to an ONNX file that was compared once, as one process.

torch.load, torch.onnx.export with a free batch, a simplifier, onnx.checker, one comparison at batch 1.

python benchmarks/speed/peer.py NAME CHECKPOINT OUT [--exporter legacy] [--simplifier onnxslim] [--check polygraphy]
    [--batch 1,2]

--check: ``ort`` by hand; ``torch``: torch.onnx.export(verify=True); ``timm``: as timm's onnx_export.py;
``polygraphy``: its runner and comparator.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # the same for all

import nets

LARGEST = 1_900_000_000  # bytes; a protobuf ends at 2 GiB


def main() -> int:
    """Run it; 1 where the outputs are apart."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--exporter", default="dynamo", choices=("dynamo", "legacy"))
    parser.add_argument("--simplifier", default="onnxsim", choices=("onnxsim", "onnxslim", "none"))
    parser.add_argument("--check", default="ort", choices=("ort", "torch", "timm", "polygraphy"))
    parser.add_argument("--batch", default="1", help="where it is compared")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    import onnx
    import torch

    for old in (given.out, data_of(given.out)):
        old.unlink(missing_ok=True)
    module = torch.load(given.checkpoint, weights_only=False).eval()
    shape = nets.shape_of(given.name)
    export(module, torch.randn(2, *shape), given)
    simplify(given.out, given.simplifier)
    onnx.checker.check_model(str(given.out), full_check=True)
    equal = True
    for n in map(int, given.batch.split(",")):
        x = torch.randn(n, *shape)
        with torch.no_grad():
            right = module(x).numpy()
        equal &= compare(given.out, x.numpy(), right, given.check)
    return int(not equal)


def export(module, x, given: argparse.Namespace) -> None:
    """By one of torch's two exporters."""
    import torch

    if given.exporter == "legacy":
        axes = {"x": {0: "N"}, "y": {0: "N"}}
        torch.onnx.export(
            *(module, (x,), str(given.out)),
            dynamo=False,
            opset_version=18,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes=axes,
        )
        return
    torch.onnx.export(
        *(module, (x,), str(given.out)),
        dynamo=True,
        input_names=["x"],
        output_names=["y"],
        dynamic_shapes=({0: torch.export.Dim("N")},),
        verbose=False,
        verify=given.check == "torch",
    )


def simplify(path: Path, simplifier: str) -> None:
    """In place."""
    import onnx

    if simplifier == "none":
        return
    large = sum(each.stat().st_size for each in (path, data_of(path)) if each.exists()) > LARGEST
    if simplifier == "onnxslim":
        import onnxslim

        model = onnxslim.slim(str(path))
    else:
        import onnxsim

        model, equal = onnxsim.simplify(str(path) if large else onnx.load(str(path)))
        assert equal
    data_of(path).unlink(missing_ok=True)
    options = {"save_as_external_data": True, "location": data_of(path).name} if large else {}
    onnx.save(model, str(path), **options)


def compare(path: Path, x, right, check: str) -> bool:
    """To a thousandth."""
    import numpy as np
    import onnxruntime

    scale = float(np.abs(right).max())
    if check == "polygraphy":
        from polygraphy.backend.onnxrt import OnnxrtRunner, SessionFromOnnx
        from polygraphy.comparator import Comparator, CompareFunc, RunResults
        from polygraphy.comparator.struct import IterationResult

        found = Comparator.run([OnnxrtRunner(SessionFromOnnx(str(path)))], data_loader=[{"x": x}])
        name = next(iter(found[0][1][0]))
        meant = IterationResult(outputs={name: right}, runner_name="torch")
        found.extend(RunResults([("torch", [meant])]))
        rule = CompareFunc.simple(atol=1e-3 * scale, rtol=1e-3)
        return bool(Comparator.compare_accuracy(found, compare_func=rule))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    y = session.run(None, {session.get_inputs()[0].name: x})[0]
    if check == "timm":
        np.testing.assert_allclose(y, right, rtol=1e-3, atol=1e-4 * scale)
    return bool(np.abs(y - right).max() <= 1e-3 * scale)


def data_of(path: Path) -> Path:
    """Where torch and onnx put weights that do not go into the file."""
    return path.with_name(path.name + ".data")


if __name__ == "__main__":
    sys.exit(main())
