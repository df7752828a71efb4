"""The float16 export gives Inf: energies pass float16's largest number, 65,504, on the way."""

from pathlib import Path

import torch

from models import loud_audio

COMMAND = (
    *("convert", "--arch", "models.loud_audio:build", "--input", "Nx1x2048"),
    *("--precision", "fp16", "-o", "x.onnx"),
)
FINDS = ("filters", "Use --precision mixed", "Nothing was published")


def plant(folder: Path) -> None:
    """Nothing: the command builds the network."""


def symptom(folder: Path) -> dict[str, float]:
    """What of the output is no number, in float32 and in float16."""
    x = torch.randn(4, 1, 2048, generator=torch.Generator().manual_seed(3))
    net = loud_audio.build()
    with torch.no_grad():
        single, half = net(x), net.half()(x.half())
    return {"no numbers in float32": _bad(single), "in float16": _bad(half)}


def repair(folder: Path) -> dict[str, float]:
    """``mixed`` keeps in float32 what float16 breaks, and publishes what agrees."""
    from models.symptoms.commands import run

    mixed = ["mixed" if word == "fp16" else word for word in COMMAND]
    outcome = run(mixed, folder)
    return {"exit code": outcome.code, "float32 layers named": float("filters" in outcome.output)}


def _bad(output: torch.Tensor) -> float:
    return float((~output.isfinite()).sum())
