"""Two real ranks, with and without synchronised statistics; and what pooling is."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ddp_training import data, network
from torch import nn

import bnexport
from bnexport import compare_ranks
from bnexport.errors import BnexportError, Refused, UsageError
from bnexport.ranks import pooled

SCRIPT = Path(__file__).parents[1] / "ddp_training.py"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        pytest.skip("torch was built without gloo")
    folder = tmp_path_factory.mktemp("ranks")
    command = [sys.executable, str(SCRIPT)]
    ranks = [
        subprocess.Popen([*command, str(rank), str(folder / "store"), str(folder)])
        for rank in (0, 1)
    ]
    assert [rank.wait(timeout=180) for rank in ranks] == [0, 0]
    return folder


def files(trained, name):
    return [trained / f"{name}{rank}.pt" for rank in (0, 1)]


def statistics(path):
    state = torch.load(path, weights_only=True)
    state = state.get("model", state)
    state = {name.removeprefix("module."): value for name, value in state.items()}
    return state["1.running_mean"].double(), state["1.running_var"].double()


def layer_input(pictures):
    """What the BatchNorm is fed before the first step: an array of shape (channels, values)."""
    with torch.no_grad():
        seen = network()[0](pictures).double().numpy()
    return seen.swapaxes(0, 1).reshape(6, -1)


def test_ranks_without_synchronisation(trained):
    found = compare_ranks(files(trained, "plain"), batch_size=8)
    assert (found.verdict, found.ok, found.differing) == ("diverged", False, ())
    assert "SyncBatchNorm was not used" in found.text
    assert found.layers[0].name == "1"
    assert 0 < found.layers[0].shift < found.shift_limit


def test_ranks_with_it(trained):
    found = compare_ranks(files(trained, "synced"), batch_size=8)
    assert (found.verdict, found.ok) == ("synchronised", True)


def test_ranks_that_saw_different_data(trained):
    found = compare_ranks(files(trained, "apart"), batch_size=8)
    assert found.verdict == "data differ"
    assert found.layers[0].shift > found.shift_limit
    assert found.layers[0].shift_at[1:] in ((0, 1), (1, 0))


def test_merged_statistics_are_those_of_the_union(bnexport_cli, trained, tmp_path):
    """One step with momentum 1: the statistics of both batches together, by NumPy and by what the ranks synced."""
    out = tmp_path / "merged.pt"
    elements = str(8 * 6 * 6)
    arguments = [*map(str, files(trained, "once")), "--merge", str(out), "--elements", elements]
    assert bnexport_cli("compare-ranks", *arguments) == 0
    union = torch.cat([data(rank, 0, 0.3) for rank in (0, 1)])
    values = layer_input(union)
    mean, variance = statistics(out)
    np.testing.assert_allclose(mean, values.mean(1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance, values.var(1, ddof=1), rtol=1e-5)
    synced = statistics(trained / "synced_once0.pt")
    np.testing.assert_allclose(variance, synced[1], rtol=1e-5)


def test_the_mean_of_averages_is_that_of_all_batches(trained, tmp_path, bnexport_cli):
    """Three batches a rank, a cumulative average: exact, but for what the batches' means scattered in the variance."""
    out = tmp_path / "merged.pt"
    arguments = [*map(str, files(trained, "cumulative")), "--merge", str(out), "--momentum", "0.5"]
    assert bnexport_cli("compare-ranks", *arguments) == 0
    values = layer_input(torch.cat([data(rank, step, 0.3) for rank in (0, 1) for step in range(3)]))
    mean, variance = statistics(out)
    np.testing.assert_allclose(mean, values.mean(1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance, values.var(1), rtol=1 / 8)


def test_synchronisation_is_for_accelerators_only(trained):
    """Why the training of this test has a layer of its own; real ranks under gloo were asked."""
    for rank in (0, 1):
        said = (trained / f"refused{rank}.txt").read_text()
        assert "SyncBatchNorm expected input tensor to be on GPU" in said


def test_under_a_broadcast_ranks_differ_by_their_last_batch(trained):
    """The rate of learning is 0, so that the last batches can be seen again: a (b_1 - b_0), exactly."""
    last = [layer_input(data(rank, 19)).mean(1) for rank in (0, 1)]
    apart = [statistics(path)[0].numpy() for path in files(trained, "broadcast")]
    np.testing.assert_allclose(apart[1] - apart[0], 0.1 * (last[1] - last[0]), rtol=1e-4, atol=1e-7)


def test_a_broadcast_is_told_from_averages(trained):
    options = {"batch_size": 8, "momentum": 0.03}
    own = compare_ranks(files(trained, "slow"), **options)
    copied = compare_ranks(files(trained, "slow_broadcast"), **options)
    assert (own.verdict, own.one_batch) == ("diverged", False)
    assert (copied.verdict, copied.one_batch) == ("diverged", True)
    assert "bnexport recalibrate" in copied.remedy
    known = compare_ranks(files(trained, "slow_broadcast"), **options, broadcast=True)
    assert (known.verdict, known.mergeable) == ("last batch", False)


def test_a_validation_under_a_broadcast_makes_ranks_equal_whatever_they_saw(trained):
    found = compare_ranks(files(trained, "validated"), batch_size=8)
    assert found.verdict == "synchronised"
    assert "or rank 0's were copied to all" in found.text


@pytest.fixture
def bnexport_cli():
    from bnexport.cli.entry import main

    return lambda *arguments: main(["--" if not arguments else arguments[0], *arguments[1:], "-q"])


def test_merging_changes_nothing_else(bnexport_cli, trained, tmp_path):
    out = tmp_path / "merged.pt"
    first = files(trained, "plain")[0]
    assert (
        bnexport_cli("compare-ranks", *map(str, files(trained, "plain")), "--merge", str(out)) == 0
    )
    before, after = (torch.load(path, weights_only=True) for path in (first, out))
    assert after["step"] == before["step"]
    changed = {n for n, v in before["model"].items() if not torch.equal(v, after["model"][n])}
    keys = ("running_mean", "running_var", "num_batches_tracked")
    assert changed == {f"module.1.{key}" for key in keys}
    assert int(after["model"]["module.1.num_batches_tracked"]) == 40


def test_pooling_parts_of_any_size_gives_the_whole():
    made = np.random.default_rng(0)
    parts = [made.normal(k, 1 + k, (3, 50)) for k in range(4)]
    whole = np.concatenate(parts, 1)
    means = torch.tensor(np.stack([each.mean(1) for each in parts]))
    variances = torch.tensor(np.stack([each.var(1, ddof=1) for each in parts]))
    mean, variance = pooled(means, variances, torch.ones(4), elements=50)
    np.testing.assert_allclose(mean, whole.mean(1), rtol=1e-13)
    np.testing.assert_allclose(variance, whole.var(1, ddof=1), rtol=1e-13)
    without = pooled(means, variances, torch.ones(4))[1]
    assert (without / variance - 1).abs().max() < 1 / 50


def test_weights_are_shares_of_the_batches():
    means, variances = torch.tensor([[0.0], [4.0]]).double(), torch.ones(2, 1).double()
    mean, variance = pooled(means, variances, torch.tensor([3.0, 1.0]))
    assert mean.item() == pytest.approx(1.0)
    assert variance.item() == pytest.approx(1 + (3 * 1 + 1 * 9) / 4)


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def test_live_modules_and_prefixes():
    one = net()
    other = {f"module.{name}": value.clone() for name, value in one.state_dict().items()}
    assert compare_ranks([one, other]).ok
    other["module.1.running_var"][2] *= 100
    found = compare_ranks([one, other])
    assert found.verdict == "data differ"
    assert found.layers[0].log_ratio_at[0] == 2


def test_other_verdicts():
    one, other = net(), net()
    other[0].weight.data[0, 0, 0, 0] += 1
    found = compare_ranks([one, other])
    assert (found.verdict, found.differing, found.mergeable) == (
        "models differ",
        ("0.weight",),
        False,
    )
    broken = net()
    broken[1].running_var[1] = -1
    found = compare_ranks([net(), broken])
    assert found.verdict == "broken"
    assert found.layers[0].broken == ("rank 1: a negative variance",)


def test_an_uneven_number_of_batches_is_said():
    other = net()
    other[1].num_batches_tracked += 1
    found = compare_ranks([net(), other])
    assert found.uneven
    assert found.ok


def test_mistakes(tmp_path):
    torch.save(net().state_dict(), tmp_path / "a.pt")
    with pytest.raises(UsageError, match="Give two or more"):
        compare_ranks([tmp_path / "a.pt"])
    with pytest.raises(UsageError, match="given twice"):
        compare_ranks([tmp_path / "a.pt", str(tmp_path / "a.pt")])
    with pytest.raises(Refused, match="1 names are in one of"):
        compare_ranks([net(), {**net().state_dict(), "more": torch.zeros(1)}])
    with pytest.raises(Refused, match=r"0\.weight is"):
        compare_ranks([net(), {**net().state_dict(), "0.weight": torch.zeros(1)}])
    with pytest.raises(UsageError, match="no BatchNorm to compare"):
        compare_ranks([nn.Linear(2, 2), nn.Linear(2, 2)])
    with pytest.raises(UsageError, match="what sampling explains"):
        compare_ranks([net(), net()], batch_size=0)
    with pytest.raises(BnexportError):
        compare_ranks([tmp_path / "a.pt", tmp_path / "absent.pt"])


def test_the_command(bnexport_cli, tmp_path, capsys):
    from bnexport.cli.entry import main

    one, other = net(), net()
    other[1].running_mean += 0.05
    for name, model in (("a.pt", one), ("b.pt", other)):
        torch.save(model.state_dict(), tmp_path / name)
    paths = [str(tmp_path / name) for name in ("a.pt", "b.pt")]
    assert main(["compare-ranks", *paths]) == 1
    out = capsys.readouterr().out
    assert "verdict   statistics diverged: SyncBatchNorm was not used" in out
    assert "remedy    Use --merge" in out
    assert out.splitlines()[2].split()[0] == "layer"
    assert "NOT SAMPLING" not in out
    assert main(["compare-ranks", *paths, "--merge", paths[0]]) == 2
    assert main(["compare-ranks", *paths, "--broadcast-buffers"]) == 1
    assert "differ by their last batch alone" in capsys.readouterr().out
    assert main(["compare-ranks", *paths, "--broadcast-buffers", "--merge", paths[0] + "x"]) == 3
    assert main(["compare-ranks", paths[0]]) == 2
    assert bnexport.compare_ranks(paths).verdict == "diverged"
