"""What `run` and `bench` are given: a file of any kind that runs, what it takes, and which runtimes serve it."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import onnx_ir as ir
import torch

from bnexport.errors import Refused, UsageError
from bnexport.inputs.forward import all_parameters, float_dtype, required_parameters
from bnexport.load import load
from bnexport.load.loaded import Loaded
from bnexport.load.onnx_file import declared_onnx
from bnexport.load.sniff import ENGINE_HEADS, Kind, check_file, sniff
from bnexport.passes.modules import copy_module, unwrap
from bnexport.prepare import prepare
from bnexport.signature import Plain
from bnexport.subject import BUILT

if TYPE_CHECKING:
    from bnexport.targets.tensorrt.info import TensorInfo

__all__ = [
    "ENGINE",
    "MODULE",
    "ONNX",
    "SCRIPT",
    "Declared",
    "Model",
    "Reading",
    "open_model",
    "open_models",
]

ENGINE, MODULE, ONNX, SCRIPT = "engine", "module", "onnx", "script"


@dataclass(frozen=True)
class Reading:
    """How the files of PyTorch are read: see `bnexport.load`."""

    arch: str | None = None
    arch_args: Mapping[str, object] | None = None
    allow: Sequence[str] = ()
    allow_partial: bool = False
    trust_torchscript: bool = False
    state_dict_key: str | None = None

    def load(self, source: Path | torch.nn.Module | None, *, arch: bool) -> Loaded:
        """Load a source; ``arch``: whether the architecture is for it."""
        return load(
            source,
            arch=self.arch if arch else None,
            arch_args=self.arch_args if arch else None,
            allow=self.allow,
            allow_partial=self.allow_partial,
            trust_torchscript=self.trust_torchscript,
            state_dict_key=self.state_dict_key,
        )


@dataclass(frozen=True)
class Declared:
    """What a model says of one input.

    Attributes:
        name: Its name.
        dtype: A torch dtype's name; empty: a module says nothing of it.
        shape: With None where an axis is free; None: it says nothing.
    """

    name: str
    dtype: str = ""
    shape: tuple[int | None, ...] | None = None


@dataclass(frozen=True)
class Model:
    """One model that runs.

    Attributes:
        name: What to call it: the file's name.
        kind: ``onnx``, ``engine``, ``module`` or ``script`` (TorchScript).
        path: The file; None: it came as a live module or as code.
        loaded: Of the kinds of PyTorch.
        graph: Of an ONNX file, without its weights' data.
        tensors: What an engine says of its inputs.
    """

    name: str
    kind: str
    path: Path | None = None
    loaded: Loaded | None = None
    graph: ir.Model | None = None
    tensors: tuple[TensorInfo, ...] = field(default=())

    @property
    def module(self) -> torch.nn.Module:
        """The module of a model that is one.

        Raises:
            TypeError: It is none.
        """
        if self.loaded is None or not isinstance(self.loaded.model, torch.nn.Module):
            raise TypeError(f"{self.name} is no module")
        return self.loaded.model

    def declared(self) -> tuple[Declared, ...]:
        """Its inputs, in order; of a module, the parameters that have no default."""
        if self.graph is not None:
            held = self.graph.graph.initializers
            return tuple(_of_value(v) for v in self.graph.graph.inputs if v.name not in held)
        if self.kind == ENGINE:
            return tuple(_of_tensor(each) for each in self.tensors)
        inside = unwrap(self.module)[0]
        return tuple(Declared(name) for name in required_parameters(inside))

    def known(self) -> tuple[str, ...]:
        """Every name that an input may have."""
        if self.kind in (MODULE, SCRIPT):
            return all_parameters(unwrap(self.module)[0])
        return tuple(each.name for each in self.declared())

    def float_dtype(self) -> torch.dtype:
        """What a module computes in."""
        return float_dtype(self.module)

    def plain(self, names: Sequence[str]) -> Plain:
        """The module in eval mode, prepared on a copy, that takes inputs of these names.

        Names that are no parameters of its ``forward`` are taken by their places.

        Raises:
            UsageError: It takes another number of inputs.
        """
        known = self.known()
        if not set(names) <= set(known):
            names = _by_place(self.name, names, [each.name for each in self.declared()], known)
        if self.kind == SCRIPT:
            return Plain(self._script(), names).eval()
        just_built = self.loaded is not None and self.loaded.format in BUILT
        return Plain(prepare(self.module, None, just_built=just_built).module, names).eval()

    def _script(self) -> torch.nn.Module:
        """The script in eval mode; a live one is the caller's, and stays as it is."""
        module = self.module if self.path else copy_module(self.module)
        if hasattr(
            module, "training"
        ):  # a frozen script has lost the flag together with the choice
            module.eval()
        return module


def open_model(source: str | PathLike[str] | torch.nn.Module | None, reading: Reading) -> Model:
    """One model.

    Args:
        source: A file, a live module, or None with ``arch`` alone.
        reading: How the files of PyTorch are read.

    Raises:
        Refused: A file is missing or of no known kind, or would run code.
        UsageError: An option does not fit.
    """
    if source is not None and reading.arch is not None and not _wants_code(source):
        name = Path(source).name if isinstance(source, str | PathLike) else type(source).__name__
        why = f"{name} is a whole model and needs no code beside it"
        raise UsageError("--arch", why, "Leave it out")
    (model,) = open_models([] if source is None else [source], reading)
    return model


def open_models(
    sources: Sequence[str | PathLike[str] | torch.nn.Module], reading: Reading
) -> list[Model]:
    """The models, in order; an architecture that no file is the weights of comes first.

    Raises:
        Refused: See `open_model`.
        UsageError: See `open_model`.
    """
    wanting = [_wants_code(each) for each in sources]
    models = [_opened(*each, reading) for each in zip(sources, wanting, strict=True)]
    if reading.arch is not None and not any(wanting):
        models.insert(0, replace(_of_loaded(reading.load(None, arch=True)), name=reading.arch))
    if not models:
        raise UsageError("no model", "neither a file nor --arch is given", "Give one of them")
    return _told_apart(models)


def _told_apart(models: Sequence[Model]) -> list[Model]:
    """Each under a name of its own: by the whole path where files share one, and then by a number."""
    shared = Counter(model.name for model in models)
    seen = Counter[str]()
    made: list[Model] = []
    for model in models:
        alone = model.path is None or shared[model.name] == 1
        name = model.name if alone else str(model.path)
        seen[name] += 1
        made.append(replace(model, name=name if seen[name] == 1 else f"{name} ({seen[name]})"))
    return made


def _opened(
    source: str | PathLike[str] | torch.nn.Module, wants_code: bool, reading: Reading
) -> Model:
    if isinstance(source, torch.nn.Module):
        return _of_loaded(reading.load(source, arch=False))
    path = check_file(source)
    if _head(path) in ENGINE_HEADS:
        return _engine(path)
    graph = _graph(path)
    if graph is not None:
        return Model(path.name, ONNX, path, graph=graph)
    return _of_loaded(reading.load(path, arch=wants_code), path)


def _of_loaded(loaded: Loaded, path: Path | None = None) -> Model:
    if isinstance(loaded.model, ir.Model):
        raise Refused(loaded.name, "it holds no graph with an output")
    kind = SCRIPT if isinstance(loaded.model, torch.jit.ScriptModule) else MODULE
    return Model(path.name if path else loaded.name, kind, path, loaded)


def _engine(path: Path) -> Model:
    from bnexport.targets.tensorrt.info import TensorInfo
    from bnexport.targets.tensorrt.sidecar import read_sidecar

    try:
        told = [
            TensorInfo(str(each["name"]), str(each["dtype"]), tuple(map(int, each["shape"])))
            for each in read_sidecar(path)["inputs"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        what = f"engine {path} will not be opened"
        raise Refused(what, f"its sidecar lacks {error}", "Convert the model again") from error
    return Model(path.name, ENGINE, path, tensors=tuple(told))


def _wants_code(source: str | PathLike[str] | torch.nn.Module) -> bool:
    """Whether ``--arch`` builds the module that a file is for: it holds weights or a pickled module."""
    if isinstance(source, torch.nn.Module):
        return False
    path = check_file(source)
    if _head(path) in ENGINE_HEADS:
        return False
    kind = sniff(path)
    if kind is not Kind.ZIP:
        return kind is not Kind.UNKNOWN
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return True
    marks = ("/constants.pkl", "/archive_format", "/serialized_exported_program.json")
    return not any(name.endswith(marks) or "/code/" in name for name in names)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def _graph(path: Path) -> ir.Model | None:
    if _head(path) == b"PK\x03\x04":
        return None
    model = declared_onnx(path)
    return None if model is None else ir.from_proto(model)


def _of_value(value: ir.Value) -> Declared:
    names = {"float": "float32", "double": "float64"}
    dtype = value.dtype.name.lower() if value.dtype else ""
    shape = None
    if value.shape is not None:
        shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    return Declared(value.name or "", names.get(dtype, dtype), shape)


def _of_tensor(tensor: TensorInfo) -> Declared:
    shape = tuple(None if size < 0 else size for size in tensor.shape)
    return Declared(tensor.name, tensor.dtype, shape)


def _by_place(
    what: str, names: Sequence[str], required: Sequence[str], known: Sequence[str]
) -> tuple[str, ...]:
    ordered = [*required, *(name for name in known if name not in required)]
    if not len(required) <= len(names) <= len(ordered):
        why = f"its forward takes {', '.join(known) or 'none'}, and {', '.join(names)} are given"
        raise UsageError(f"{what} takes other inputs", why, "Name them with --input NAME:SHAPE")
    return tuple(ordered[: len(names)])
