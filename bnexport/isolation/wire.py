"""Messages between the caller and its worker: JSON over a socket, bytes beside it in sealed shared memory.

Only JSON and plain bytes: what comes back from a process that a hostile file may have brought down is data, and is read
as such.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import socket
import struct
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Buffer", "Message", "receive", "send"]

Buffer = bytes | bytearray | memoryview

_LENGTH = struct.Struct("<I")
_LONGEST = 64 << 20
_ALIGNED = 64
_MOST_FILES = 200
_MOST_AT_ONCE = 1 << 30
_SEALS = ("F_SEAL_SHRINK", "F_SEAL_GROW", "F_SEAL_WRITE")


@dataclass(frozen=True)
class Message:
    """What one side says to the other.

    Attributes:
        head: JSON.
        blobs: Bytes; of a message that was received, views of memory that nobody can change any more.
        files: Descriptors of open files; those of a message that was received are the receiver's to close.
    """

    head: Mapping[str, Any]
    blobs: Sequence[Buffer] = ()
    files: Sequence[int] = field(default=())


def send(sock: socket.socket, message: Message) -> None:
    """Send a message.

    Raises:
        OSError: The other side is gone, or there is no memory to share.
    """
    sizes = [memoryview(blob).nbytes for blob in message.blobs]
    told = {"head": message.head, "sizes": sizes, "files": len(message.files)}
    text = json.dumps(told).encode()
    shared = _shared(message.blobs) if any(sizes) else None
    try:
        descriptors = [*([] if shared is None else [shared]), *message.files]
        socket.send_fds(sock, [_LENGTH.pack(len(text))], descriptors)
        sock.sendall(text)
    finally:
        if shared is not None:
            os.close(shared)


def receive(sock: socket.socket) -> Message | None:
    """The next message; None when the other side is gone.

    Raises:
        ValueError: What came is no message.
    """
    prefix, descriptors, _, _ = socket.recv_fds(sock, _LENGTH.size, _MOST_FILES)
    try:
        if len(prefix) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack(prefix)
        if length > _LONGEST:
            raise ValueError("a message that is too long")
        text = _exactly(sock, length)
        if text is None:
            return None
        told = json.loads(text)
        sizes = [int(size) for size in told["sizes"]]
        blobs: list[Buffer] = [b""] * len(sizes)
        if any(sizes):
            blobs = _views(descriptors[0], sizes)
            os.close(descriptors.pop(0))
        return Message(told["head"], blobs, tuple(descriptors))
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise


def _exactly(sock: socket.socket, length: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < length:
        part = sock.recv(length - len(parts))
        if not part:
            return None
        parts += part
    return bytes(parts)


def _shared(blobs: Sequence[Buffer]) -> int:
    """One descriptor that holds the blobs, each at an aligned place; on Linux nobody can change it any more."""
    descriptor = _anonymous()
    try:
        position = 0
        for blob in blobs:
            _write(descriptor, memoryview(blob).cast("B"), position)
            position = _aligned(position + memoryview(blob).nbytes)
        os.ftruncate(descriptor, max(position, 1))
        if hasattr(os, "memfd_create"):
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _wanted_seals())
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _anonymous() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("bnexport", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _write(descriptor: int, view: memoryview, position: int) -> None:
    while view:
        written = os.pwrite(descriptor, view[:_MOST_AT_ONCE], position)
        view, position = view[written:], position + written


def _views(descriptor: int, sizes: Sequence[int]) -> list[Buffer]:
    """Views of the memory behind a descriptor, once it is known that the sender cannot cut it off under them."""
    sealed = hasattr(os, "memfd_create")
    if sealed and fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _wanted_seals() != _wanted_seals():
        raise ValueError("shared memory that is not sealed")
    held = os.fstat(descriptor).st_size
    position, places = 0, []
    for size in sizes:
        if size < 0 or position + size > held:
            raise ValueError("a blob that reaches past its memory")
        places.append((position, size))
        position = _aligned(position + size)
    view = memoryview(mmap.mmap(descriptor, held, access=mmap.ACCESS_READ))
    return [view[start : start + size] for start, size in places]


def _wanted_seals() -> int:
    seals = 0
    for name in _SEALS:
        seals |= int(getattr(fcntl, name))
    return seals


def _aligned(position: int) -> int:
    return -(-position // _ALIGNED) * _ALIGNED
