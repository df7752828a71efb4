"""Limits: checked before the memory is taken, named in the message, raised by an option."""

import json
import tracemalloc
import zipfile

import pytest
import safetensors.torch
import torch

import bnexport
from bnexport import Limits, UsageError
from bnexport.cli import main
from bnexport.load import load
from bnexport.load.errors import TooLarge
from bnexport.load.limits import in_force


@pytest.fixture
def module(saved):
    return saved(torch.nn.Sequential(*(torch.nn.Linear(40, 40) for _ in range(4))))


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        ("pickle_bytes", 100),
        ("records", 3),
        ("classes", 1),
        ("tensor_bytes", 1000),
        ("total_bytes", 10_000),
        ("depth", 1),
        ("objects", 20),
    ],
)
def test_each_is_named_with_the_option_that_raises_it(limit, value, module):
    option = limit.replace("_", "-")
    with Limits(**{limit: value}).applied(), pytest.raises(TooLarge) as raised:
        load(module)
    assert raised.value.limit == limit
    assert f"the limit {option} is {value:,}" in raised.value.why
    assert f"--file-limit {option}={value * 4}" in raised.value.remedy
    assert isinstance(load(module).model, torch.nn.Module)


def test_weights_and_graphs_have_them_too(tmp_path, module):
    net = torch.nn.Linear(40, 40)
    safetensors.torch.save_file(net.state_dict(), tmp_path / "w.safetensors")
    bnexport.convert(net, tmp_path / "m.onnx", inputs=["Nx40"])
    with Limits(total_bytes=100).applied():
        for path in (tmp_path / "w.safetensors", tmp_path / "m.onnx"):
            with pytest.raises(TooLarge, match="total-bytes"):
                load(path, **({"arch": "torch.nn:ReLU"} if "safe" in path.name else {}))
    with Limits(nodes=1).applied():
        assert load(tmp_path / "m.onnx")


def test_a_header_that_lies_takes_no_memory(tmp_path):
    """A record of a terabyte, by its directory; a weight of a terabyte, by its shape."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [1 << 38], "data_offsets": [0, 1 << 40]}})
    lying = tmp_path / "w.safetensors"
    lying.write_bytes(len(header).to_bytes(8, "little") + header.encode())
    tracemalloc.start()
    try:
        with pytest.raises(bnexport.Refused):
            load(lying, arch="torch.nn:ReLU")
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_a_bomb_in_torchscript_is_seen_before_torch_unpacks_it(tmp_path):
    path = tmp_path / "bomb.pt"
    torch.jit.script(torch.nn.ReLU()).save(str(path))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/code/bomb.py", bytes(50 << 20))
    with pytest.raises(TooLarge, match=r"unpacks to \d+ times its size; the limit ratio is 200"):
        load(path, trust_torchscript=True)


def test_they_hold_for_the_block_alone():
    with Limits(depth=7).applied():
        assert in_force().depth == 7
    assert in_force() == Limits()
    with pytest.raises(UsageError, match="the limit depth"):
        Limits(depth=0)


def test_the_option(module, capfd):
    assert main(["inspect", str(module), "--file-limit", "tensor-bytes=1kB"]) == 3
    assert "the limit tensor-bytes is 1,000" in capfd.readouterr().err
    assert (
        main(
            [
                "inspect",
                str(module),
                "--file-limit",
                "tensor_bytes=1MiB",
                "--file-limit",
                "depth=99",
            ]
        )
        == 0
    )
    assert in_force() == Limits()


@pytest.mark.parametrize("text", ["size=3", "depth", "depth=", "depth=much", "depth=0"])
def test_an_option_that_is_wrong(text, module, capfd):
    assert main(["inspect", str(module), "--file-limit", text]) == 2
