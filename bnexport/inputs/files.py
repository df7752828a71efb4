"""Real samples from a file, as examples for a model; reading the file runs nothing in it."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np
import torch

from bnexport.errors import Refused, UsageError
from bnexport.inputs import Examples, InputSpec, complete
from bnexport.inputs.forward import all_parameters, float_dtype

__all__ = ["read_arrays", "read_examples", "read_for_graph", "stored_arrays"]

Arrays = dict[str, torch.Tensor]


def read_examples(path: str | PathLike[str], module: torch.nn.Module) -> Examples:
    """See `bnexport.inputs.read_inputs`."""
    arrays = read_arrays(path, all_parameters(module))
    specs = complete([_spec(name, array, module) for name, array in arrays.items()], module)
    return Examples(specs, tuple(_numpy(arrays[spec.name]) for spec in specs))


def read_for_graph(path: str | PathLike[str], declared: Sequence[InputSpec]) -> Examples:
    """Samples for an ONNX graph, whose declared element types are kept.

    Raises:
        UsageError: The file does not hold what the graph takes.
        Refused: It cannot be read.
    """
    arrays = read_arrays(path, [spec.name for spec in declared])
    missing = [spec.name for spec in declared if spec.name not in arrays]
    if missing:
        raise UsageError(
            f"inputs {path}", f"there is nothing for {', '.join(missing)}", "Store it too"
        )
    specs = [
        replace(
            spec, shape=(None, *arrays[spec.name].shape[1:]) if None in spec.shape else spec.shape
        )
        for spec in declared
    ]
    return Examples(tuple(specs), tuple(_numpy(arrays[spec.name]) for spec in specs))


def read_arrays(path: str | PathLike[str], known: Sequence[str]) -> Arrays:
    """The samples in a file, by the names of the inputs that take them.

    Raises:
        UsageError: There is no such file, or its arrays do not fit the inputs.
        Refused: It cannot be read.
    """
    arrays = stored_arrays(path, known)
    _check(arrays, Path(path))
    return arrays


def stored_arrays(path: str | PathLike[str], known: Sequence[str]) -> Arrays:
    """What a file holds, by the names of the inputs; no more is asked of the arrays.

    Raises:
        UsageError: There is no such file, or a name in it is none of an input.
        Refused: It cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"inputs {path}", "there is no such file", "Give a .npz, .npy or .pt file")
    return _named(_read(path), known, path)


def _numpy(array: torch.Tensor) -> np.ndarray:
    """Numpy has no bfloat16, and float32 holds every value of it."""
    return (array.float() if array.dtype == torch.bfloat16 else array).numpy()


def _read(path: Path) -> Arrays:
    """Arrays by name; what has no name is called ``arr_0``, ``arr_1`` as numpy does."""
    try:
        with path.open("rb") as file:
            is_npy = file.read(6) == b"\x93NUMPY"
        if is_npy or _is_npz(path):
            return _from_numpy(np.load(path, allow_pickle=False))
        return _from_torch(_load_tensors(path), path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise Refused(
            f"inputs {path}",
            f"it cannot be read ({error})",
            "Write it anew with numpy.savez(file, x=array) or torch.save({'x': tensor}, file)",
        ) from error


def _is_npz(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return all(name.endswith(".npy") for name in archive.namelist())


def _from_numpy(loaded: object) -> Arrays:
    if isinstance(loaded, np.ndarray):
        return {"arr_0": torch.tensor(loaded)}
    if not isinstance(loaded, np.lib.npyio.NpzFile):
        raise ValueError("it is no archive of arrays")
    with loaded:
        return {name: torch.tensor(loaded[name]) for name in loaded.files}


def _load_tensors(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, AttributeError, LookupError, TypeError) as error:
        raise ValueError("it is no archive of arrays and no file of plain tensors") from error


def _from_torch(value: object, path: Path) -> Arrays:
    if isinstance(value, torch.Tensor):
        value = [value]
    if isinstance(value, list | tuple):
        value = {f"arr_{place}": item for place, item in enumerate(value)}
    if isinstance(value, Mapping) and all(
        isinstance(key, str) and type(item) is torch.Tensor for key, item in value.items()
    ):
        return {key: item.detach() for key, item in value.items()}
    raise Refused(
        f"inputs {path}",
        "it holds more than a tensor, a tuple or a dict of tensors",
        "Write it with torch.save({'x': tensor}, file)",
    )


def _named(arrays: Arrays, known: Sequence[str], path: Path) -> Arrays:
    if not arrays:
        raise UsageError(f"inputs {path}", "it holds no array", f"Store {', '.join(known)} in it")
    if all(re.fullmatch(r"arr_\d+", name) for name in arrays) and not set(arrays) & set(known):
        ordered = sorted(arrays, key=lambda name: int(name[4:]))
        if len(ordered) <= len(known):
            return {known[place]: arrays[name] for place, name in enumerate(ordered)}
    unknown = [name for name in arrays if name not in known]
    if unknown:
        raise UsageError(
            f"inputs {path}",
            f"it holds {', '.join(arrays)}, and the model takes {', '.join(known)}",
            "Name the arrays after the inputs, and store nothing else",
        )
    return arrays


def _check(arrays: Arrays, path: Path) -> None:
    counts = {name: len(array) for name, array in arrays.items() if array.dim()}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise UsageError(
            f"inputs {path}",
            f"the numbers of samples differ: {said}",
            "Every array's first axis is the sample",
        )
    for name, array in arrays.items():
        if not array.numel():
            raise UsageError(f"inputs {path}", f"{name} is empty", "Store at least one sample")
        if array.is_floating_point() and not array.isfinite().all():
            raise UsageError(f"inputs {path}", f"{name} holds NaN or Inf", "Store finite samples")


def _spec(name: str, array: torch.Tensor, module: torch.nn.Module) -> InputSpec:
    shape = (None, *array.shape[1:]) if array.dim() else ()
    dtype = float_dtype(module) if array.is_floating_point() else array.dtype
    return InputSpec(name, shape, str(dtype).removeprefix("torch."))
