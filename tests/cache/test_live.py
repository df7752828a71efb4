"""A live module as a hash, or none where its content does not tell what it does."""

from __future__ import annotations

import importlib
import sys

import pytest
import torch
from torch import nn

from bnexport.cache.live import module_hash

CODE = """
import collections, dataclasses, functools
import torch
from torch import nn

@dataclasses.dataclass
class Settings:
    width: int = 4

class Net(nn.Module):
    gain = 1.0

    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.settings, self.act = Settings(width), nn.functional.relu

    @torch.no_grad()
    def helped(self, x):
        return x

    @property
    def width(self):
        return self.settings.width

    @staticmethod
    def twice(x):
        return 2 * x

    def forward(self, x, scale=1.0):
        return self.act(self.conv(x)) * self.gain * scale

class Slotted:
    __slots__ = ("a",)

class Number(float):
    pass

def made(factor):
    class Local(nn.Module):
        def forward(self, x):
            return x * factor
    return Local()

def decorated(function):
    def call(self, x):
        return 2 * function(self, x)
    return call

class Decorated(nn.Module):
    @decorated
    def forward(self, x):
        return x
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    (tmp_path / "livenets.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield importlib.import_module("livenets")
    sys.modules.pop("livenets", None)


def net(nets, **options):
    torch.manual_seed(0)
    return nets.Net(**options).eval()


def test_the_same_module_has_the_same_hash(nets):
    assert module_hash(net(nets)) == module_hash(net(nets)) is not None


CHANGES = {
    "a weight": lambda m: m.conv.weight.data.add_(1e-7),
    "an attribute of a layer": lambda m: setattr(m.conv, "stride", (2, 2)),
    "an attribute of an object": lambda m: setattr(m.settings, "width", 5),
    "a function": lambda m: setattr(m, "act", nn.functional.gelu),
    "the mode": lambda m: m.train(),
    "an attribute more": lambda m: setattr(m, "more", [1, {"a": torch.ones(2)}]),
    "a class attribute": lambda m: setattr(type(m), "gain", 2.0),
    "a default": lambda m: setattr(type(m).forward, "__defaults__", (2.0,)),
    "a layer's class": lambda m: setattr(m, "conv", nn.Conv2d(3, 4, 3, padding_mode="circular")),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_changes_it_changes_the_hash(nets, what):
    module = net(nets)
    before = module_hash(module)
    CHANGES[what](module)
    after = module_hash(module)
    assert before is not None
    assert after is not None
    assert before != after


UNKNOWN = {
    "a hook": lambda m, nets: m.register_forward_hook(lambda *_: None),
    "a lambda": lambda m, nets: setattr(m, "act", lambda x: x),
    "a method put in its place": lambda m, nets: setattr(
        type(m), "forward", nets.Decorated.forward
    ),
    "a forward of its own": lambda m, nets: setattr(m, "forward", m.helped),
    "slots": lambda m, nets: setattr(m, "more", nets.Slotted()),
    "a number of a class of its own": lambda m, nets: setattr(m, "more", nets.Number(2)),
    "a dict with a factory": lambda m, nets: setattr(m, "more", nets.collections.defaultdict(list)),
    "an open file": lambda m, nets: setattr(m, "more", sys.stdout),
    "a conjugate": lambda m, nets: setattr(m, "more", torch.ones(2, dtype=torch.complex64).conj()),
    "a class that was made": lambda m, nets: setattr(m, "inside", nets.made(2.0)),
    "a decorator": lambda m, nets: setattr(m, "inside", nets.Decorated()),
    "a list of a class of its own": lambda m, nets: setattr(m, "more", type("L", (list,), {})()),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_what_its_content_does_not_tell_is_none(nets, what):
    module = net(nets)
    UNKNOWN[what](module, nets)
    assert module_hash(module) is None


def test_a_module_of_torchs_own_layers_is_told():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GRU(4, 4), nn.MultiheadAttention(4, 2))
    assert module_hash(module) is not None


def test_a_class_that_was_typed_in_is_none():
    scope = {"nn": nn, "__name__": "typed_in"}
    exec("class Typed(nn.Module):\n    def forward(self, x):\n        return x", scope)
    assert module_hash(scope["Typed"]()) is None
