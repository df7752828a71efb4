"""The fast capture against torch.export on many networks: whether it takes them, and whether both come to the same.

    python benchmarks/roads.py [--only NAME,...] [--share I/N] [--out benchmarks/results/roads.json]

Of each network: whether the fast road takes it, or why not; operators, BatchNorms left and the ledger by either road;
how far both files' outputs are apart at a batch of three, and how far PyTorch's own rounding goes. Needs what
``zoo.py`` needs.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import audio_nets
import numpy as np
import onnx_ir as ir
import onnxruntime
import torch
import zoo
from torch import nn

from bnexport.capture import recorded
from bnexport.capture.export import export
from bnexport.health import batch_norms
from bnexport.inputs import Examples, InputSpec
from bnexport.report.document import versions
from bnexport.rewrite import Rewritten, rewrite
from bnexport.signature import Plain, parameter_names

TIMM = [
    "resnet18",
    "resnet50d",
    "resnext50_32x4d",
    "seresnet50",
    "skresnet18",
    "res2net50_26w_4s",
    "resnest14d",
    "densenet121",
    "vgg11_bn",
    "mobilenetv2_100",
    "mobilenetv3_small_100",
    "mobilenetv4_conv_small",
    "efficientnet_b0",
    "tf_efficientnet_b0",
    "efficientnetv2_rw_t",
    "regnety_004",
    "regnetx_004",
    "repvgg_a0",
    "mobileone_s0",
    "ghostnet_100",
    "ghostnetv2_100",
    "hrnet_w18_small",
    "dla34",
    "dpn68",
    "inception_v4",
    "xception41",
    "convnext_atto",
    "convnextv2_atto",
    "convmixer_768_32",
    "eca_nfnet_l0",
    "resnetv2_50",
    "cspresnet50",
    "cspdarknet53",
    "darknet53",
    "ese_vovnet19b_dw",
    "mnasnet_100",
    "fbnetc_100",
    "lcnet_050",
    "tinynet_a",
    "rexnet_100",
    "hardcorenas_a",
    "selecsls42b",
    "gernet_s",
    "botnet26t_256",
    "halonet26t",
    "lambda_resnet26t",
    "mobilevit_xs",
    "mobilevitv2_050",
    "edgenext_xx_small",
    "poolformer_s12",
    "fastvit_t8",
    "repvit_m0_9",
    "starnet_s1",
    "inception_next_tiny",
    "levit_128s",
    "tf_mixnet_s",
    "focalnet_tiny_srf",
    "hgnet_tiny",
]
TORCHVISION = {
    **dict.fromkeys(
        [
            "alexnet",
            "googlenet",
            "squeezenet1_1",
            "shufflenet_v2_x1_0",
            "mobilenet_v2",
            "mobilenet_v3_small",
            "densenet121",
        ],
        (3, 224, 224),
    ),
    "inception_v3": (3, 299, 299),
    **dict.fromkeys(("r2plus1d_18", "mc3_18", "r3d_18"), (3, 8, 64, 64)),
    **dict.fromkeys(
        ("fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"), (3, 224, 224)
    ),
}


def networks() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """Name -> a function that makes the network and its sample's shape."""
    made: dict[str, Any] = {f"timm/{name}": lambda name=name: _timm(name) for name in TIMM}
    for name, shape in TORCHVISION.items():
        made[f"torchvision/{name}"] = lambda name=name, shape=shape: (_torchvision(name), shape)
    for name, (build, shape) in audio_nets.NETWORKS.items():
        made[f"audio/{name}"] = lambda build=build, shape=shape: (
            zoo.trained_like(build(), 0),
            shape,
        )
    made["segmentation/unet"] = lambda: zoo.network("unet")
    return made


def _timm(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    module = zoo.timm_model(name)
    return module, module.default_cfg["input_size"]


def _torchvision(name: str) -> nn.Module:
    zoo.import_torchvision()
    import torchvision

    torch.manual_seed(0)
    options: dict[str, Any] = (
        {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    )
    if name.split("_")[0] in ("fcn", "deeplabv3", "lraspp"):
        options = {"weights_backbone": None}
    return zoo.trained_like(torchvision.models.get_model(name, weights=None, **options), 0)


def compared(module: nn.Module, shape: tuple[int, ...]) -> dict[str, Any]:
    """What either road comes to."""
    (name,) = parameter_names(module)
    plain = Plain(module.eval(), [name]).eval()
    examples = Examples((InputSpec(name, (None, *shape)),))
    facts = batch_norms(module)
    start = time.process_time()
    fast = recorded(plain, examples)
    seconds = time.process_time() - start
    if isinstance(fast, str):
        return {"taken": False, "why": fast}
    ours = rewrite(fast.model, facts, simplify=False, computed=True)
    start = time.process_time()
    theirs = rewrite(export(plain, examples, 20).model, facts, simplify=False)
    slow_seconds = time.process_time() - start
    x = examples.batch(3, seed=5)
    with torch.no_grad():
        right = [y.double().numpy() for y in plain(*x)]
        exact = [y.numpy() for y in copy.deepcopy(plain).double()(*(each.double() for each in x))]
    a, b = run(ours, x[0].numpy()), run(theirs, x[0].numpy())
    return {
        "taken": True,
        "operators": [ours.model.graph.num_nodes(), theirs.model.graph.num_nodes()],
        "more": dict(_operators(ours) - _operators(theirs)),
        "less": dict(_operators(theirs) - _operators(ours)),
        "ledger": [_counts(ours), _counts(theirs)],
        "same_ledger": [r.fate for r in ours.ledger.rows] == [r.fate for r in theirs.ledger.rows],
        "apart": max(map(_distance, a, b)),
        "rounding": max(map(_distance, right, exact)),
        "fast_from_pytorch": max(map(_distance, a, right)),
        "export_from_pytorch": max(map(_distance, b, right)),
        "seconds": [round(seconds, 2), round(slow_seconds, 2)],
    }


def run(rewritten: Rewritten, x: np.ndarray) -> list[np.ndarray]:
    """Outputs in ONNX Runtime, its optimisers off."""
    return session_outputs(rewritten, [x])


def session_outputs(rewritten: Rewritten, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """As `run`, of a graph with several inputs."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    data = ir.to_proto(rewritten.model).SerializeToString()
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    fed = {each.name: x for each, x in zip(session.get_inputs(), inputs, strict=True)}
    outputs: list[np.ndarray] = session.run(None, fed)
    return outputs


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    if a.shape != b.shape:
        return float("inf")
    return float(np.linalg.norm(np.float64(a) - b) / (np.linalg.norm(np.float64(b)) or 1.0))


def _operators(rewritten: Rewritten) -> Counter[str]:
    return Counter(node.op_type for node in rewritten.model.graph)


def _counts(rewritten: Rewritten) -> dict[str, int]:
    return dict(Counter(row.fate for row in rewritten.ledger.rows))


def main() -> None:
    """Print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="")
    parser.add_argument("--share", default="0/1", help="this part of so many")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    part, parts = map(int, options.share.split("/"))
    wanted = options.only.split(",") if options.only else None
    found: dict[str, Any] = {}
    for place, (name, make) in enumerate(networks().items()):
        if place % parts != part or (wanted and name not in wanted):
            continue
        try:
            found[name] = compared(*make())
        except Exception as error:  # one network's trouble is a line of the table
            found[name] = {"taken": False, "why": f"{type(error).__name__}: {str(error)[:200]}"}
        print(name, json.dumps(found[name]), flush=True)
        if options.out:
            options.out.write_text(
                json.dumps({"versions": versions(), "networks": found}, indent=1)
            )


if __name__ == "__main__":
    main()
