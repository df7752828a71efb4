"""What the worker can do. Each step takes JSON, bytes and descriptors, and gives a message."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bnexport.isolation.arrays import packed, unpacked
from bnexport.isolation.wire import Buffer, Message

__all__ = ["STEPS", "warm"]

Arguments = Mapping[str, Any]
Say = Callable[[Any], None]
Work = Callable[[Arguments, Sequence[Buffer], Sequence[int], Say], Message]

_IMPORTS = {
    "simplify": ("onnxsim",),
    "check": ("onnx", "onnx.checker", "onnx.shape_inference"),
    "open": ("onnxruntime",),
}
# onnxsim imports both where they are, for what is not used here: two seconds and 200 MB.
_UNWANTED = ("torch", "sympy")
_SESSIONS: dict[int, Any] = {}


def warm(step: str) -> None:
    """Import what a step needs."""
    with _without(_UNWANTED):
        for name in _IMPORTS.get(step, ()):
            importlib.import_module(name)
    if step in ("trt", "trt-rtx"):
        from bnexport.targets.tensorrt import builder, find_flavour  # noqa: F401

        find_flavour(step)


@contextmanager
def _without(names: Sequence[str]) -> Iterator[None]:
    """Let imports of these fail, unless they are imported already."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def _simplify(
    arguments: Arguments, blobs: Sequence[Buffer], files: Sequence[int], say: Say
) -> Message:
    from bnexport.isolation.native import simplify_here

    warm("simplify")
    return Message({}, [simplify_here(bytes(blobs[0]), arguments["skipped"])])


def _check(
    arguments: Arguments, blobs: Sequence[Buffer], files: Sequence[int], say: Say
) -> Message:
    from bnexport.isolation.native import check_here

    return Message({"invalid": check_here(bytes(blobs[0]))})


def _infer(
    arguments: Arguments, blobs: Sequence[Buffer], files: Sequence[int], say: Say
) -> Message:
    from bnexport.isolation.native import infer_here

    return Message({}, [infer_here(bytes(blobs[0]))])


def _open(arguments: Arguments, blobs: Sequence[Buffer], files: Sequence[int], say: Say) -> Message:
    from bnexport.isolation.session import Opening, described, open_session

    opening = Opening.from_json(arguments["opening"], files)
    model: Any = bytes(blobs[0]) if arguments["path"] is None else arguments["path"]
    session = open_session(model, opening)
    number = max(_SESSIONS, default=0) + 1
    _SESSIONS[number] = session
    return Message({"session": number, **described(session)})


def _run(arguments: Arguments, blobs: Sequence[Buffer], files: Sequence[int], say: Say) -> Message:
    arrays = unpacked(arguments["arrays"], blobs)
    feeds = dict(zip(arguments["names"], arrays, strict=True))
    results = _SESSIONS[arguments["session"]].run(arguments["outputs"], feeds)
    said, made = packed(results)
    return Message({"arrays": said}, made)


def _close(
    arguments: Arguments, blobs: Sequence[Buffer], files: Sequence[int], say: Say
) -> Message:
    _SESSIONS.pop(arguments["session"], None)
    return Message({})


def _build(
    arguments: Arguments, blobs: Sequence[Buffer], files: Sequence[int], say: Say
) -> Message:
    from bnexport.targets.tensorrt import EngineOptions, build_engine, load_flavour

    info = build_engine(
        Path(arguments["onnx"]),
        Path(arguments["engine"]),
        load_flavour(arguments["flavour"]),
        EngineOptions.from_json(arguments["options"]),
        lambda event: say(asdict(event)),
    )
    return Message({"info": asdict(info)})


STEPS: Mapping[str, Work] = {
    "simplify": _simplify,
    "check": _check,
    "infer": _infer,
    "open": _open,
    "run": _run,
    "close": _close,
    "build": _build,
}
