"""Hostile pickles: calls (see `calls`) times places in a file times containers."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hostile.calls import all_calls, text

__all__ = ["Hostile", "every", "fires", "written"]

MAGIC = 0x1950A86A20F9469CFC6C
STORAGE = bytes(64)
LINEAR = b"ctorch.nn.modules.linear\nLinear\n)\x81"
DDP = b"ctorch.nn.parallel.distributed\nDistributedDataParallel\n)\x81"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
PARAMETER = b"ctorch._utils\n_rebuild_parameter\n"
ORDERED = b"ccollections\nOrderedDict\n)R"
STORED = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"I16\ntQ"


def _entries(**values: bytes) -> bytes:
    return b"}(" + b"".join(text(name) + value for name, value in values.items()) + b"u"


def _tensor(size: bytes = b"(I2\nt", stride: bytes = b"(I1\nt", hooks: bytes = ORDERED) -> bytes:
    return REBUILD + b"(" + STORED + b"I0\n" + size + stride + b"\x89" + hooks + b"tR"


def _module(name: bytes = LINEAR, **state: bytes) -> bytes:
    tables = {
        "training": b"\x88",
        "_parameters": _entries(weight=_tensor(), bias=b"N"),
        "_buffers": b"}",
        "_modules": b"}",
    }
    return name + _entries(**{**tables, **state}) + b"b"


def _state_dict(**more: bytes) -> bytes:
    return _entries(weight=_tensor(), bias=_tensor(), **more)


# Where in the file the call stands. Each takes the opcodes of the call, which leave one object on the stack.
PLACES: dict[str, Callable[[bytes], bytes]] = {
    "the root": lambda call: call,
    "beside the weights": lambda call: _state_dict(other=call),
    "a checkpoint's entry": lambda call: _entries(state_dict=_state_dict(), optimizer=call),
    "a weight": lambda call: _entries(weight=call, bias=_tensor()),
    "a key": lambda call: b"}(" + call + b"I1\nu",
    "a set": lambda call: b"\x80\x04\x8f(" + call + b"\x90",
    "deep inside": lambda call: _module(config=b"((((" + call + b"tttt"),
    "an attribute": lambda call: _module(config=call),
    "an instance's forward": lambda call: _module(forward=call),
    "a parameter": lambda call: _module(_parameters=_entries(weight=call)),
    "a buffer": lambda call: _module(_buffers=_entries(mean=call)),
    "a child": lambda call: _module(_modules=_entries(child=call)),
    "a hook": lambda call: _module(_forward_hooks=b"}(I0\n" + call + b"u"),
    "the metadata": lambda call: ORDERED + _entries(_metadata=call) + b"b",
    "the size of a tensor": lambda call: _entries(weight=_tensor(size=call)),
    "the hooks of a tensor": lambda call: _entries(weight=_tensor(hooks=call)),
    "the hooks of a parameter": lambda call: _entries(
        weight=PARAMETER + b"(" + _tensor() + b"\x88" + call + b"tR"
    ),
    "a typed tensor's builder": lambda call: _entries(
        weight=b"ctorch._tensor\n_rebuild_from_type_v2\n(" + call + b"ctorch\nTensor\n)NtR"
    ),
    "the storage's key": lambda call: _entries(
        weight=b"(" + text("storage") + b"ctorch\nFloatStorage\n" + call + text("cpu") + b"I1\ntQ"
    ),
    "a wrapper's state": lambda call: _module(DDP, module=call),
    "inside a wrapper": lambda call: _module(DDP, _modules=_entries(module=call)),
    "the state of an object": lambda call: LINEAR + call + b"b",
}


@dataclass(frozen=True)
class Hostile:
    """One hostile pickle.

    Attributes:
        name: What it tries.
        data: The pickle.
        canary: The file that it makes when it is believed.
        container: ``archive`` or ``stream``.
    """

    name: str
    data: bytes
    canary: Path
    container: str


def every(folder: Path, most: int | None = None) -> Iterator[Hostile]:
    """Calls and places, each call in a part of the places, each place with many calls.

    Args:
        folder: Where canaries go.
        most: How many to make; None: all.
    """
    places = list(PLACES.items())
    made = 0
    for index, (said, (module, name, arguments), encoding) in enumerate(all_calls()):
        for step in range(len(places) // 2):
            where, place = places[(index * 5 + step * 2 + index % 2) % len(places)]
            if made == most:
                return
            canary = folder / f"canary{made}"
            call = encoding(module, name, arguments(str(canary)))
            container = "archive" if made % 3 else "stream"
            head = b"\x80\x02" if made % 2 or container == "stream" else b"\x80\x04"
            yield Hostile(f"{said}, as {where}", head + place(call) + b".", canary, container)
            made += 1


def written(hostile: Hostile, path: Path) -> Path:
    """The file that a user would be sent."""
    if hostile.container == "stream":
        parts = [pickle.dumps(each, 2) for each in (MAGIC, 1001, {"little_endian": True})]
        stored = STORED in hostile.data
        keys = pickle.dumps(["0"] if stored else [], 2)
        weights = (16).to_bytes(8, "little") + STORAGE if stored else b""
        path.write_bytes(b"".join(parts) + hostile.data + keys + weights)
        return path
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/data.pkl", hostile.data)
        archive.writestr("net/version", b"3\n")
        archive.writestr("net/data/0", STORAGE)
    return path


class _Plain(pickle.Unpickler):
    """As torch.load(weights_only=False) reads it."""

    def persistent_load(self, given: object) -> object:
        import torch

        return torch.zeros(16).storage()


def fires(hostile: Hostile) -> bool:
    """Whether plain unpickling makes the canary; it is removed again."""
    import contextlib

    with contextlib.suppress(BaseException):
        held = _Plain(io.BytesIO(hostile.data)).load()
        getattr(held, "wait", getattr(held, "close", lambda: None))()
    found = [hostile.canary, hostile.canary.with_name(f"{hostile.canary.name}.npy")]
    made = [path for path in found if path.exists() or path.is_symlink()]
    for path in made:
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    return bool(made)
