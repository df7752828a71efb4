"""torch, and what bnexport puts in the place of other layers, against BatchNorm by its definition."""

import itertools

import numpy as np
import pytest
import torch
from batch_norm_oracle import BatchNormOracle
from torch import nn

from bnexport import recalibrate, revert_sync_batchnorm
from bnexport.passes.modules import BatchNorm

KINDS = [
    (nn.BatchNorm1d, (6, 5)),
    (nn.BatchNorm1d, (6, 5, 7)),
    (nn.BatchNorm2d, (6, 5, 3, 4)),
    (nn.BatchNorm3d, (6, 5, 2, 3, 2)),
    (BatchNorm, (6, 5)),
    (BatchNorm, (6, 5, 3, 4)),
    (BatchNorm, (6, 5, 2, 3, 2)),
]
OPTIONS = list(itertools.product((0.1, None, 1.0, 0.0), (True, False), (True, False)))


def pair(kind, channels, momentum, affine, tracks):
    layer = kind(channels, momentum=momentum, affine=affine, track_running_stats=tracks).double()
    oracle = BatchNormOracle(channels, momentum=momentum, tracks=tracks)
    if affine:
        made = torch.Generator().manual_seed(channels)
        with torch.no_grad():
            layer.weight.normal_(generator=made)
            layer.bias.normal_(generator=made)
        oracle.weight, oracle.bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    return layer, oracle


def batches(shape, count=4):
    made = torch.Generator().manual_seed(7)
    for n in range(count):
        x = torch.randn(shape[0] - n, *shape[1:], generator=made, dtype=torch.float64)
        yield x * (n + 1) + 3 * n


@pytest.mark.parametrize(("kind", "shape"), KINDS)
@pytest.mark.parametrize(("momentum", "affine", "tracks"), OPTIONS)
def test_every_kind_and_rank_in_train_and_eval_mode(kind, shape, momentum, affine, tracks):
    layer, oracle = pair(kind, shape[1], momentum, affine, tracks)
    for training in (True, False):
        layer.train(training)
        for x in batches(shape):
            with torch.no_grad():
                y = layer(x)
            np.testing.assert_allclose(y, oracle(x, training=training), rtol=1e-11, atol=1e-12)
    if tracks:
        np.testing.assert_allclose(layer.running_mean, oracle.mean, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(layer.running_var, oracle.var, rtol=1e-12)
        assert int(layer.num_batches_tracked) == oracle.tracked


@pytest.mark.parametrize(("rank", "kind"), [(2, nn.Linear), (4, nn.Conv2d), (5, nn.Conv3d)])
def test_a_synchronised_layer_and_its_plain_twin(rank, kind):
    shape = (6, 5) + (3,) * (rank - 2)
    before = kind(5, 5) if rank == 2 else kind(5, 5, 1)
    layer, oracle = pair(nn.BatchNorm2d, 5, 0.1, True, True)
    layer.running_mean.normal_()
    layer.running_var.uniform_(0.5, 2)
    oracle.mean, oracle.var = layer.running_mean.numpy().copy(), layer.running_var.numpy().copy()
    model = nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(before.double(), layer)).eval()
    assert isinstance(model[1], nn.SyncBatchNorm)
    plain = revert_sync_batchnorm(model)
    assert not isinstance(plain[1], nn.SyncBatchNorm)
    for x in batches(shape):
        with torch.no_grad():
            expected = oracle(model[0](x), training=False)
            np.testing.assert_allclose(plain(x), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("kind", "shape"), KINDS[:4])
def test_recalibration_is_one_batch_of_everything_with_momentum_1(kind, shape):
    """The population is what the definition stores for a batch that holds all of the data."""
    data = list(batches(shape))
    (change,) = recalibrate(kind(shape[1]).double(), data).layers
    oracle = BatchNormOracle(shape[1], momentum=1.0)
    oracle(np.concatenate([x.numpy() for x in data]), training=True)
    np.testing.assert_allclose(change.after[0], oracle.mean, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(change.after[1], oracle.var, rtol=1e-12)
