"""Pickled modules come back as they were saved."""

import copy
import pickle
import warnings

import pytest
import torch
from torch import nn

from bnexport.errors import Refused
from bnexport.load import load
from bnexport.load.errors import Corrupt, UnknownClasses, Unsafe


def same(loaded, model, *shape):
    """Equal state, flags and outputs."""
    assert repr(loaded) == repr(model)
    ours, theirs = loaded.state_dict(), model.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    flags = [module.training for module in model.modules()]
    assert [module.training for module in loaded.modules()] == flags
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(
            copy.deepcopy(loaded).eval()(x), copy.deepcopy(model).eval()(x), rtol=0, atol=0
        )


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
def test_core_layers_need_no_permission(options, saved, trained):
    loaded = load(saved(trained, **options))
    assert loaded.format == "pickled module"
    same(loaded.model, trained, 2, 3, 8, 8)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_is_read(protocol, saved, trained):
    same(load(saved(trained, pickle_protocol=protocol)).model, trained, 2, 3, 8, 8)


@pytest.mark.parametrize("name", ["model.onnx", "model.jpg", "model"])
def test_the_suffix_is_not_looked_at(name, saved, trained):
    loaded = load(saved(trained, name))
    assert loaded.format == "pickled module"
    assert loaded.name == "model"


LAYERS = {
    "lstm": (lambda: _First(nn.LSTM(3, 4, 2, bidirectional=True)), (5, 2, 3)),
    "gru": (lambda: _First(nn.GRU(3, 4)), (5, 2, 3)),
    "transformer": (lambda: nn.TransformerEncoderLayer(8, 2, 16, activation="gelu"), (5, 2, 8)),
    "decoder-like": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (5, 2, 8)),
    "embedding norm": (lambda: nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 2)), (3, 4)),
    "upsample": (
        lambda: nn.Sequential(nn.Conv2d(3, 2, 1), nn.Upsample(scale_factor=2)),
        (1, 3, 4, 4),
    ),
    "pools": (
        lambda: nn.Sequential(nn.AvgPool2d(2), nn.MaxPool2d(2), nn.Linear(2, 1)),
        (1, 3, 8, 8),
    ),
    "reflect": (lambda: nn.Conv2d(3, 2, 3, padding=1, padding_mode="reflect"), (1, 3, 4, 4)),
    "modulelist": (lambda: nn.Sequential(*nn.ModuleList([nn.Linear(3, 3), nn.ELU()])), (2, 3)),
    "sync": (lambda: nn.Sequential(nn.Linear(3, 4), nn.SyncBatchNorm(4)), (2, 3)),
}


def _First(rnn):  # noqa: N802
    return nn.Sequential(rnn)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_come_back(name, saved):
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    model = make()
    loaded = load(saved(model)).model
    if isinstance(model, nn.Sequential) and isinstance(model[0], nn.RNNBase):
        model, loaded = model[0], loaded[0]
        x = torch.randn(shape)
        assert torch.equal(loaded(x)[0], model(x)[0])
        assert loaded._flat_weights[0] is loaded.weight_ih_l0
    else:
        same(loaded, model, *shape)


def test_tied_parameters_stay_one(saved):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    loaded = load(saved(model)).model
    assert loaded[1].weight is loaded[0].weight


def test_a_shared_module_stays_one(saved):
    layer = nn.Linear(3, 3)
    loaded = load(saved(nn.Sequential(layer, nn.ReLU(), layer))).model
    assert loaded[0] is loaded[2]


def test_views_of_one_storage_stay_together(saved):
    model = nn.Linear(2, 2)
    whole = torch.arange(8.0)
    model.register_buffer("head", whole[:4])
    model.register_buffer("tail", whole[2:])
    loaded = load(saved(model)).model
    loaded.head[2] = 100
    assert loaded.tail[0] == 100


def test_strides_are_kept(saved):
    model = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    loaded = load(saved(model)).model
    assert loaded.weight.stride() == model.weight.stride()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes_are_kept(dtype, saved, trained):
    loaded = load(saved(trained.to(dtype))).model
    assert [p.dtype for p in loaded.parameters()] == [p.dtype for p in trained.parameters()]
    assert torch.equal(loaded[0].weight, trained[0].weight)


def test_frozen_parameters_stay_frozen(saved, trained):
    trained[0].weight.requires_grad_(False)
    loaded = load(saved(trained)).model
    assert not loaded[0].weight.requires_grad
    assert loaded[1].weight.requires_grad


def test_non_persistent_buffers_come_back(saved):
    model = nn.Linear(2, 2)
    model.register_buffer("scratch", torch.arange(3.0), persistent=False)
    loaded = load(saved(model)).model
    assert torch.equal(loaded.scratch, model.scratch)
    assert "scratch" not in loaded.state_dict()


def test_each_training_flag_is_as_saved(saved, trained):
    trained.train()
    trained[1].eval()
    loaded = load(saved(trained)).model
    assert (loaded.training, loaded[0].training, loaded[1].training) == (True, True, False)


def test_weights_can_be_written_without_a_warning(saved, trained):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = load(saved(trained)).model
        with torch.no_grad():
            loaded[0].weight.add_(1)


WRAPPERS = {
    "DataParallel": lambda model: nn.DataParallel(model),
    "OptimizedModule": lambda model: torch.compile(model),
    "AveragedModel": lambda model: torch.optim.swa_utils.AveragedModel(model),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")
@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers_are_peeled(name, saved, trained):
    loaded = load(saved(WRAPPERS[name](trained)))
    assert loaded.notes == (f"unwrapped {name}",)
    same(loaded.model, trained, 2, 3, 8, 8)


def test_ddp_is_peeled_without_a_process_group(tmp_path, saved, trained):
    import torch.distributed as dist

    if not dist.is_available():
        pytest.skip("torch without torch.distributed")
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        path = saved(nn.parallel.DistributedDataParallel(trained))
    finally:
        dist.destroy_process_group()
    loaded = load(path)
    assert loaded.notes == ("unwrapped DistributedDataParallel",)
    same(loaded.model, trained, 2, 3, 8, 8)


def test_a_wrapper_inside_is_peeled_too(saved, trained):
    loaded = load(saved(nn.Sequential(nn.DataParallel(trained), nn.ReLU())))
    assert type(loaded.model[0]) is nn.Sequential
    assert loaded.notes == ("unwrapped DataParallel at model.0",)


def test_a_module_is_read_after_something_was_compiled(monkeypatch, saved, trained):
    # The first compilation puts one of Dynamo's in the place of torch's own.
    own = nn.Module.__setstate__

    def patched_setstate(self, state):
        own(self, state)

    patched_setstate.__module__ = "torch._dynamo.mutation_guard"
    monkeypatch.setattr(nn.Module, "__setstate__", patched_setstate)
    same(load(saved(trained)).model, trained, 2, 3, 8, 8)


def test_attributes_that_older_versions_lack_are_supplied(saved):
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.GELU(), nn.LSTM(2, 2))
    del model[0].__dict__["padding_mode"]
    del model[1].__dict__["approximate"]
    del model[2].__dict__["proj_size"]
    for layer in model:
        del layer.__dict__["_non_persistent_buffers_set"]
        del layer.__dict__["_forward_hooks_with_kwargs"]
    loaded = load(saved(model)).model
    assert loaded[0].padding_mode == "zeros"
    assert loaded[1].approximate == "none"
    assert loaded[2].proj_size == 0
    loaded[0](torch.randn(1, 3, 2, 2))


def test_old_weight_norm_is_rebuilt(saved):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = nn.Sequential(nn.utils.weight_norm(nn.Linear(3, 2)))
    loaded = load(saved(model)).model
    x = torch.randn(4, 3)
    assert torch.equal(loaded(x), model(x))
    nn.utils.remove_weight_norm(loaded[0])


def test_old_spectral_norm_is_rebuilt(saved):
    model = nn.Sequential(nn.utils.spectral_norm(nn.Linear(3, 2))).eval()
    loaded = load(saved(model)).model
    x = torch.randn(4, 3)
    assert torch.equal(loaded(x), model(x))


def test_other_hooks_are_refused_with_a_remedy(nets, saved):
    model = nets.Net()
    model.conv.register_forward_hook(nets.twice)
    with pytest.raises(Unsafe, match=r"model\.conv.*hook.*Remove the hooks"):
        load(saved(model), allow=["usernets"])


@pytest.mark.parametrize(
    "allow",
    [
        ["usernets"],
        ["usernets.Net", "usernets.Config", "usernets.Mode", "usernets.twice"],
    ],
)
def test_user_classes_load_when_allowed(allow, nets, saved):
    torch.manual_seed(0)
    model = nets.Net()
    loaded = load(saved(model), allow=allow).model
    same(loaded, model, 2, 3, 8, 8)
    assert loaded.config == model.config
    assert loaded.scale is nets.twice


def test_every_unknown_class_is_named_with_its_flag(nets, saved):
    with pytest.raises(UnknownClasses) as info:
        load(saved(nn.Sequential(nets.Net())))
    assert info.value.classes == (
        "usernets.Config",
        "usernets.Mode",
        "usernets.Net",
        "usernets.twice",
    )
    for name in info.value.classes:
        assert f"--allow {name}" in str(info.value)
    assert "or shorter --allow usernets" in str(info.value)


def test_a_class_of_a_script_is_mapped(nets, saved, monkeypatch):
    import sys

    main = sys.modules["__main__"]
    for name in ("Net", "Config", "Mode", "twice"):
        monkeypatch.setattr(main, name, getattr(nets, name), raising=False)
        monkeypatch.setattr(getattr(nets, name), "__module__", "__main__")
    path = saved(nets.Net())
    with pytest.raises(UnknownClasses, match=r"--allow __main__\.Net=YOUR_MODULE:Net"):
        load(path)
    targets = ["usernets:Net", "usernets.Config", "usernets:Mode", "usernets.twice"]
    allow = [f"__main__.{target[9:]}={target}" for target in targets]
    assert type(load(path, allow=allow).model).__name__ == "Net"


def test_a_half_open_allow_list_still_names_the_rest(nets, saved):
    with pytest.raises(UnknownClasses) as info:
        load(saved(nets.Net()), allow=["usernets.Net"])
    assert "usernets.Net" not in info.value.classes


def test_numpy_values_and_partials_come_back(saved):
    import functools

    import numpy as np

    model = nn.Linear(2, 2)
    model.rate, model.table = np.float64(0.5), np.arange(6.0).reshape(2, 3)
    model.norm = functools.partial(nn.LayerNorm, eps=1e-6)
    model.where, model.kind = torch.device("cpu"), torch.float16
    loaded = load(saved(model)).model
    assert loaded.rate == 0.5
    assert np.array_equal(loaded.table, model.table)
    assert loaded.norm(4).eps == 1e-6
    assert (loaded.where, loaded.kind) == (model.where, model.kind)


def test_a_module_under_a_key_of_a_checkpoint_is_found(saved, trained):
    loaded = load(saved({"epoch": 3, "model": trained, "optimizer": {"lr": 0.1}}))
    assert loaded.notes == ("used the entry 'model' of the checkpoint",)
    same(loaded.model, trained, 2, 3, 8, 8)


def test_a_live_module_is_handed_on(trained):
    loaded = load(trained)
    assert loaded.model is trained
    assert (loaded.format, loaded.name) == ("module", "sequential")


def test_an_empty_module_is_refused(saved):
    with pytest.raises(Refused, match="holds no layer"):
        load(saved(nn.Sequential()))


def test_the_digest_is_of_the_file(saved, trained):
    import hashlib

    path = saved(trained)
    assert load(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_random_state_is_as_before(nets, saved):
    path = saved(nets.Net())
    before = torch.get_rng_state()
    load(path, allow=["usernets"])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("length", [1 << 20, 1 << 63, (1 << 64) - 1])
def test_a_frame_longer_than_the_file_is_corrupt(length, archive):
    framed = pickle.dumps(nn.Sequential(nn.ReLU()), protocol=4)
    assert framed[2:3] == pickle.FRAME
    load(archive(framed))
    with pytest.raises(Corrupt):
        load(archive(framed[:3] + length.to_bytes(8, "little") + framed[11:]))


@pytest.mark.parametrize("end", [2, 3, 7])
def test_a_pickle_that_ends_in_a_frames_head_is_corrupt(end, archive):
    with pytest.raises(Corrupt):
        load(archive(pickle.dumps(nn.Sequential(nn.ReLU()), protocol=4)[:end]))
