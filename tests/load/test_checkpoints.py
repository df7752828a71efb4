"""State dicts of every usual wrapping, fitted into an architecture."""

import collections

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bnexport.errors import Refused, UsageError
from bnexport.load import load
from bnexport.load.errors import ArchRefused, KeyMismatch

ARCH = """
import torch
from torch import nn

def net(width=4):
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU())

def sync():
    return nn.SyncBatchNorm.convert_sync_batchnorm(net())

def wrapped():
    return nn.DataParallel(net())

def half():
    return net().half()

def tied():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    return model

def broken():
    raise ValueError("no such width")

def quits():
    raise SystemExit(3)

def nothing():
    return nn.Sequential()

def text():
    return "a model"

def noisy():
    print("building")
    torch.manual_seed(7)
    return net()

number = 3
"""


@pytest.fixture(autouse=True)
def arch(package):
    return package("userarch", ARCH)


def fits(loaded, trained):
    ours, theirs = loaded.model.state_dict(), trained.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: dict(state),
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {"state": {0: {"m": torch.ones(2)}}}},
        lambda state: {"model_state_dict": state, "best": torch.tensor(0.5)},
        lambda state: {"net": state},
        lambda state: {"params": state},
        lambda state: {"ema": state},
        lambda state: {"whatever": state, "lr": 0.1},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_a_state_dict_is_found(wrap, zipped, saved, trained):
    path = saved(wrap(trained.state_dict()), _use_new_zipfile_serialization=zipped)
    loaded = load(path, arch="userarch:net")
    assert loaded.format == "checkpoint"
    fits(loaded, trained)


@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "module._orig_mod.model."],
)
def test_prefixes_are_stripped_and_said(prefix, saved, trained):
    state = {prefix + name: value for name, value in trained.state_dict().items()}
    loaded = load(saved(state), arch="userarch:net")
    fits(loaded, trained)
    assert loaded.notes == (f"stripped {prefix!r} from the keys",)


@pytest.mark.parametrize(
    "mark", ["_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."]
)
@pytest.mark.parametrize("place", ["", "0."])
def test_marks_of_wrappers_inside_are_stripped(mark, place, saved, trained):
    state = {
        (mark + name if not place else name.replace(place, place + mark, 1)): value
        for name, value in trained.state_dict().items()
    }
    fits(load(saved(state), arch="userarch:net"), trained)


def test_a_prefix_that_the_module_has_itself_stays(package, saved):
    package(
        "named",
        "from torch import nn\nclass Net(nn.Module):\n    def __init__(self):\n"
        "        super().__init__()\n        self.model = nn.Linear(2, 2)\n",
    )
    state = {"model.weight": torch.ones(2, 2), "model.bias": torch.zeros(2)}
    loaded = load(saved(state), arch="named:Net")
    assert loaded.notes == ()
    assert torch.equal(loaded.model.model.weight, torch.ones(2, 2))


def test_the_average_is_taken_only_when_named(saved, trained):
    average = {name: torch.zeros_like(value) for name, value in trained.state_dict().items()}
    path = saved({"state_dict_ema": average, "state_dict": trained.state_dict()})
    loaded = load(path, arch="userarch:net")
    fits(loaded, trained)
    assert "it also holds 'state_dict_ema' (--state-dict-key state_dict_ema)" in loaded.notes
    named = load(path, arch="userarch:net", state_dict_key="state_dict_ema")
    assert named.model[0].weight.abs().sum() == 0


def test_a_nested_key_is_reached_by_dots(saved, trained):
    path = saved({"a": {"b": trained.state_dict()}, "c": 1})
    fits(load(path, arch="userarch:net", state_dict_key="a.b"), trained)


def test_a_wrong_key_lists_the_entries(saved, trained):
    path = saved({"generator": trained.state_dict(), "critic": trained.state_dict()})
    with pytest.raises(Refused, match="several state dicts: 'critic', 'generator'"):
        load(path, arch="userarch:net")
    with pytest.raises(Refused, match="no entry 'critics'; there are 'critic', 'generator'"):
        load(path, arch="userarch:net", state_dict_key="critics")


def test_odd_classes_beside_the_state_dict_are_ignored(nets, saved, trained):
    path = saved(
        {
            "state_dict": {f"model.{k}": v for k, v in trained.state_dict().items()},
            "pytorch-lightning_version": "2.4",
            "hyper_parameters": nets.Config(),
            "callbacks": {"x": nets.Net()},
        }
    )
    fits(load(path, arch="userarch:net"), trained)


def test_weights_of_a_pickled_module_need_no_class(nets, package, saved):
    model = nets.Net()
    loaded = load(saved(nn.DataParallel(model)), arch="usernets:Net")
    fits(loaded, model)
    assert "took the weights alone from a pickled module" in loaded.notes


def test_safetensors(tmp_path, trained):
    path = tmp_path / "weights.bin"
    save_file({f"module.{k}": v for k, v in trained.state_dict().items()}, path)
    loaded = load(path, arch="userarch:net")
    assert (loaded.format, loaded.name) == ("safetensors", "weights")
    fits(loaded, trained)


def test_a_tied_weight_may_be_missing_once(tmp_path):
    path = tmp_path / "tied.safetensors"
    save_file(
        {"0.weight": torch.ones(3, 3), "0.bias": torch.ones(3), "1.bias": torch.ones(3)}, path
    )
    loaded = load(path, arch="userarch:tied")
    assert torch.equal(loaded.model[1].weight, torch.ones(3, 3))


def test_a_missing_counter_is_no_error(saved, trained):
    state = trained.state_dict()
    del state["1.num_batches_tracked"]
    load(saved(dict(state)), arch="userarch:net")


def test_sync_batchnorm_has_the_same_keys(saved, trained):
    state = {f"module.{name}": value for name, value in trained.state_dict().items()}
    fits(load(saved(state), arch="userarch:sync"), trained)


def test_an_architecture_in_a_wrapper_is_unwrapped(saved, trained):
    loaded = load(saved(trained.state_dict()), arch="userarch:wrapped")
    assert "unwrapped DataParallel" in loaded.notes
    fits(loaded, trained)


def test_a_half_checkpoint_keeps_the_architectures_dtype(saved, trained):
    loaded = load(saved(trained.half().state_dict()), arch="userarch:net")
    assert loaded.model[0].weight.dtype == torch.float32
    assert loaded.notes == ("the checkpoint is in float16; the architecture's own dtype was kept",)


def test_missing_left_over_and_misshapen_keys_are_listed_together(saved, trained):
    state = collections.OrderedDict(trained.state_dict())
    del state["0.bias"]
    state["2.extra"] = torch.ones(1)
    state["0.weight"] = torch.ones(5, 3, 3, 3)
    with pytest.raises(KeyMismatch) as info:
        load(saved(state), arch="userarch:net")
    text = str(info.value)
    assert "1 missing (0.bias)" in text
    assert "1 left over (2.extra)" in text
    assert "0.weight: 5x3x3x3 in the file, 4x3x3x3 in the model" in text
    assert "--allow-partial" in text


def test_only_the_first_ten_are_listed(saved, trained):
    state = {**trained.state_dict(), **{f"x{i:02}": torch.ones(1) for i in range(14)}}
    with pytest.raises(KeyMismatch, match=r"14 left over \(x00, .*x09, and 4 more\)"):
        load(saved(state), arch="userarch:net")


def test_partial_loading_says_what_it_left_out(saved, trained):
    state = dict(trained.state_dict())
    state["0.weight"] = torch.ones(5, 3, 3, 3)
    loaded = load(saved(state), arch="userarch:net", allow_partial=True)
    assert torch.equal(loaded.model[1].running_mean, trained[1].running_mean)
    assert any("0.weight" in note and "in part" in note for note in loaded.notes)


def test_a_checkpoint_that_fits_nowhere_is_refused_even_in_part(saved):
    with pytest.raises(KeyMismatch):
        load(saved({"a": torch.ones(1)}), arch="userarch:net", allow_partial=True)


def test_weights_alone_ask_for_an_architecture(saved, trained):
    with pytest.raises(Refused, match=r"7 weights and no model.*--arch package\.module:factory"):
        load(saved(trained.state_dict()))


def test_the_architecture_alone(capsys):
    before = torch.get_rng_state()
    loaded = load(arch="userarch:noisy")
    assert (loaded.format, loaded.name) == ("architecture", "noisy")
    assert capsys.readouterr().out == ""
    assert torch.equal(torch.get_rng_state(), before)


def test_arguments_reach_the_factory():
    assert load(arch="userarch:net", arch_args={"width": 7}).model[0].out_channels == 7


def test_the_current_directory_is_on_the_path_only_for_the_import():
    import sys

    before = list(sys.path)
    load(arch="userarch:net")
    assert sys.path == before


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nosuchmodule:net", "nosuchmodule cannot be imported.*No module named"),
        ("userarch:nett", "userarch has no 'nett'"),
        ("userarch:number", "number is a int and cannot be called"),
        ("userarch:broken", "raised ValueError: no such width"),
        ("userarch:quits", "raised SystemExit"),
        ("userarch:text", r"returned a str, not a torch\.nn\.Module"),
        ("userarch:nothing", "the model holds no layer"),
    ],
)
def test_a_bad_architecture_gives_one_message(spec, message):
    with pytest.raises(ArchRefused, match=message) as info:
        load(arch=spec)
    assert info.value.exit_code == 3
    assert f"--arch {spec}" in str(info.value)


def test_unknown_arguments_are_named():
    with pytest.raises(ArchRefused, match="unexpected keyword argument 'depth'"):
        load(arch="userarch:net", arch_args={"depth": 3})


@pytest.mark.parametrize(
    "spec", ["userarch", "userarch.net", "userarch:", ":net", "a b:c", "a:b:c"]
)
def test_a_malformed_architecture_is_a_usage_error(spec):
    with pytest.raises(UsageError, match=r"package\.module:factory"):
        load(arch=spec)


@pytest.mark.parametrize(
    "arguments",
    [{}, {"arch_args": {"a": 1}}, {"source": nn.Linear(1, 1), "arch": "userarch:net"}],
)
def test_arguments_that_do_not_go_together(arguments):
    with pytest.raises(UsageError):
        load(**arguments)


def test_old_batchnorm_metadata_is_honoured(saved, trained):
    state = trained.state_dict()
    state._metadata["1"]["version"] = 1
    del state["1.num_batches_tracked"]
    loaded = load(saved(state), arch="userarch:net")
    assert loaded.model[1].num_batches_tracked == 0


def test_a_half_architecture_keeps_its_dtype(saved, trained):
    loaded = load(saved(trained.state_dict()), arch="userarch:half")
    assert loaded.model[0].weight.dtype == torch.float16
    assert torch.equal(loaded.model[0].weight, trained[0].weight.half())
