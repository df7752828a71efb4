"""Pickles that would run code under pickle.load: none does, and each is refused."""

import collections
import inspect
import io
import os
import pickle
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import torch

from bnexport.errors import Refused
from bnexport.load import load
from bnexport.load.errors import Corrupt, TooLarge, Unsafe
from bnexport.load.limits import Limits
from bnexport.load.sources import Request, load_source

TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"


class Calls:
    """Pickles as a call of ``function``."""

    def __init__(self, function, *args, state=None):
        self.function, self.args, self.state = function, args, state

    def __reduce__(self):
        return (self.function, self.args, self.state) if self.state else (self.function, self.args)


@pytest.fixture
def canary(tmp_path):
    path = tmp_path / "canary"
    yield path
    assert not path.exists(), "the file's code ran"


def shell(canary):
    return f"touch {canary}"


def touch(canary):
    return f"open({str(canary)!r}, 'w').close()"


def encodings(module, name, argument):
    """The same call in every form that the pickle machine knows."""
    text = argument.encode()
    unicode = b"X" + len(text).to_bytes(4, "little") + text
    name_of = f"c{module}\n{name}\n".encode()
    stacked = b"\x8c" + bytes([len(module)]) + module.encode()
    stacked += b"\x8c" + bytes([len(name)]) + name.encode() + b"\x93"
    return {
        "REDUCE": b"\x80\x02" + name_of + unicode + b"\x85R.",
        "STACK_GLOBAL": b"\x80\x04" + stacked + unicode + b"\x85R.",
        "INST": b"(" + unicode + f"i{module}\n{name}\n.".encode(),
        "OBJ": b"(" + name_of + unicode + b"o.",
        "NEWOBJ": b"\x80\x02" + name_of + unicode + b"\x85\x81.",
        "NEWOBJ_EX": b"\x80\x04" + name_of + unicode + b"\x85}\x92.",
        "BUILD": b"\x80\x02" + name_of + b")R" + unicode + b"b.",
        "in a dict": b"\x80\x02}X\x01\x00\x00\x00a" + name_of + unicode + b"\x85Rs.",
    }


KINDS = list(encodings("os", "system", ""))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("module", "name"), [("os", "system"), ("posix", "system")])
def test_a_shell_command_does_not_run(kind, module, name, archive, canary):
    data = encodings(module, name, shell(canary))[kind]
    with pytest.raises(Refused):
        load(archive(data))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["exec", "eval", "__import__"])
def test_a_builtin_does_not_run(kind, name, archive, canary):
    with pytest.raises(Refused):
        load(archive(encodings("builtins", name, touch(canary))[kind]))


def test_the_canary_can_fire(canary):
    for kind, data in encodings("os", "system", shell(canary)).items():
        if kind in ("REDUCE", "STACK_GLOBAL", "INST", "OBJ"):
            pickle.loads(data)
            assert canary.exists(), kind
            canary.unlink()


@pytest.mark.parametrize("name", ["forward", "_call_impl", "__call__", "__class__", "extra_repr"])
def test_an_attribute_that_replaces_code_is_refused(name, archive, canary):
    relu = torch.nn.ReLU()
    vars(relu)[name] = Calls(os.system, shell(canary))
    with pytest.raises(Unsafe):
        load(archive(relu))


@pytest.mark.parametrize("name", ["forward", "_call_impl", "named_parameters", "extra_repr"])
def test_even_harmless_data_cannot_replace_code(name, saved):
    relu = torch.nn.ReLU()
    vars(relu)[name] = torch.nn.functional.gelu
    with pytest.raises(Unsafe, match="replaces code"):
        load(saved(torch.nn.Sequential(torch.nn.Linear(2, 2), relu)))


def test_a_child_named_like_a_method_is_refused(saved):
    linear = torch.nn.Sequential(torch.nn.Linear(2, 2))
    linear._modules["forward"] = torch.nn.ReLU()
    with pytest.raises(Unsafe, match="method"):
        load(saved(linear))


HOOKS = ["_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_state_dict_hooks"]


@pytest.mark.parametrize("table", HOOKS)
def test_hooks_are_refused(table, saved):
    linear = torch.nn.Linear(2, 2)
    getattr(linear, table)[0] = torch.relu
    with pytest.raises(Unsafe, match=r"hook.*"):
        load(saved(linear))


def test_parameter_hooks_are_refused(archive, canary):
    hooks = collections.OrderedDict({0: Calls(os.system, shell(canary))})
    tensor = Calls(torch._utils._rebuild_tensor_v2, "x", 0, (), ())
    linear = torch.nn.Linear(1, 1)
    linear.__dict__["_parameters"] = {
        "weight": Calls(torch._utils._rebuild_parameter, tensor, True, hooks)
    }
    with pytest.raises(Refused):
        load(archive(linear))


def test_rebuild_from_type_calls_nothing(archive, canary):
    """``_rebuild_from_type_v2(func, type, args, state)`` calls ``func`` under weights_only=True."""
    call = Calls(torch._tensor._rebuild_from_type_v2, os.system, torch.Tensor, (shell(canary),), {})
    with pytest.raises(Unsafe, match="asks to call"):
        load(archive({"weight": call, "other": call}), arch="torch.nn:ReLU")


def test_setstate_of_an_allowed_class_is_not_run(nets, saved):
    with pytest.raises(Unsafe, match="__setstate__ of its own"):
        load(saved(nets.Setter()), allow=["usernets"])


def test_an_allowed_function_is_not_called(nets, archive):
    relu = torch.nn.ReLU()
    relu.note = Calls(nets.twice, 3)
    with pytest.raises(Unsafe, match="asks to call"):
        load(archive(relu), allow=["usernets"])


@pytest.mark.parametrize(
    "name", ["os.system", "subprocess.Popen", "builtins.exec", "torch.hub.load"]
)
def test_partials_of_other_functions_are_refused(name, archive, canary):
    module, function = name.rsplit(".", 1)
    data = b"\x80\x02cfunctools\npartial\nc" + f"{module}\n{function}\n".encode() + b"\x85R."
    with pytest.raises(Refused):
        load(archive(data))


def test_an_import_outside_the_allowed_package_is_refused(package, archive):
    """A name below an allowed package that is something else in truth."""
    package("reexports", "from os import getcwd, system\nfrom shutil import rmtree\n")
    relu = torch.nn.ReLU()
    relu.tool = "TOOL"
    data = pickle.dumps(relu, protocol=2)
    hostile = data.replace(b"X\x04\x00\x00\x00TOOL", b"creexports\nrmtree\n")
    with pytest.raises(Unsafe, match=r"is shutil\.rmtree in truth"):
        load(archive(hostile), allow=["reexports"])


def test_billions_of_nested_tuples_end_at_once(archive):
    """Each tuple holds the one before twice: hashing or walking the tree would take 2^60 steps."""
    data = b"\x80\x02}" + b"K\x01" + b"2\x86" * 60 + b"K\x01s."
    with pytest.raises(Refused):
        load(archive(data))


def test_a_type_in_the_place_of_names_is_refused(saved):
    linear = torch.nn.Linear(1, 1)
    vars(linear)["_non_persistent_buffers_set"] = set
    with pytest.raises(Unsafe, match="malformed names of buffers"):
        load(saved(linear))


def test_a_length_is_believed_only_when_the_bytes_are_there(archive):
    """The library would take the memory first."""
    tracemalloc.start()
    try:
        with pytest.raises(Corrupt):
            load(archive(b"\x80\x05\x96" + (1 << 36).to_bytes(8, "little") + b"few."))
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_deep_nesting_is_refused(archive):
    with pytest.raises((TooLarge, Refused)):
        load(archive(b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b"."))


def test_deeply_nested_modules_are_refused(saved):
    model = torch.nn.Linear(1, 1)
    for _ in range(30):
        model = torch.nn.Sequential(model)
    with pytest.raises(TooLarge, match="nest"):
        load_source(Request(saved(model), limits=Limits(depth=20)))


def test_a_module_inside_itself_is_refused(saved):
    model = torch.nn.Sequential(torch.nn.Linear(1, 1))
    model._modules["self"] = torch.nn.Sequential(model)
    with pytest.raises(Unsafe, match="cycle"):
        load(saved(model))


@pytest.mark.parametrize("cut", [2, 10, 50, 200])
def test_a_truncated_pickle_is_corrupt(cut, archive, trained):
    buffer = io.BytesIO()
    torch.save(trained, buffer)
    data = zipfile.ZipFile(buffer).read("archive/data.pkl")
    with pytest.raises(Corrupt):
        load(archive(data[:-cut]))


def rebuild(storage, offset, size, stride):
    """The pickle of a state dict with one tensor over storage 0."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return ("storage", torch.FloatStorage, "0", "cpu", storage) if value == "S" else None

    buffer = io.BytesIO()
    call = Calls(torch._utils._rebuild_tensor_v2, "S", offset, size, stride, False, {})
    Pickler(buffer, 2).dump({"weight": call, "bias": call})
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("storage", "offset", "size", "stride"),
    [
        (4, 0, (5,), (1,)),
        (4, 3, (2,), (1,)),
        (4, 0, (2, 2), (4, 1)),
        (4, -1, (2,), (1,)),
        (4, 0, (-2,), (1,)),
        (4, 0, (2,), (1, 1)),
        (4, 0, (1 << 40,), (0,)),
        (4, 0, (1 << 62,), (1 << 62,)),
        (5, 0, (2,), (1,)),
        (1 << 60, 0, (2,), (1,)),
    ],
)
def test_a_tensor_outside_its_storage_is_refused(storage, offset, size, stride, archive):
    path = archive(rebuild(storage, offset, size, stride), **{"0": bytes(16)})
    with pytest.raises(Refused):
        load(path, arch="torch.nn:ReLU")


def test_no_loader_that_runs_code_is_named_in_the_package():
    forbidden = ("torch" + ".load(", "weights_only", "pickle" + ".load(", "pickle" + ".loads(")
    for source in Path(inspect.getfile(Corrupt)).parent.glob("*.py"):
        text = source.read_text()
        assert not [name for name in forbidden if name in text], source.name
