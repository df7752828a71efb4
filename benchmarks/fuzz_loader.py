"""Coverage-guided fuzzing of the loader: whatever the bytes are, it ends in an error of ours or in a model.

    pip install atheris
    python benchmarks/fuzz_loader.py CORPUS [-max_total_time=3600 -rss_limit_mb=2048 -timeout=10 ...]

CORPUS is a folder that grows; it is filled with seeds when it is empty. The first byte of an input says what the rest
is: a whole file of some kind, a pickle that goes into an archive of torch.save, or the program of a torch.export
archive. What follows CORPUS goes to libFuzzer.
"""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import atheris  # type: ignore[import-not-found]

with atheris.instrument_imports(include=["bnexport.load", "pickle", "zipfile"]):
    import bnexport.load.exported
    import bnexport.load.onnx_file  # noqa: F401 - both are imported late, and are to be instrumented
    from bnexport.load.archive import Archive
    from bnexport.load.limits import Limits
    from bnexport.load.program import check_program, is_arithmetic
    from bnexport.load.sources import Request, load_source

from bnexport.errors import BnexportError

MIB = 1 << 20
LIMITS = Limits(
    pickle_bytes=MIB,
    json_bytes=MIB,
    tensor_bytes=16 * MIB,
    total_bytes=32 * MIB,
    objects=20_000,
    nodes=5_000,
)
PLACE = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)) / "fuzzed"
STORAGE = bytes(range(256)) * 4


def main() -> None:
    """Fill the corpus, then fuzz until libFuzzer ends the process."""
    corpus = Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    if not any(corpus.iterdir()):
        for index, seed in enumerate(seeds()):
            (corpus / f"seed{index:03}").write_bytes(seed)
    atheris.Setup([sys.argv[0], *sys.argv[2:], str(corpus)], one)
    atheris.Fuzz()


def one(data: bytes) -> None:
    """One input."""
    if data:
        kinds = tuple(KINDS.values())
        with contextlib.suppress(BnexportError):
            kinds[data[0] % len(kinds)](data[1:])


def whole(data: bytes) -> None:
    """A file, by whatever it looks like."""
    PLACE.write_bytes(data)
    load_source(Request(PLACE, limits=LIMITS))


def weights(data: bytes) -> None:
    """The same, of which the weights are wanted."""
    PLACE.write_bytes(data)
    load_source(Request(PLACE, limits=LIMITS, arch="torch.nn:Identity", allow_partial=True))


def pickled(data: bytes) -> None:
    """A pickle in an archive."""
    whole(in_archive(data))


def legacy(data: bytes) -> None:
    """A pickle in the stream of torch before 1.6."""
    head = b"".join(pickle.dumps(each, 2) for each in (MAGIC, 1001, {}))
    whole(head + data + pickle.dumps(["0"], 2) + (256).to_bytes(8, "little") + STORAGE)


def program(data: bytes) -> None:
    """The graph of a torch.export archive, which torch would evaluate."""
    with contextlib.suppress(ValueError, RecursionError):
        check_program(json.loads(data), "fuzzed", LIMITS)
    is_arithmetic(data.decode(errors="replace"))


def zipped(data: bytes) -> None:
    """The directory of an archive."""
    archive = Archive("fuzzed", io.BytesIO(data), len(data), LIMITS)
    for name in archive.names():
        archive.read(name, MIB)


MAGIC = 0x1950A86A20F9469CFC6C
KINDS: dict[str, Callable[[bytes], None]] = {
    "whole": whole,
    "weights": weights,
    "pickled": pickled,
    "legacy": legacy,
    "program": program,
    "zipped": zipped,
}


def in_archive(data: bytes) -> bytes:
    """A torch.save archive around a pickle, with one storage."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/data.pkl", data)
        archive.writestr("a/data/0", STORAGE)
        archive.writestr("a/version", b"3\n")
    return buffer.getvalue()


def seeds() -> list[bytes]:
    """Small files of every kind, whole, and in the parts that are fuzzed by themselves."""
    import onnx
    import safetensors.torch
    import torch
    from onnx.parser import parse_model

    numbers = {name: bytes([index]) for index, name in enumerate(KINDS)}
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2), torch.nn.GELU())
    files: list[bytes] = []
    for value in (net, net.state_dict(), {"state_dict": net.state_dict(), "epoch": 3}):
        for zip_ in (True, False):
            buffer = io.BytesIO()
            torch.save(value, buffer, _use_new_zipfile_serialization=zip_)
            files.append(buffer.getvalue())
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(net.eval(), (torch.randn(3, 2),)), buffer)
    files.append(buffer.getvalue())
    files.append(safetensors.torch.save({"weight": torch.ones(2, 2)}))
    model = parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> n (float[N, 2] x) => (float[N, 2] y)'
        "<float[2] w = {1, 2}> { h = Mul(x, w) y = Relu(h) }"
    )
    model.graph.node.append(
        onnx.helper.make_node(
            "Constant", [], ["c"], value=onnx.helper.make_tensor("t", 1, [1], [3])
        )
    )
    files.append(model.SerializeToString())
    found = [numbers[kind] + file for file in files for kind in ("whole", "weights")]
    found += [numbers["zipped"] + file for file in files if file.startswith(b"PK")]
    for file in files:
        if file.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(file)) as archive:
                for name in archive.namelist():
                    if name.endswith("data.pkl"):
                        found += [
                            numbers[kind] + archive.read(name) for kind in ("pickled", "legacy")
                        ]
                    if name.endswith("model.json"):
                        found.append(numbers["program"] + archive.read(name))
    found += [
        numbers["program"] + text for text in (b"Max(1, s0*2)", b"Pow(s1, 2) + 3", b"s0 // 2")
    ]
    return found


if __name__ == "__main__":
    main()
