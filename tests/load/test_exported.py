"""torch.export archives: honest ones load, hostile ones meet no interpreter."""

import json
import os
import zipfile

import pytest
import torch

from bnexport.errors import Refused
from bnexport.load import load
from bnexport.load.program import is_arithmetic


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """A program with a free batch axis, saved under a name that says nothing."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).eval()
    model[1].running_mean.uniform_()
    shapes = ({0: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(model, (torch.randn(2, 3, 6, 6),), dynamic_shapes=shapes)
    path = tmp_path_factory.mktemp("exported") / "program.pt2"
    torch.export.save(program, path)
    return path, model


@pytest.fixture
def canary(tmp_path):
    path = tmp_path / "canary"
    yield path
    assert not path.exists(), "the file's code ran"


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.system, (f"touch {self.path}",))


def changed_json(rewritten, source, record, change):
    def apply(data):
        content = json.loads(data)
        change(content)
        return json.dumps(content).encode()

    return rewritten(source, record, apply)


def test_a_program_loads_with_its_sample(honest):
    path, model = honest
    loaded = load(path)
    assert (loaded.format, loaded.name) == ("exported program", "program")
    assert loaded.example[0].shape == (2, 3, 6, 6)
    x = torch.randn(5, 3, 6, 6)
    torch.testing.assert_close(loaded.model(x), model(x))


def test_nothing_is_said_while_it_loads(honest, capfd, recwarn):
    load(honest[0])
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_keyword_samples_are_not_handed_on(tmp_path):
    class Net(torch.nn.Module):
        def forward(self, x, *, scale):
            return x * scale

    net = Net()
    net.register_buffer("unused", torch.ones(1))
    path = tmp_path / "keywords.pt2"
    sample = {"scale": torch.ones(1)}
    torch.export.save(torch.export.export(net, (torch.ones(2),), sample), path)
    assert load(path).example is None


def test_sample_inputs_are_not_unpickled(honest, rewritten, canary, tmp_path):
    torch.save(Touch(canary), tmp_path / "evil.pt")
    evil = (tmp_path / "evil.pt").read_bytes()
    with pytest.raises(Refused, match=r"system"):
        load(rewritten(honest[0], "sample_inputs/model.pt", lambda _: evil))


def test_a_weight_marked_as_a_pickle_is_refused(honest, rewritten):
    def mark(config):
        config["config"]["0.weight"]["use_pickle"] = True

    path = changed_json(rewritten, honest[0], "model_weights_config.json", mark)
    with pytest.raises(Refused, match=r"'0\.weight' is stored as a pickle"):
        load(path)


def test_guards_are_not_executed(honest, rewritten, canary):
    def guard(program):
        program["guards_code"] = [f"open({str(canary)!r}, 'w')"]

    load(changed_json(rewritten, honest[0], "models/model.json", guard)).model(
        torch.randn(2, 3, 6, 6)
    )


def test_expressions_are_not_evaluated(honest, rewritten, canary):
    def symbol(data):
        program = json.loads(data)
        text = json.dumps(program)
        start = text.index('"expr_str": "') + len('"expr_str": "')
        end = text.index('"', start)
        evil = f"__import__('os').system('touch {canary}')"
        return text.replace(text[start:end], evil).encode()

    with pytest.raises(Refused, match="no plain arithmetic"):
        load(rewritten(honest[0], "models/model.json", symbol))


def test_range_constraints_are_symbols(honest, rewritten, canary):
    def poison(program):
        evil = f"__import__('os').system('touch {canary}')"
        program["range_constraints"] = {evil: {"min_val": 0, "max_val": 9}}

    with pytest.raises(Refused, match="range constraint"):
        load(changed_json(rewritten, honest[0], "models/model.json", poison))


@pytest.mark.parametrize("target", ["os.system", "torch.ops.evil.run", "builtins.eval", 3])
def test_other_operators_are_refused(target, honest, rewritten):
    def poison(program):
        program["graph_module"]["graph"]["nodes"][0]["target"] = target

    with pytest.raises(Refused, match="no operator of torch's own"):
        load(changed_json(rewritten, honest[0], "models/model.json", poison))


def test_native_code_is_refused(honest, tmp_path):
    path = tmp_path / "native.pt2"
    with zipfile.ZipFile(honest[0]) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        new.writestr(old.namelist()[0].split("/")[0] + "/data/aotinductor/model/a.so", b"\x7fELF")
    with pytest.raises(Refused, match="native code"):
        load(path)


@pytest.mark.parametrize(
    "change", [lambda _: b"{", lambda _: b"[]", lambda _: b'{"graph_module": 3}']
)
def test_a_malformed_program_is_refused(change, honest, rewritten):
    with pytest.raises(Refused):
        load(rewritten(honest[0], "models/model.json", change))


@pytest.mark.parametrize(
    "text",
    [
        "Symbol('s31', positive=True, integer=True)",
        "2*s3 + 1",
        "Max(1, s0//2)",
        "Pow(Symbol('s1'), Integer(-2))",
        "s0**2 * s1**2",
    ],
)
def test_arithmetic(text):
    assert is_arithmetic(text)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "s0.__class__",
        "(lambda: 1)()",
        "[x for x in s0]",
        "Symbol('a b')",
        "'s0'.join",
        "9**9**9",
        "Pow(9, Pow(9, 9))",
        "Pow(Pow(9, 16), 16)",
        "(9**16 + 1)**16",
        "2**(s0 + 1)",
        "1 << 999999999",
        "f'{s0}'",
        "Symbol(os)",
        "(" * 500,
        3,
    ],
)
def test_no_arithmetic(text):
    assert not is_arithmetic(text)
