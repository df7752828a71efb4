"""Engines of earlier builds: taken whole or not at all, and never for another request."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import bnexport
from bnexport.errors import UsageError
from bnexport.targets.cuda import Gpu
from bnexport.targets.tensorrt import EngineOptions, Flavour, build_engine, store
from bnexport.targets.tensorrt.apart import build_apart
from bnexport.targets.tensorrt.options import choose_targets
from bnexport.targets.tensorrt.store import EngineStore, key_of

ADA = EngineOptions((1, 4, 8), sm=(89,))


@pytest.fixture
def built(rtx, write, tmp_path):
    path = tmp_path / "m.engine"
    return write(), path, build_engine(write(), path, rtx, ADA)


def key(onnx_path, flavour, options=ADA):
    return key_of([onnx_path], flavour, choose_targets(flavour, options), options)


def test_an_engine_comes_back_with_its_facts(rtx, built, tmp_path):
    onnx_path, path, info = built
    kept = EngineStore(tmp_path / "store")
    name = key(onnx_path, rtx)
    assert kept.take(name, tmp_path / "n.engine") is None
    kept.keep(name, path, info)
    assert kept.take(name, tmp_path / "n.engine") == replace(info, reused=True)
    assert (tmp_path / "n.engine").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("damage", ["flip", "cut", "facts", "gone"])
def test_a_damaged_one_is_built_again(rtx, built, tmp_path, damage):
    onnx_path, path, info = built
    kept, name = EngineStore(tmp_path / "store"), key(onnx_path, rtx)
    kept.keep(name, path, info)
    engine = tmp_path / "store" / name / "engine"
    content = bytearray(engine.read_bytes())
    if damage == "flip":
        content[1000] ^= 1
        engine.write_bytes(content)
    elif damage == "cut":
        engine.write_bytes(content[:1000])
    elif damage == "facts":
        (engine.parent / "engine.json").write_text('{"sha256": 1}')
    else:
        engine.unlink()
    assert kept.take(name, tmp_path / "n.engine") is None
    assert not (tmp_path / "n.engine").exists()
    kept.keep(name, path, info)
    if damage != "gone":
        assert kept.take(name, tmp_path / "n.engine") is not None


def test_the_key_follows_the_weights_the_options_and_the_release(rtx, write):
    path = write()
    other = onnx.load(path)
    weights = onnx.numpy_helper.to_array(other.graph.initializer[0]).copy()
    weights.flat[0] = np.nextafter(weights.flat[0], np.float32(2))
    other.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weights, "w"))
    onnx.save(other, path.with_name("other.onnx"))
    newer = Flavour(rtx.name, "99.0", True, rtx.module)
    keys = [
        key(path, rtx),
        key(path.with_name("other.onnx"), rtx),
        key(path, newer),
        key(path, rtx, replace(ADA, tf32=True)),
        key(path, rtx, replace(ADA, sm=(86,))),
        key(path, rtx, replace(ADA, batch=(1, 4, 16))),
        key(path, rtx, replace(ADA, static=True)),
        key(path, rtx, replace(ADA, optimisation_level=2)),
    ]
    assert len(set(keys)) == len(keys)
    assert key(path, rtx, replace(ADA, timing_cache=Path("elsewhere"))) == keys[0]


def test_what_was_timed_on_one_gpu_is_not_taken_for_another(monkeypatch, tmp_path):
    full, keys = Flavour("tensorrt", "10.9", False, None), set()
    (tmp_path / "m.onnx").write_bytes(b"m")
    for gpu in (Gpu("NVIDIA L4", 89), Gpu("NVIDIA L40", 89)):
        for module in (store, __import__("bnexport.targets.tensorrt.options", fromlist=["x"])):
            monkeypatch.setattr(module, "find_gpu", lambda gpu=gpu: gpu)
        keys.add(key(tmp_path / "m.onnx", full, EngineOptions()))
    assert len(keys) == 2


def test_a_folder_that_cannot_be_written_costs_nothing(rtx, built, tmp_path):
    _, path, info = built
    (tmp_path / "file").write_text("no folder")
    kept = EngineStore(tmp_path / "file" / "store")
    kept.keep("a", path, info)
    assert kept.take("a", tmp_path / "n.engine") is None


def test_a_conversion_takes_it_and_force_does_not(rtx, write, tmp_path, monkeypatch):
    def converted(out, **options):
        return bnexport.convert(write(), tmp_path / out, target="trt-rtx", sm=[89], **options)

    first, second = converted("a.engine"), converted("b.engine")
    sidecar = json.loads((tmp_path / "b.engine.json").read_text())
    assert (first.path.read_bytes(), sidecar["reused"]) == (second.path.read_bytes(), True)
    assert any("earlier build" in note for note in second.document["notes"])
    built = []
    real = build_apart
    monkeypatch.setattr(
        "bnexport.targets.tensorrt.apart.build_apart",
        lambda *args: built.append(1) or real(*args),
    )
    converted("c.engine")
    assert not built
    converted("c.engine", force=True)
    converted("d.engine", engine=EngineOptions(keep_engines=False))
    assert len(built) == 2


def test_what_the_call_says_comes_before_what_the_options_say(rtx, write, tmp_path):
    def converted(out, **options):
        done = bnexport.convert(write(), tmp_path / out, target="trt-rtx", **options)
        return json.loads((tmp_path / f"{out}.json").read_text()), done.document["options"]

    ampere = EngineOptions(sm=(86,), tf32=True)
    sidecar, told = converted("a.engine", engine=ampere)
    assert (sidecar["targets"], sidecar["precision"]) == (["sm_86"], "tf32")
    assert (told["sm"], told["tf32"]) == ([86], True)
    assert converted("b.engine", engine=ampere, sm=[89])[0]["targets"] == ["sm_89"]


def test_options_of_an_engine_need_one(write, tmp_path):
    with pytest.raises(UsageError, match="--target trt"):
        bnexport.convert(write(), tmp_path / "m.onnx", engine=EngineOptions(static=True))
    assert bnexport.convert(write(), tmp_path / "n.onnx", engine=EngineOptions()).ok
