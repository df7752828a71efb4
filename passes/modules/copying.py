"""A deep copy of a model, also where `copy.deepcopy` alone gives up."""

from __future__ import annotations

import copy
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from bnexport.passes.modules.unwrapping import inner

__all__ = ["Memo", "copy_module", "copy_replacing"]

Memo = dict[int, Any]
Maker = Callable[[nn.Module, Memo], None]

_PLAIN = (bool, int, float, str, type(None))


def copy_module(
    module: nn.Module, made: Callable[[torch.Tensor], torch.Tensor | None] = lambda tensor: None
) -> nn.Module:
    """A deep copy that shares nothing that a forward pass could write to.

    ``made`` gives the tensor that takes another's place in the copy; None: a copy of it does.

    Tensors with a history (``weight_norm`` and ``spectral_norm`` leave them as attributes) are
    copied detached. Process groups, which cannot be copied, are shared. Parallel and
    ``torch.compile`` wrappers inside the model become copies of what they hold: a
    DistributedDataParallel cannot be copied without its process group.
    """
    return copy_replacing(module, {}, made)


def copy_replacing(
    module: nn.Module,
    makers: Mapping[nn.Module, Maker],
    made: Callable[[torch.Tensor], torch.Tensor | None] = lambda tensor: None,
) -> nn.Module:
    """Copy ``module`` with some layers made anew.

    A maker gets the layer and the copy's memo and must enter the new layer there under the old
    one's ``id``, before it copies anything else. So every reference to the layer, from a parent, a
    list or a bound hook, is to the same new one.
    """
    memo: Memo = {}
    for value in _values(module):
        if isinstance(value, torch.Tensor):
            instead = made(value)
            if instead is not None:
                memo[id(value)] = instead
            elif value.requires_grad and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
        elif isinstance(value, OrderedDict):
            memo[id(value)] = OrderedDict()
        else:
            memo[id(value)] = value
    for wrapper in module.modules():
        held = inner(wrapper)
        if held is not None and id(wrapper) not in memo:
            memo[id(wrapper)] = _copied(held, makers, memo)
    return _copied(module, makers, memo)


def _copied(module: nn.Module, makers: Mapping[nn.Module, Maker], memo: Memo) -> nn.Module:
    for layer, make in makers.items():
        if id(layer) not in memo:
            make(layer, memo)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = copy.deepcopy(module, memo)
    if not isinstance(result, nn.Module):
        raise TypeError(f"a copy of {type(module).__name__} is no module")
    return result


def _values(module: nn.Module) -> Iterator[object]:
    """The tensors and process groups among the attributes, in containers too; and the tables that are empty.

    A layer has eight of these, for hooks, and `copy.deepcopy` takes as long over each as over a small layer.
    """
    seen: set[int] = set()
    groups: dict[type, bool] = {}
    stack: list[object] = [vars(each) for each in module.modules()]
    while stack:
        value = stack.pop()
        if id(value) in seen or type(value) in _PLAIN:
            continue
        seen.add(id(value))
        kind = type(value)
        if kind not in groups:
            groups[kind] = _is_process_group(kind)
        if isinstance(value, torch.Tensor) or groups[kind] or _is_empty_table(value):
            yield value
        elif isinstance(value, Mapping):
            stack.extend(value.values())
        elif isinstance(value, list | tuple | set):
            stack.extend(value)


def _is_empty_table(value: object) -> bool:
    return type(value) is OrderedDict and not (value or vars(value))


def _is_process_group(kind: type) -> bool:
    # By name: a torch built without distributed has no such class to ask for.
    return any(each.__name__ == "ProcessGroup" for each in kind.__mro__)
