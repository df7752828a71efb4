"""A checkpoint's tensors by the names that they have in the file, and the file again with some of them replaced.

Nothing is taken apart and put together again: the file is copied, and the bytes of the tensors are written over. So
what stands beside them stays as it was to the last bit: optimisers, schedules, classes that are not known here.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from bnexport.errors import Refused
from bnexport.load.archive import Archive, open_archive
from bnexport.load.checkpoint import find, is_module, weights_of, weights_of_module
from bnexport.load.errors import Corrupt, Unsupported
from bnexport.load.limits import Limits, in_force
from bnexport.load.pickled import from_archive
from bnexport.load.safetensors import read_safetensors
from bnexport.load.sniff import Kind, check_file, sniff
from bnexport.load.zip_patch import patch

__all__ = ["WeightsFile", "open_weights", "same"]


@dataclass(frozen=True)
class _Extent:
    """Where a storage lies in the file, and the memory that it was read into."""

    start: int
    memory: torch.UntypedStorage


@dataclass(frozen=True)
class WeightsFile:
    """A file that is open for reading its tensors, and to be written anew.

    Attributes:
        path: The file.
        tensors: By the names in it.
        notes: What of it was used.
        key: The entry of a checkpoint that was named.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    notes: tuple[str, ...] = ()
    key: str | None = None
    _extents: tuple[_Extent, ...] = ()

    def write(self, changes: Mapping[str, Tensor], staged: Path) -> None:
        """Write the file with other values for some tensors, rounded to the dtypes that they have there.

        Args:
            changes: New values by name, of the same shapes.
            staged: Where; another path than that of the file.

        Raises:
            ValueError: A value has another shape.
            Refused: Something else than these would change with them.
        """
        shutil.copyfile(self.path, staged)
        regions = dict(self._changed(changes))
        with staged.open("r+b") as file:
            for start, data in regions.items():
                file.seek(start)
                file.write(data)
            if sniff(self.path) is Kind.ZIP:
                patch(file, regions)
        written = open_weights(staged, self.key).tensors
        for name, value in self.tensors.items():
            expected = changes[name].to(value.dtype) if name in changes else value
            if name not in written or not same(written[name], expected):
                why = f"{name} shares its memory with a tensor that is to change"
                raise Refused(str(self.path), why, "Save it with tensors of their own (clone them)")

    def _changed(self, changes: Mapping[str, Tensor]) -> Iterator[tuple[int, bytes]]:
        """The new bytes of each storage that changes, by where it begins."""
        for extent in self._extents:
            inside = {
                name: value
                for name, value in changes.items()
                if self.tensors[name].untyped_storage().data_ptr() == extent.memory.data_ptr()
            }
            if not inside:
                continue
            data = bytearray(_bytes_of(extent.memory))
            memory = torch.frombuffer(data, dtype=torch.uint8).untyped_storage()
            for name, value in inside.items():
                own = self.tensors[name]
                if own.shape != value.shape:
                    raise ValueError(f"{name}: {tuple(value.shape)} is not {tuple(own.shape)}")
                view = torch.empty(0, dtype=own.dtype)
                view.set_(memory, own.storage_offset(), own.size(), own.stride())
                view.copy_(value)
            yield extent.start, bytes(data)


def same(one: Tensor, other: Tensor) -> bool:
    """Bit for bit: NaN like NaN, and 0 unlike -0."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    first, second = (x.detach().contiguous().reshape(-1).view(torch.uint8) for x in (one, other))
    return torch.equal(first, second)


def _bytes_of(memory: torch.UntypedStorage) -> bytes:
    return torch.empty(0, dtype=torch.uint8).set_(memory).numpy().tobytes()


def open_weights(
    source: str | os.PathLike[str], key: str | None = None, limits: Limits | None = None
) -> WeightsFile:
    """Read the tensors of a checkpoint, a pickled module or a ``.safetensors`` file; nothing in it runs.

    Args:
        source: The file.
        key: The entry of a checkpoint that holds the model.
        limits: The bounds.

    Raises:
        Refused: It cannot be read, or is of a kind that cannot be written again.
    """
    limits, path = limits or in_force(), check_file(source)
    kind = sniff(path)
    try:
        if kind is Kind.SAFETENSORS:
            return _safetensors(path, limits)
        if kind is Kind.ZIP:
            with open_archive(path, limits) as archive:
                return _archive(path, archive, key, limits)
    except RecursionError:
        raise Corrupt(str(path), "its objects nest too deeply") from None
    why = (
        "it is no checkpoint that torch.save has written since version 1.6, nor a .safetensors file"
    )
    raise Unsupported(str(path), why, "Load and save it with a newer torch")


def _archive(path: Path, archive: Archive, key: str | None, limits: Limits) -> WeightsFile:
    if "data.pkl" not in archive or "constants.pkl" in archive:
        why = "it is no checkpoint, but an archive of torch.jit or torch.export"
        raise Refused(str(path), why, "Give the checkpoint that it was made from")
    pickled = from_archive(archive, limits)
    record, notes = find(pickled.root, pickled.path, key)
    read = weights_of_module if is_module(record) else weights_of
    tensors = read(record, pickled.tensors).tensors
    extents = [
        _Extent(archive.extent(f"data/{name}")[0], memory)
        for name, memory in pickled.tensors.storages().items()
    ]
    return WeightsFile(path, tensors, notes, key, tuple(extents))


def _safetensors(path: Path, limits: Limits) -> WeightsFile:
    tensors = {
        name: value.clone() for name, value in read_safetensors(path, limits).tensors.items()
    }
    with path.open("rb") as file:
        header, start = _header(file)
    extents = [
        _Extent(start + header[name]["data_offsets"][0], value.untyped_storage())
        for name, value in tensors.items()
    ]
    return WeightsFile(path, tensors, _extents=tuple(extents))


def _header(file: BinaryIO) -> tuple[Mapping[str, Mapping[str, tuple[int, int]]], int]:
    """What the header says, and where it ends; the library has checked it before."""
    (size,) = struct.unpack("<Q", file.read(8))
    return json.loads(file.read(size)), 8 + size
