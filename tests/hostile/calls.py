"""Calls that a hostile pickle may ask for, and the ways to ask: callables times encodings."""

from __future__ import annotations

from collections.abc import Callable, Iterator

__all__ = ["ENCODINGS", "PAYLOADS", "all_calls", "registered", "text"]

Payload = tuple[str, str, Callable[[str], list[bytes]]]


def text(value: str) -> bytes:
    """A string on the stack."""
    data = value.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def number(value: int) -> bytes:
    """A whole number on the stack."""
    return f"I{value}\n".encode()


def _shell(canary: str) -> list[bytes]:
    return [text(f"touch {canary}")]


def _python(canary: str) -> list[bytes]:
    return [text(f"open({canary!r}, 'w').close()")]


def _argv(canary: str) -> list[bytes]:
    return [b"(" + text("touch") + text(canary) + b"l"]


def _path(*more: bytes) -> Callable[[str], list[bytes]]:
    return lambda canary: [text(canary), *more]


# (module, name, arguments): each makes the canary. The last ones need classes, for the encodings that want one.
PAYLOADS: tuple[Payload, ...] = (
    ("os", "system", _shell),
    ("posix", "system", _shell),
    ("os", "popen", _shell),
    ("subprocess", "call", _argv),
    ("subprocess", "check_output", _argv),
    ("subprocess", "getoutput", _shell),
    ("subprocess", "Popen", _argv),
    ("builtins", "exec", _python),
    ("builtins", "eval", _python),
    ("builtins", "open", _path(text("w"))),
    ("io", "open", _path(text("w"))),
    ("codecs", "open", _path(text("w"))),
    ("os", "mkdir", _path()),
    ("os", "mkfifo", _path()),
    ("os", "symlink", lambda canary: [text("/"), text(canary)]),
    ("shutil", "copyfile", lambda canary: [text("/etc/hostname"), text(canary)]),
    (
        "timeit",
        "timeit",
        lambda canary: [*_python(canary), text("pass"), b"ctime\ntime\n", number(1)],
    ),
    ("torch", "save", lambda canary: [number(1), text(canary)]),
    ("numpy", "save", lambda canary: [text(f"{canary}.npy"), number(1)]),
    ("numpy", "savetxt", lambda canary: [text(canary), b"(I1\nl"]),
    ("_io", "FileIO", _path(text("w"))),
    ("logging", "FileHandler", _path()),
    ("sqlite3", "connect", _path()),
    ("zipfile", "ZipFile", _path(text("w"))),
)

_CODES = {(module, name): 100 + index for index, (module, name, _) in enumerate(PAYLOADS)}

Encoding = Callable[[str, str, list[bytes]], bytes]


def _tuple(arguments: list[bytes]) -> bytes:
    return b"(" + b"".join(arguments) + b"t"


def _global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _short(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def _stacked(module: str, name: str) -> bytes:
    return _short(module) + _short(name) + b"\x93"


def _python2(module: str, name: str) -> bytes:
    old = {"builtins": "__builtin__"}.get(module, module)
    return b"\x80\x02" + _global(old, name)


def _through_map(module: str, name: str, arguments: list[bytes]) -> bytes:
    """``list(map(function, [first], [second], ...))``: no REDUCE names the function."""
    lists = b"".join(b"(" + each + b"l" for each in arguments)
    mapped = _global("builtins", "map") + b"(" + _global(module, name) + lists + b"tR"
    return _global("builtins", "list") + b"(" + mapped + b"tR"


def _through_partial(module: str, name: str, arguments: list[bytes]) -> bytes:
    """A partial whose state is set by BUILD, and which is then called."""
    made = _global("functools", "partial") + b"(" + _global("builtins", "str") + b"tR"
    state = b"(" + _global(module, name) + _tuple(arguments) + b"}Nt"
    return made + state + b"b)R"


def _through_import(module: str, name: str, arguments: list[bytes]) -> bytes:
    imported = _global("importlib", "import_module") + b"(" + text(module) + b"tR"
    found = _global("builtins", "getattr") + b"(" + imported + text(name) + b"tR"
    return found + _tuple(arguments) + b"R"


def _through_attrgetter(module: str, name: str, arguments: list[bytes]) -> bytes:
    home = _global("sys", "modules")
    imported = _global("importlib", "import_module") + b"(" + text(module) + b"tR0"
    getter = _global("operator", "itemgetter") + b"(" + text(module) + b"tR(" + home + b"tR"
    found = _global("operator", "attrgetter") + b"(" + text(name) + b"tR(" + getter + b"tR"
    return imported + found + _tuple(arguments) + b"R"


def _through_call(module: str, name: str, arguments: list[bytes]) -> bytes:
    """``operator.call(partial(f, ...))``."""
    bound = (
        _global("functools", "partial") + b"(" + _global(module, name) + b"".join(arguments) + b"tR"
    )
    return _global("operator", "call") + b"(" + bound + b"tR"


def _extension(module: str, name: str, arguments: list[bytes]) -> bytes:
    """By a number of copyreg's registry, which `registered` fills."""
    return b"\x82" + bytes([_CODES[module, name]]) + _tuple(arguments) + b"R"


def registered() -> None:
    """Give every payload its number, as a hostile package on the machine might have."""
    import copyreg

    for (module, name), code in _CODES.items():
        copyreg.add_extension(module, name, code)


ENCODINGS: dict[str, Encoding] = {
    "REDUCE": lambda m, n, a: _global(m, n) + _tuple(a) + b"R",
    "REDUCE of protocol 4": lambda m, n, a: b"\x80\x04" + _stacked(m, n) + _tuple(a) + b"R",
    "names from the memo": lambda m, n, a: (
        _short(m) + b"p90\n0" + _short(n) + b"p91\n0g90\ng91\n\x93" + _tuple(a) + b"R"
    ),
    "callable from the memo": lambda m, n, a: _global(m, n) + b"p92\n0N0g92\n" + _tuple(a) + b"R",
    "arguments from the memo": lambda m, n, a: _tuple(a) + b"p93\n0" + _global(m, n) + b"g93\nR",
    "INST": lambda m, n, a: b"(" + b"".join(a) + f"i{m}\n{n}\n".encode(),
    "OBJ": lambda m, n, a: b"(" + _global(m, n) + b"".join(a) + b"o",
    "NEWOBJ": lambda m, n, a: _global(m, n) + _tuple(a) + b"\x81",
    "NEWOBJ_EX": lambda m, n, a: b"\x80\x04" + _global(m, n) + _tuple(a) + b"}\x92",
    "the names of Python 2": lambda m, n, a: _python2(m, n) + _tuple(a) + b"R",
    "the result thrown away": lambda m, n, a: _global(m, n) + _tuple(a) + b"R0I7\n",
    "a protocol amid the stream": lambda m, n, a: _global(m, n) + b"\x80\x05" + _tuple(a) + b"R",
    "through map": _through_map,
    "through a partial's state": _through_partial,
    "through import_module": _through_import,
    "through attrgetter": _through_attrgetter,
    "through operator.call": _through_call,
    "an extension": _extension,
}


def all_calls() -> Iterator[tuple[str, Payload, Encoding]]:
    """Every payload in every encoding."""
    for payload in PAYLOADS:
        for name, encoding in ENCODINGS.items():
            yield f"{payload[0]}.{payload[1]}, {name}", payload, encoding
