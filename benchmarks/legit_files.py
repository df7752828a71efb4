"""Files as they lie about in the world: does each load, with how few flags, and to the very same weights?

    python benchmarks/legit_files.py            (timm and torchvision are wanted; without them their rows are left out)

Writes benchmarks/results/legit_files.json and the table of docs/loading.md.
"""

from __future__ import annotations

import argparse
import collections
import datetime
import importlib.util
import io
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(Path(__file__).parent))

import legit_nets as nets  # noqa: E402
import zoo  # noqa: E402

from bnexport.errors import BnexportError  # noqa: E402
from bnexport.load import load  # noqa: E402
from bnexport.report import versions  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "legit_files.json"
PAGE = ROOT / "docs" / "loading.md"
MARKS = "<!-- files: from here", "<!-- to here -->"
ARCH = {"arch": "legit_nets:small"}
ALLOW = {"allow": ("legit_nets",)}


@dataclass
class Case:
    """One file.

    Attributes:
        what: What it holds.
        made_by: What people type to get it.
        write: Writes it.
        options: The fewest with which it loads.
        expected: The weights; None: whatever it is must be refused.
        refusal: What the refusal must say.
    """

    what: str
    made_by: str
    write: Callable[[Path], None]
    options: dict[str, Any] = field(default_factory=dict)
    expected: dict[str, torch.Tensor] | None = None
    refusal: str = ""


def main() -> int:
    """Write, load, compare, tell."""
    parser = argparse.ArgumentParser(description="load files as they lie about in the world")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        rows = [row(case, Path(name) / f"{index}.pt") for index, case in enumerate(cases())]
    wrong = [each for each in rows if not each["ok"]]
    result = {
        "command": "python benchmarks/legit_files.py",
        "date": datetime.date.today().isoformat(),
        "files": len(rows),
        "without a flag": sum(not each["flags"] and each["result"] == "loaded" for each in rows),
        "refused, as is meant": sum(each["result"] == "refused" for each in rows),
        "wrong": wrong,
        "rows": rows,
        "versions": versions(),
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    if given.page.exists():
        head, rest = given.page.read_text().split(MARKS[0], 1)
        mark, tail = rest.split("\n", 1)[0], rest.split(MARKS[1], 1)[1]
        given.page.write_text(f"{head}{MARKS[0]}{mark}\n{table(rows)}{MARKS[1]}{tail}")
    print(table(rows), *wrong, sep="\n")
    return int(bool(wrong))


def row(case: Case, path: Path) -> dict[str, Any]:
    """What became of one file."""
    case.write(path)
    flags = [f"--{name.replace('_', '-')}" for name in case.options if name != "arch_args"]
    told = {"what": case.what, "made by": case.made_by, "flags": flags, "said": ""}
    try:
        loaded = load(path, **case.options)
    except BnexportError as error:
        meant = case.expected is None and case.refusal in str(error)
        said = str(error).replace(str(path), "FILE")
        return {**told, "result": "refused", "said": said, "ok": meant}
    return {
        **told,
        "result": "loaded",
        "ok": case.expected is not None and same(loaded.model, case.expected),
    }


def same(model: Any, expected: dict[str, torch.Tensor]) -> bool:
    """Whether the weights are those, bit for bit."""
    if not isinstance(model, nn.Module):
        held = {k: v.const_value.numpy() for k, v in model.graph.initializers.items()}
        return all(
            any(np.array_equal(each, t.numpy()) for each in held.values())
            for t in expected.values()
        )
    found = model.state_dict()
    return found.keys() == expected.keys() and all(
        found[name].dtype == tensor.dtype and torch.equal(found[name], tensor)
        for name, tensor in expected.items()
    )


def table(rows: list[dict[str, Any]]) -> str:
    """As Markdown."""
    lines = ["| file | written by | flags |", "|---|---|---|"]
    for each in rows:
        flags = " ".join(f"`{flag}`" for flag in each["flags"]) or "none"
        said = each["said"].split(": ", 1)[-1].replace("|", "\\|")
        lines.append(
            f"| {each['what']} | `{each['made by']}` | "
            + (f"refused: {said} |" if each["result"] == "refused" else f"{flags} |")
        )
    return "\n".join(lines) + "\n"


def saved(value: Any, **options: Any) -> Callable[[Path], None]:
    """As torch.save writes it."""
    return lambda path: torch.save(value, path, **options)


def cases() -> Iterator[Case]:
    """All of them."""
    yield from pickled()
    yield from checkpoints()
    yield from other_forms()
    yield from refused()
    yield from of_libraries()


def pickled() -> Iterator[Case]:
    """Whole modules."""
    net = nets.small()
    state = net.state_dict()
    yield Case("a module of torch's layers", "torch.save(model, f)", saved(net), {}, state)
    for protocol in (3, 4, 5):
        name = f"the same, pickle protocol {protocol}"
        yield Case(
            name,
            f"torch.save(model, f, pickle_protocol={protocol})",
            saved(net, pickle_protocol=protocol),
            {},
            state,
        )
    old = saved(net, _use_new_zipfile_serialization=False)
    yield Case("the same as a stream", "torch before 1.6", old, {}, state)
    yield Case(
        "in DataParallel",
        "torch.save(nn.DataParallel(model), f)",
        saved(nn.DataParallel(net)),
        {},
        state,
    )
    compiled = torch.compile(net)
    yield Case(
        "in torch.compile", "torch.save(torch.compile(model), f)", saved(compiled), {}, state
    )
    averaged = torch.optim.swa_utils.AveragedModel(net)
    yield Case(
        "an average of weights", "torch.save(AveragedModel(model), f)", saved(averaged), {}, state
    )
    half = nets.small().half()
    yield Case("in float16", "torch.save(model.half(), f)", saved(half), {}, half.state_dict())
    brain = nets.small().bfloat16()
    yield Case(
        "in bfloat16", "torch.save(model.bfloat16(), f)", saved(brain), {}, brain.state_dict()
    )
    last = nets.small().to(memory_format=torch.channels_last)
    yield Case(
        "channels last",
        "model.to(memory_format=torch.channels_last)",
        saved(last),
        {},
        last.state_dict(),
    )
    own = nets.Net()
    yield Case(
        "a module of the user's class", "torch.save(model, f)", saved(own), ALLOW, own.state_dict()
    )
    tied = nets.Tied()
    yield Case("tied weights", "torch.save(model, f)", saved(tied), ALLOW, tied.state_dict())
    shared = nn.Sequential(layer := nn.Conv2d(3, 3, 1), nn.ReLU(), layer)
    yield Case("a layer used twice", "torch.save(model, f)", saved(shared), {}, shared.state_dict())
    old_norm = torch.nn.utils.weight_norm(nn.Linear(3, 4))
    yield Case(
        "weight_norm by hooks",
        "nn.utils.weight_norm(layer)",
        saved(nn.Sequential(old_norm)),
        {},
        nn.Sequential(old_norm).state_dict(),
    )
    spectral = nn.Sequential(nn.utils.spectral_norm(nn.Linear(3, 4)))
    yield Case(
        "spectral_norm by hooks",
        "nn.utils.spectral_norm(layer)",
        saved(spectral),
        {},
        spectral.state_dict(),
    )
    lstm = nn.Sequential(nn.LSTM(4, 5, 2, bidirectional=True))
    yield Case("a recurrent layer", "torch.save(model, f)", saved(lstm), {}, lstm.state_dict())
    attention = nn.TransformerEncoderLayer(8, 2, 16)
    yield Case(
        "a transformer layer", "torch.save(model, f)", saved(attention), {}, attention.state_dict()
    )
    sync = nn.SyncBatchNorm.convert_sync_batchnorm(nets.small())
    yield Case("SyncBatchNorm", "convert_sync_batchnorm(model)", saved(sync), {}, sync.state_dict())
    entry = {
        "epoch": 3,
        "model": net,
        "optimizer": torch.optim.SGD(net.parameters(), 0.1).state_dict(),
    }
    yield Case(
        "a module in a checkpoint", "torch.save({'model': model, ...}, f)", saved(entry), {}, state
    )


def checkpoints() -> Iterator[Case]:
    """Weights for an architecture."""
    net = nets.small()
    state = net.state_dict()
    steps = torch.optim.AdamW(net.parameters())
    net(torch.randn(2, 3, 8, 8)).sum().backward()
    steps.step()
    state = net.state_dict()
    whole = {
        "state_dict": state,
        "optimizer": steps.state_dict(),
        "scheduler": torch.optim.lr_scheduler.StepLR(steps, 2).state_dict(),
        "epoch": 12,
        "best": np.float64(0.75),
        "args": argparse.Namespace(lr=0.1, name="net"),
        "where": Path("/data/runs"),
        "rng": torch.get_rng_state(),
        "scaler": torch.amp.GradScaler("cpu").state_dict(),
    }

    def prefixed(prefix: str) -> dict[str, torch.Tensor]:
        return {prefix + name: tensor for name, tensor in state.items()}

    given: list[tuple[str, str, Any, dict[str, Any]]] = [
        ("weights", "torch.save(model.state_dict(), f)", state, {}),
        (
            "a training checkpoint",
            "torch.save({'state_dict': ..., 'optimizer': ...}, f)",
            whole,
            {},
        ),
        ("of DistributedDataParallel", "ddp.state_dict()", prefixed("module."), {}),
        ("of torch.compile", "compiled.state_dict()", prefixed("_orig_mod."), {}),
        ("of DDP of torch.compile", "ddp.state_dict()", prefixed("module._orig_mod."), {}),
        ("of FSDP, consolidated", "FSDP.state_dict()", prefixed("_fsdp_wrapped_module."), {}),
        ("of Lightning", "trainer.save_checkpoint(f)", lightning(prefixed("model.")), {}),
        (
            "with its average beside it",
            "timm's checkpoint saver",
            {"state_dict": nets.small().state_dict(), "state_dict_ema": state},
            {"state_dict_key": "state_dict_ema"},
        ),
        (
            "weights deep inside",
            "{'run': {'net': ...}}",
            {"run": {"net": state}},
            {"state_dict_key": "run.net"},
        ),
        (
            "with a configuration of the user's classes",
            "torch.save({..., 'config': config}, f)",
            {"state_dict": state, "config": nets.Config(), "mode": nets.Mode.FAST},
            {},
        ),
        (
            "in float16, for a float32 network",
            "half.state_dict()",
            {k: v.half() if v.is_floating_point() else v for k, v in state.items()},
            {},
        ),
        ("views of one memory", "torch.save(state, f)", views(state), {}),
        (
            "an OrderedDict with metadata",
            "torch.save(model.state_dict(), f)",
            collections.OrderedDict(state),
            {},
        ),
        (
            "without num_batches_tracked",
            "torch before 0.4.1",
            {k: v for k, v in state.items() if "tracked" not in k},
            {},
        ),
    ]
    for what, made_by, value, options in given:
        expected = state
        if "float16" in what:
            expected = {
                k: v.half().float() if v.is_floating_point() else v for k, v in state.items()
            }
        if "tracked" in what:
            expected = {k: torch.ones_like(v) if "tracked" in k else v for k, v in state.items()}
        yield Case(what, made_by, saved(value), {**ARCH, **options}, expected)
    stream = saved(state, _use_new_zipfile_serialization=False)
    yield Case("weights as a stream", "torch before 1.6", stream, ARCH, state)
    own = nets.Net()
    yield Case(
        "the weights of a pickled module",
        "torch.save(model, f)",
        saved(own),
        {"arch": "legit_nets:Net"},
        own.state_dict(),
    )


def lightning(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    """As Lightning writes: odd classes beside the weights."""
    return {
        "epoch": 3,
        "global_step": 100,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": state,
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint": {"monitor": nets.Mode.FAST, "dir": Path("x")}},
        "hyper_parameters": nets.Config(),
    }


def views(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Every floating-point tensor a view of one flat one, as fused optimisers leave them."""
    floating = {k: v for k, v in state.items() if v.is_floating_point()}
    flat = torch.cat([each.flatten() for each in floating.values()])
    made, place = dict(state), 0
    for name, tensor in floating.items():
        made[name] = flat[place : place + tensor.numel()].view(tensor.shape)
        place += tensor.numel()
    return made


def other_forms() -> Iterator[Case]:
    """Not torch.save."""
    import safetensors.torch

    import bnexport

    net = nets.small().eval()
    state = net.state_dict()
    plain = {name: tensor.contiguous() for name, tensor in state.items()}
    yield Case(
        "safetensors",
        "safetensors.torch.save_file(state, f)",
        lambda path: safetensors.torch.save_file(plain, path),
        ARCH,
        state,
    )

    def program(path: Path) -> None:
        torch.export.save(torch.export.export(net, (torch.randn(2, 3, 8, 8),)), path)

    yield Case("a torch.export archive", "torch.export.save(program, f)", program, {}, state)
    script = torch.jit.script(net)
    yield Case(
        "TorchScript",
        "torch.jit.script(model).save(f)",
        lambda path: script.save(str(path)),
        {"trust_torchscript": True},
        state,
    )
    weights = {name: tensor for name, tensor in state.items() if tensor.ndim == 4}

    def onnx(split: bool) -> Callable[[Path], None]:
        def write(path: Path) -> None:
            made = path.with_name("net.onnx")
            bnexport.convert(
                net, made, inputs=["Nx3x8x8"], fold=False, simplify=False, external_data=split
            )
            path.write_bytes(made.read_bytes())

        return write

    yield Case("ONNX", "torch.onnx.export(...)", onnx(False), {}, weights)
    yield Case(
        "ONNX with external data",
        "torch.onnx.export(..., external_data=True)",
        onnx(True),
        {},
        weights,
    )


def refused() -> Iterator[Case]:
    """What is not read, and says so."""
    net = nets.small()
    quantised = {"weight": torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8)}
    yield Case(
        "quantised weights", "torch.ao.quantization", saved(quantised), ARCH, None, "quantised"
    )
    sparse = {"weight": torch.eye(4).to_sparse()}
    yield Case("sparse weights", "tensor.to_sparse()", saved(sparse), ARCH, None, "sparse")
    yield Case(
        "a class that is not allowed",
        "torch.save(model, f)",
        saved(nets.Net()),
        {},
        None,
        "--allow legit_nets.Net",
    )
    yield Case(
        "weights without an architecture",
        "torch.save(model.state_dict(), f)",
        saved(net.state_dict()),
        {},
        None,
        "--arch",
    )
    hooked = nets.small()
    hooked.register_forward_hook(nets.hook)
    yield Case(
        "a module with hooks of the user's",
        "model.register_forward_hook(...)",
        saved(hooked),
        ALLOW,
        None,
        "hook",
    )
    script = torch.jit.script(net.eval())
    yield Case(
        "TorchScript without trust",
        "torch.jit.script(model).save(f)",
        lambda path: script.save(str(path)),
        {},
        None,
        "--trust-torchscript",
    )

    def cut(path: Path) -> None:
        buffer = io.BytesIO()
        torch.save(net, buffer)
        path.write_bytes(buffer.getvalue()[:-200])

    yield Case("a download that broke off", "curl", cut, {}, None, "again")
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    yield Case(
        "a Git LFS pointer",
        "git clone without git-lfs",
        lambda path: path.write_bytes(pointer),
        {},
        None,
        "git lfs pull",
    )


def of_libraries() -> Iterator[Case]:
    """Networks of timm and torchvision, pickled whole."""
    if importlib.util.find_spec("torchvision"):
        zoo.import_torchvision()
    if importlib.util.find_spec("timm"):
        import timm

        for name in (
            "resnet18",
            "mobilenetv3_small_050",
            "efficientnet_b0",
            "densenet121",
            "regnety_002",
            "convnext_atto",
            "repvgg_a0",
            "ghostnet_050",
            "vit_tiny_patch16_224",
        ):
            net = timm.create_model(name)
            yield Case(
                f"{name} of timm",
                "torch.save(model, f)",
                saved(net),
                {"allow": ("timm",)},
                net.state_dict(),
            )
    if importlib.util.find_spec("torchvision"):
        import torchvision

        for name in (
            "resnet18",
            "mobilenet_v3_small",
            "efficientnet_b0",
            "shufflenet_v2_x0_5",
            "googlenet",
            "swin_t",
        ):
            net = getattr(torchvision.models, name)()
            yield Case(
                f"{name} of torchvision",
                "torch.save(model, f)",
                saved(net),
                {"allow": ("torchvision",)},
                net.state_dict(),
            )
        small = torchvision.models.resnet18()
        options = {"arch": "torchvision.models:resnet18"}
        yield Case(
            "the same, its weights",
            "torch.save(model.state_dict(), f)",
            saved(small.state_dict()),
            options,
            small.state_dict(),
        )


if __name__ == "__main__":
    sys.exit(main())
