"""unwrap peels every wrapper by its class path, without a process group."""

import pytest
import torch
from torch import nn

from bnexport.errors import Refused
from bnexport.passes.modules import unwrap

# What a pickled DistributedDataParallel is after an inert load: the class, no process group.
DDP = nn.parallel.DistributedDataParallel


def ddp(module):
    wrapper = DDP.__new__(DDP)
    nn.Module.__init__(wrapper)
    wrapper.module = module
    return wrapper


WRAPPERS = {
    "DistributedDataParallel": ddp,
    "DataParallel": nn.DataParallel,
    "OptimizedModule": torch.compile,
    "AveragedModel": torch.optim.swa_utils.AveragedModel,
}


@pytest.mark.parametrize(("name", "wrap"), WRAPPERS.items(), ids=WRAPPERS)
def test_a_wrapper_is_peeled_and_named(name, wrap):
    model = nn.Linear(3, 2)
    inside, names = unwrap(wrap(model))
    assert type(inside) is nn.Linear
    assert torch.equal(inside.weight, model.weight)
    assert names == (name,)


def test_wrappers_come_off_outermost_first():
    model = nn.Linear(3, 2)
    inside, names = unwrap(torch.compile(ddp(model)))
    assert inside is model
    assert names == ("OptimizedModule", "DistributedDataParallel")


def test_a_subclass_of_a_wrapper_is_one():
    class Mine(nn.DataParallel):
        pass

    assert unwrap(Mine(nn.Linear(3, 2)))[1] == ("DataParallel",)


def test_a_model_with_a_child_called_module_is_no_wrapper():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = nn.Linear(3, 2)

    model = Model()
    assert unwrap(model) == (model, ())


def test_a_sharded_model_is_refused():
    path = "torch.distributed.fsdp.fully_sharded_data_parallel"
    kind = type("FullyShardedDataParallel", (nn.Module,), {"__module__": path})
    with pytest.raises(Refused, match="state_dict"):
        unwrap(kind())
