"""Good files of every kind, and the same with bytes flipped, cut, spliced, zeroed, or lengths changed: by a seed."""

from __future__ import annotations

import io
import json
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["HARMS", "build", "corrupted", "good_files"]


def build() -> Any:
    """The network that the weights are of."""
    import torch

    torch.manual_seed(0)
    return torch.nn.Sequential(
        *(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.GELU()),
        *(torch.nn.Flatten(), torch.nn.Linear(64, 2)),
    )


def good_files(folder: Path) -> dict[str, Path]:
    """One small file of each kind that bnexport reads."""
    import onnx
    import safetensors.torch
    import torch
    from onnx.parser import parse_model

    import bnexport

    net = build().eval()
    files: dict[str, Path] = {}

    def put(name: str, data: bytes) -> None:
        files[name] = folder / name
        files[name].write_bytes(data)

    for name, value in (("module", net), ("weights", net.state_dict())):
        for form, zipped in (("zip", True), ("stream", False)):
            buffer = io.BytesIO()
            torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
            put(f"{name}.{form}.pt", buffer.getvalue())
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(net, (torch.randn(2, 3, 6, 6),)), buffer)
    put("program.pt2", buffer.getvalue())
    put("weights.safetensors", safetensors.torch.save(net.state_dict()))
    bnexport.convert(net, folder / "plain.onnx", inputs=["Nx3x6x6"])
    files["plain.onnx"] = folder / "plain.onnx"
    report = json.loads((folder / "plain.onnx.report.json").read_text())
    put("plain.report.json", json.dumps(report).encode())
    text = '<ir_version: 8, opset_import: ["" : 17]> n (float[N, 300] x) => (float[N, 9] y) { y = MatMul(x, w) }'
    model = parse_model(text)
    weight = torch.randn(300, 9).numpy()
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    onnx.save(model, folder / "split.onnx", save_as_external_data=True, location="split.data")
    files["split.onnx"] = folder / "split.onnx"
    try:
        import tensorrt_rtx  # noqa: F401
    except ImportError:
        return files
    bnexport.convert(net, folder / "net.engine", target="trt-rtx", inputs=["Nx3x6x6"])
    files["net.engine"] = folder / "net.engine"
    return files


Harm = Callable[[random.Random, bytearray, bytes], bytearray]


def _flip(source: random.Random, data: bytearray, other: bytes) -> bytearray:
    for _ in range(source.choice((1, 1, 2, 8, 64))):
        data[source.randrange(len(data))] ^= 1 << source.randrange(8)
    return data


def _near_the_ends(source: random.Random, data: bytearray, other: bytes) -> bytearray:
    """Heads and directories lie there."""
    for _ in range(source.choice((1, 2, 4))):
        place = source.randrange(min(400, len(data)))
        data[place if source.random() < 0.5 else -1 - place] = source.randrange(256)
    return data


def _cut(source: random.Random, data: bytearray, other: bytes) -> bytearray:
    return data[: source.randrange(len(data))]


def _cut_out(source: random.Random, data: bytearray, other: bytes) -> bytearray:
    start = source.randrange(len(data))
    del data[start : start + source.choice((1, 2, 16, 300))]
    return data


def _splice(source: random.Random, data: bytearray, other: bytes) -> bytearray:
    """A piece of another file in the place of one's own."""
    size = source.choice((4, 64, 1000))
    start, from_ = source.randrange(len(data)), source.randrange(len(other))
    data[start : start + size] = other[from_ : from_ + size]
    return data


def _halves(source: random.Random, data: bytearray, other: bytes) -> bytearray:
    cut = source.randrange(len(data))
    return data[:cut] + other[min(cut, len(other)) :]


def _zeroed(source: random.Random, data: bytearray, other: bytes) -> bytearray:
    start, size = source.randrange(len(data)), source.choice((8, 512, 4096))
    data[start : start + size] = bytes(len(data[start : start + size]))
    return data


def _length(source: random.Random, data: bytearray, other: bytes) -> bytearray:
    """Four or eight bytes that may be a length become a large one."""
    width = source.choice((2, 4, 8))
    start = source.randrange(max(1, len(data) - width))
    number = source.choice(
        (0, 1, 255, 65535, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, (1 << 62), (1 << 64) - 1)
    )
    data[start : start + width] = (number & ((1 << 8 * width) - 1)).to_bytes(width, "little")
    return data


def _again(source: random.Random, data: bytearray, other: bytes) -> bytearray:
    start, size = source.randrange(len(data)), source.choice((16, 200, 3000))
    data[start:start] = data[start : start + size] * source.choice((1, 3))
    return data


HARMS: dict[str, Harm] = {
    "bits flipped": _flip,
    "head or tail": _near_the_ends,
    "truncated": _cut,
    "cut out": _cut_out,
    "spliced": _splice,
    "two halves": _halves,
    "zeroed": _zeroed,
    "a length": _length,
    "repeated": _again,
}


def corrupted(seed: int, files: dict[str, Path]) -> tuple[str, str, bytes]:
    """The kind of file, the harm, and the bytes of case ``seed``."""
    source = random.Random(seed)
    kind = list(files)[seed % len(files)]
    harm = source.choice(list(HARMS))
    other = files[source.choice(list(files))].read_bytes()
    data = bytearray(files[kind].read_bytes())
    return kind, harm, bytes(HARMS[harm](source, data, other))
