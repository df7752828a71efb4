"""Hostile graphs: torch.export archives by all four roads that torch's loader runs, TorchScript, and ONNX files."""

from __future__ import annotations

import io
import json
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Graph", "every", "good"]


@dataclass(frozen=True)
class Graph:
    """One file.

    Attributes:
        kind: ``pt2``, ``torchscript`` or ``onnx``.
        name: What it tries.
        path: Where it lies.
        canary: What it makes when it is believed.
    """

    kind: str
    name: str
    path: Path
    canary: Path


def good(folder: Path) -> list[Path]:
    """An honest file of each kind that can be read."""
    return [_exported(folder), _saved(_model(), folder / "good.onnx")]


def every(folder: Path) -> Iterator[Graph]:
    """All of them, each in a folder of its own."""
    made = 0
    for kind, makers in (("pt2", _archives), ("torchscript", _scripts), ("onnx", _graphs)):
        for name, make in makers():
            home = folder / f"graph{made}"
            home.mkdir()
            canary = home / "canary"
            yield Graph(kind, name, make(home, canary), canary)
            made += 1


# torch.export archives

Change = Callable[[dict[str, Any], Path], None]


def _exported(folder: Path) -> Path:
    import torch

    path = folder / "honest.pt2"
    if not path.exists():
        net = torch.nn.Sequential(torch.nn.Linear(2, 2)).eval()
        shapes = ({0: torch.export.Dim.DYNAMIC},)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(net, (torch.randn(3, 2),), dynamic_shapes=shapes)
            torch.export.save(program, path)
    return path


class _Touch:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return (os.system, (f"touch {self.canary}",))


def _pickle(canary: Path) -> bytes:
    """What torch.save makes of an object that runs a command when it is read."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("evil/data.pkl", pickle.dumps(_Touch(canary), 2))
        archive.writestr("evil/version", b"3\n")
    return buffer.getvalue()


EXPRESSIONS = (
    "__import__('os').system('touch CANARY')",
    "(lambda: __import__('os').system('touch CANARY'))()",
    "[__import__('os').system('touch CANARY') for _ in [1]]",
    "(x := __import__('os')).system('touch CANARY')",
    "().__class__.__base__.__subclasses__()",
    "open('CANARY', 'w')",
    "eval(\"open('CANARY', 'w')\")",
    "Symbol('s0', positive=open('CANARY', 'w'))",
    "Symbol(open('CANARY', 'w').name)",
    "Max(1, open('CANARY', 'w'))",
    "Symbol('s0').__class__",
    "f\"{open('CANARY', 'w')}\"",
    "s0 if open('CANARY', 'w') else s0",
    "9**9**9**9",
    "Pow(9, Pow(9, Pow(9, 9)))",
    "1 << 10**10",
    "Add(*open('CANARY', 'w'))",
    "exec(\"open('CANARY', 'w')\")",
    "s0\nopen('CANARY', 'w')",
    "(" * 500 + "1" + ")" * 500,
    "lambda: 0",
    "Symbol('s0')[open('CANARY', 'w')]",
)
TARGETS = (
    "os.system",
    "builtins.eval",
    "torch.ops.evil.run.default",
    "torch.hub.load",
    "_operator.call",
)
TYPES = ("collections.defaultdict", "os.system", "hostile.victims.Table", "collections.namedtuple")


def _archives() -> Iterator[tuple[str, Callable[[Path, Path], Path]]]:
    for text in EXPRESSIONS:
        yield f"expression {text[:40]!r}", _of_program(_expression(text))
    for text in ("open('CANARY', 'w')", "__import__('os').system('touch CANARY')"):
        yield f"guard {text!r}", _of_program(_guard(text))
        yield f"range constraint {text!r}", _of_program(_range(text))
    for target in TARGETS:
        yield f"operator {target}", _of_program(_target(target))
    for kind in TYPES:
        yield f"structure of {kind}", _of_program(_structure(kind))
    yield "custom objects", _of_program(_custom_object)
    yield "named tuples", _of_program(_named_tuples)
    yield "unknown fields", _of_program(lambda program, canary: program.update(hooks=["x"]))
    yield (
        "sample inputs",
        _of_record("sample_inputs/model.pt", lambda data, canary: _pickle(canary)),
    )
    yield "a weight that is a pickle", _pickled_weight
    yield (
        "a constant that is a custom object",
        _of_record("constants_config.json", _custom_constant),
    )
    for name in ("data/aotinductor/model/a.so", "data/constants/custom_obj_0", "data/evil.pt"):
        yield f"a record {name}", _with_record(name)
    yield "two programs", _with_record("models/other.json")


def _rewritten(
    home: Path, change: Callable[[str, bytes], bytes], more: dict[str, bytes] | None = None
) -> Path:
    path = home / "hostile.pt2"
    with zipfile.ZipFile(_exported(home.parent)) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
        top = old.namelist()[0].split("/")[0]
        for name, data in (more or {}).items():
            new.writestr(f"{top}/{name}", data)
    return path


def _of_record(record: str, change: Callable[[bytes, Path], bytes]) -> Callable[[Path, Path], Path]:
    def make(home: Path, canary: Path) -> Path:
        return _rewritten(
            home, lambda name, data: change(data, canary) if name.endswith(record) else data
        )

    return make


def _of_program(change: Change) -> Callable[[Path, Path], Path]:
    def apply(data: bytes, canary: Path) -> bytes:
        program = json.loads(data)
        change(program, canary)
        return json.dumps(program).encode()

    return _of_record("models/model.json", apply)


def _expression(text: str) -> Change:
    def change(program: dict[str, Any], canary: Path) -> None:
        values = program["graph_module"]["graph"]["tensor_values"]
        values["input"]["sizes"][0]["as_expr"]["expr_str"] = text.replace("CANARY", str(canary))

    return change


def _guard(text: str) -> Change:
    return lambda program, canary: program.update(guards_code=[text.replace("CANARY", str(canary))])


def _range(text: str) -> Change:
    return lambda program, canary: program.update(
        range_constraints={text.replace("CANARY", str(canary)): {"min_val": 0, "max_val": 9}}
    )


def _target(target: str) -> Change:
    def change(program: dict[str, Any], canary: Path) -> None:
        program["graph_module"]["graph"]["nodes"][0]["target"] = target

    return change


def _structure(kind: str) -> Change:
    def change(program: dict[str, Any], canary: Path) -> None:
        call = program["graph_module"]["module_call_graph"][0]["signature"]
        spec = json.loads(call["in_spec"])
        spec[1]["children_spec"][1]["type"] = kind
        call["in_spec"] = json.dumps(spec)

    return change


def _custom_object(program: dict[str, Any], canary: Path) -> None:
    program["graph_module"]["graph"]["custom_obj_values"] = {
        "o": {"name": "o", "class_fqn": "hostile.victims.SetsState"}
    }


def _named_tuples(program: dict[str, Any], canary: Path) -> None:
    program["graph_module"]["treespec_namedtuple_fields"] = {"os.system": {"field_names": ["a"]}}


def _pickled_weight(home: Path, canary: Path) -> Path:
    def change(name: str, data: bytes) -> bytes:
        if name.endswith("weights_config.json"):
            config = json.loads(data)
            config["config"]["0.weight"]["use_pickle"] = True
            return json.dumps(config).encode()
        return _pickle(canary) if name.endswith("data/weights/weight_0") else data

    return _rewritten(home, change)


def _custom_constant(data: bytes, canary: Path) -> bytes:
    config = {"c": {"path_name": "custom_obj_0", "is_param": False, "use_pickle": True}}
    return json.dumps({"config": config}).encode()


def _with_record(name: str) -> Callable[[Path, Path], Path]:
    return lambda home, canary: _rewritten(
        home, lambda _, data: data, {name: b"\x7fELF" + _pickle(canary)}
    )


# TorchScript


def _scripts() -> Iterator[tuple[str, Callable[[Path, Path], Path]]]:
    yield "a scripted module", lambda home, canary: _scripted(home)
    yield "with a pickle for its constants", lambda home, canary: _scripted(home, canary)


def _scripted(home: Path, canary: Path | None = None) -> Path:
    import torch

    path = home / "script.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(torch.nn.Linear(1, 1)).save(str(path))  # type: ignore[no-untyped-call]
    if canary is not None:
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("script/code/evil.pkl", pickle.dumps(_Touch(canary), 2))
    return path


# ONNX


def _model(text: str = "{ y = MatMul(x, w) }") -> Any:
    import onnx
    from onnx.parser import parse_model

    head = '<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]> n (float[N, 4] x) => (float[N, 4] y)'
    model = parse_model(head + text)
    if "w" in {name for node in model.graph.node for name in node.input}:
        model.graph.initializer.append(onnx.helper.make_tensor("w", 1, (4, 4), [0.0] * 16))
    return model


def _saved(model: Any, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def _graphs() -> Iterator[tuple[str, Callable[[Path, Path], Path]]]:
    locations = (
        "../outside",
        "/etc/hostname",
        "/dev/zero",
        "a/../../outside",
        "",
        ".",
        "w\0x",
        "w\\x",
    )
    for location in locations:
        yield f"external data at {location!r}", _external(location)
    for kind in ("symbolic link", "hard link", "pipe", "folder", "linked folder"):
        yield f"external data by a {kind}", _linked(kind)
    yield "external data with a wrong length", _external("w", length="10")
    yield "external data at a negative offset", _external("w", offset="-8")
    yield "external data at a huge offset", _external("w", offset=str(1 << 62))
    yield "external data of unknown form", _external("w", plugin="evil.so")
    yield (
        "an engine from elsewhere",
        _text(
            '{ y = com.microsoft.EPContext <ep_cache_context = "/etc/passwd", embed_mode = 0> (x) }'
        ),
    )
    yield "a custom operator", _text("{ y = evil.Run(x) }")
    yield "a negative dimension", _changed(lambda model: _shape(model, (-4, 4)))
    yield "a huge shape", _changed(lambda model: _shape(model, (1 << 40, 1 << 40)))
    yield (
        "two weights of one name",
        _changed(lambda model: model.graph.initializer.append(model.graph.initializer[0])),
    )
    yield "a cycle", _text("{ y = Add(x, y) }")
    yield "nodes that compute one name", _text("{ y = Relu(x) y = Relu(x) }")
    yield "branches without end", _changed(_nested)
    yield "functions that call each other", _changed(_functions)
    yield "an opset of the future", _changed(lambda model: _opset(model, 10**6))
    yield "a sparse weight", _changed(lambda model: model.graph.sparse_initializer.add())


def _text(text: str) -> Callable[[Path, Path], Path]:
    return lambda home, canary: _saved(_model(text), home / "hostile.onnx")


def _changed(change: Callable[[Any], Any]) -> Callable[[Path, Path], Path]:
    def make(home: Path, canary: Path) -> Path:
        model = _model()
        change(model)
        return _saved(model, home / "hostile.onnx")

    return make


def _external(location: str, **fields: str) -> Callable[[Path, Path], Path]:
    def make(home: Path, canary: Path) -> Path:
        (home.parent / "outside").write_bytes(bytes(64))
        (home / "w").write_bytes(bytes(64))
        return _pointing(home, location, **fields)

    return make


def _linked(kind: str) -> Callable[[Path, Path], Path]:
    def make(home: Path, canary: Path) -> Path:
        outside, inside = home.parent / "outside", home / "w"
        outside.write_bytes(bytes(64))
        if kind == "symbolic link":
            inside.symlink_to(outside)
        elif kind == "hard link":
            os.link(outside, inside)
        elif kind == "pipe":
            os.mkfifo(inside)
        elif kind == "folder":
            inside.mkdir()
        else:
            (home / "link").symlink_to(home.parent)
            return _pointing(home, "link/outside")
        return _pointing(home, "w")

    return make


def _pointing(home: Path, location: str, **fields: str) -> Path:
    import onnx

    model = _model()
    tensor = model.graph.initializer[0]
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": location, **fields}.items():
        tensor.external_data.add(key=key, value=value)
    return _saved(model, home / "hostile.onnx")


def _shape(model: Any, shape: tuple[int, ...]) -> None:
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend(shape)


def _nested(model: Any) -> None:
    """An If in an If in an If: deeper than a reader's stack."""
    import onnx

    for _ in range(40):
        inner = onnx.GraphProto(name="g")
        inner.CopyFrom(model.graph)
        del inner.input[:]
        node = onnx.helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
        del model.graph.node[:]
        model.graph.node.append(node)
        if model.ByteSize() > 1 << 19:
            break


def _functions(model: Any) -> None:
    import onnx

    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("own", 1)]
    for name, other in (("A", "B"), ("B", "A")):
        node = onnx.helper.make_node(other, ["a"], ["b"], domain="own")
        model.functions.append(onnx.helper.make_function("own", name, ["a"], ["b"], [node], opsets))
    del model.graph.node[:]
    model.graph.node.append(onnx.helper.make_node("A", ["x"], ["y"], domain="own"))
    model.opset_import.append(opsets[1])


def _opset(model: Any, version: int) -> None:
    model.opset_import[0].version = version
