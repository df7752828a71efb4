"""The model with its new statistics, as a file of the kind that was read."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from bnexport.errors import OutputError, Refused
from bnexport.load.loaded import Loaded
from bnexport.load.matching import names_in
from bnexport.load.weights_file import WeightsFile, open_weights
from bnexport.publish import Staging
from bnexport.recalibrate.result import STATISTICS, Recalibration

__all__ = ["check_output", "write"]


def check_output(output: Path, loaded: Loaded, key: str | None) -> None:
    """See, before any work, that the output can be written.

    Raises:
        OutputError: It is the input, or its folder cannot be written.
        Refused: The input is of a kind that cannot be written again.
    """
    if loaded.path is not None:
        if output.resolve() == loaded.path.resolve():
            why = "it is the model that was read"
            raise OutputError(f"cannot write {output}", why, "Name another file")
        open_weights(loaded.path, key)
    Staging(output)


def write(
    output: Path, loaded: Loaded, module: nn.Module, found: Recalibration, key: str | None
) -> None:
    """Write it, whole or not at all.

    Raises:
        OutputError: It cannot be written.
        Refused: The file does not hold the statistics that the model has.
    """
    values = _values(module, found)
    with Staging(output) as staging:
        staged = staging.folder / output.name
        if loaded.path is None:
            state = module.state_dict()
            torch.save({**state, **{n: v.to(state[n].dtype) for n, v in values.items()}}, staged)
        else:
            file = open_weights(loaded.path, key)
            file.write(_in_file(file, module, values), staged)
        staging.commit(output.name, ())


def _values(module: nn.Module, found: Recalibration) -> dict[str, Tensor]:
    """By the names of the state dict: a layer that stands in several places has several."""
    changes = {module.get_submodule(each.name): each for each in found.layers}
    own = module.state_dict()
    values: dict[str, Tensor] = {}
    for name, layer in module.named_modules(remove_duplicate=False):
        if layer not in changes:
            continue
        new = (*changes[layer].after, torch.tensor(found.batches))
        for key, value in zip(STATISTICS, new, strict=True):
            full = f"{name}.{key}" if name else key
            if full in own:
                values[full] = value.reshape(own[full].shape)
    return values


def _in_file(file: WeightsFile, module: nn.Module, values: dict[str, Tensor]) -> dict[str, Tensor]:
    """By the names of the file, which may bear a wrapper's prefix."""
    named = names_in(file.tensors, module.state_dict())
    missing = [name for name in values if name not in named and not name.endswith(STATISTICS[2])]
    if missing:
        why = f"it holds no {missing[0]}"
        raise Refused(str(file.path), why, "Save the model's whole state dict")
    return {
        named[name]: value.reshape(file.tensors[named[name]].shape)
        for name, value in values.items()
        if name in named
    }
