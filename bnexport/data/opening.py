"""Tell the kinds of data apart, and open each."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from torch import nn

from bnexport.data.batches import Batches
from bnexport.data.images import PICTURES, pictures, preparation
from bnexport.data.wanted import DataOptions
from bnexport.errors import Refused, UsageError
from bnexport.inputs.files import stored_arrays
from bnexport.inputs.forward import all_parameters

__all__ = ["open_source"]

_KINDS = "a folder of images, a .npy, .npz or .pt file, package.module:factory, or - for a stream of .npy arrays"


def open_source(source: object, module: nn.Module, options: DataOptions) -> Batches:
    """See `bnexport.data.open_data`."""
    if isinstance(source, str | os.PathLike):
        return _named(os.fspath(source), module, options)
    if isinstance(source, Iterable):
        again = not isinstance(source, Iterator)
        name = type(source).__name__
        return Batches(name, lambda: source, module, limit=options.limit, again=again)
    raise UsageError(f"data of type {type(source).__name__}", "", f"Give {_KINDS}")


def _named(source: Any, module: nn.Module, options: DataOptions) -> Batches:
    path = Path(source)
    if source == "-":
        start = lambda: _stream(sys.stdin.buffer)  # noqa: E731
        return Batches("-", start, module, limit=options.limit, again=False)
    if path.is_dir() or path.suffix.lower() in PICTURES:
        return _images(path, module, options)
    if path.exists():
        return _arrays(path, module, options)
    if ":" in source:
        return _made(source, module, options)
    raise UsageError(f"data {source}", "there is no such file or folder", f"Give {_KINDS}")


def _images(path: Path, module: nn.Module, options: DataOptions) -> Batches:
    found = [path] if path.is_file() else sorted(_within(path))
    if not found:
        why = f"it holds no picture ({', '.join(sorted(PICTURES))})"
        raise UsageError(f"data {path}", why, "Name the folder that the pictures are in")
    how, notes = preparation(module, options.images)
    return Batches(
        str(path),
        lambda: pictures(found, how, options.batch_size),
        module,
        samples=len(found),
        limit=options.limit,
        batch_size=options.batch_size,
        notes=notes,
    )


def _within(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        for name in names:
            if Path(name).suffix.lower() in PICTURES:
                yield Path(place, name)


def _arrays(path: Path, module: nn.Module, options: DataOptions) -> Batches:
    arrays = stored_arrays(path, all_parameters(module))
    counts = {len(array) if array.dim() else 0 for array in arrays.values()}
    if len(counts) > 1 or 0 in counts:
        shapes = ", ".join(f"{name} {tuple(array.shape)}" for name, array in arrays.items())
        remedy = "Store as many samples in each, along the first axis"
        raise UsageError(f"data {path}", f"it holds {shapes}", remedy)
    samples, size = counts.pop(), options.batch_size

    def cut() -> Iterator[Any]:
        for first in range(0, samples, size):
            yield {name: array[first : first + size] for name, array in arrays.items()}

    return Batches(str(path), cut, module, samples=samples, limit=options.limit, batch_size=size)


def _made(source: str, module: nn.Module, options: DataOptions) -> Batches:
    """What a factory of the user's returns; it is called anew for each reading."""
    from bnexport.load.arch import call_factory

    first = [call_factory("--data", source)]
    if not isinstance(first[0], Iterable):
        why = f"it returned a {type(first[0]).__name__}, which yields no batches"
        raise UsageError(f"data {source}", why, "Return a DataLoader or a generator of batches")

    def start() -> Iterator[Any]:
        made: Any = first.pop() if first else call_factory("--data", source)
        yield from made

    return Batches(source, start, module, limit=options.limit)


def _stream(file: BinaryIO) -> Iterator[Any]:
    """Arrays as `numpy.save` writes them, one behind the other: each is a batch."""
    while head := file.read(1):
        try:
            yield np.lib.format.read_array(_Prefixed(head, file), allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            why = f"it is no stream of .npy arrays ({error})"
            remedy = "Write each batch with numpy.save(sys.stdout.buffer, batch)"
            raise Refused("data -", why, remedy) from error


class _Prefixed:
    """A file of which one byte was read to see whether there is more."""

    def __init__(self, head: bytes, file: BinaryIO) -> None:
        self._head, self._file = head, file

    def read(self, size: int = -1) -> bytes:
        head, self._head = self._head, b""
        return head + self._file.read(size if size < 0 else size - len(head))
