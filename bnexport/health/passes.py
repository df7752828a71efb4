"""Forward passes that are watched: batch statistics and random numbers show when they are used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bnexport.health.graphs import BATCH_REMEDY, RANDOM_REMEDY, asks_for_batch
from bnexport.health.problem import Problem
from bnexport.passes.modules import (
    eval_mode,
    random_state,
    revert_sync_batchnorm,
    undisturbed,
)
from bnexport.passes.modules.ranks import misfit
from bnexport.signature import Plain

__all__ = ["run_once", "watch"]

# Two passes over the same input may round differently (threads, atomics), never by this much.
_ROUNDING = 1e-3


def watch(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    names: Sequence[str] = (),
    first: Callable[..., Any] | None = None,
) -> list[Problem]:
    """What two forward passes of a copy show, in eval mode, with the same inputs and other seeds.

    ``names`` are the parameters that the inputs feed; empty: they go by position. ``first`` is called for the first
    pass, where the caller wants one of its own.

    Raises:
        UsageError: The forward pass fails on these inputs.
    """
    # A copy made after the caller's pass has what the module keeps from it: a count of its calls, say.
    before = None if first is None else _run(first, inputs, 1)
    copied = revert_sync_batchnorm(module)
    trace = _Trace(copied)
    called = Plain(copied, names) if names else copied
    before = before if before is not None else _outputs(called, inputs, 1, trace)
    after = _outputs(called, inputs, 2, trace)
    problems = [Problem(place, *_BATCH) for place in trace.batch]
    if _differ(before, after, exact=bool(trace.random)):
        places = list(trace.random) or ["the model"]
        said = ", ".join(sorted(set(trace.random.values())))
        what = f"its outputs are random in eval mode ({said})" if said else _UNSTEADY
        problems += [Problem(place, what, RANDOM_REMEDY) for place in places]
    return problems


_BATCH = ("its forward normalises by the batch in eval mode too (training=True)", BATCH_REMEDY)
_UNSTEADY = "its outputs are random: the same input gives another output at the second run"


def run_once(plain: Plain, inputs: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], bool]:
    """What a module gives, and whether it drew random numbers for that.

    Raises:
        UsageError: The forward pass fails on these inputs.
    """
    drew = False

    def call(*tensors: Tensor) -> tuple[Tensor, ...]:
        nonlocal drew
        before = random_state()
        outputs: tuple[Tensor, ...] = plain(*tensors)
        drew = random_state() != before
        return outputs

    return tuple(_run(call, inputs, 1)), drew


class _Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the telling operators and the module in whose forward each is called.

    Attributes:
        batch: Modules whose forward took statistics over the batch.
        random: Modules whose forward drew random numbers, and the operator that did.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.batch: dict[str, None] = {}
        self.random: dict[str, str] = {}
        self._inside = ["the model"]
        self._parameters = {_storage(each) for each in module.parameters() if each.numel()}
        for name, each in module.named_modules():
            if name and not isinstance(each, torch.jit.ScriptModule):
                each.register_forward_pre_hook(self._enter(name))
                each.register_forward_hook(self._leave, always_call=True)

    def _enter(self, name: str) -> Callable[[nn.Module, Any], None]:
        def enter(module: nn.Module, args: Any) -> None:
            self._inside.append(name)

        return enter

    def _leave(self, module: nn.Module, args: Any, result: Any) -> None:
        self._inside.pop()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if asks_for_batch(func, args, kwargs) and self._mixes(args[0]):
            self.batch[self._inside[-1]] = None
        elif torch.Tag.nondeterministic_seeded in func.tags:
            self.random[self._inside[-1]] = func.name().removeprefix("aten::").split(".")[0]
        return func(*args, **kwargs)

    def _mixes(self, x: Tensor) -> bool:
        """Whether a normalisation of ``x`` can mix samples.

        InstanceNorm and weight standardisation are batch normalisations of a tensor whose first
        axis is 1, or of a parameter.
        """
        return len(x) > 1 and _storage(x) not in self._parameters


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _outputs(
    module: nn.Module, inputs: tuple[Tensor, ...], seed: int, trace: _Trace
) -> list[Tensor]:
    with eval_mode(module), trace:
        return _run(module, inputs, seed)


def _run(called: Callable[..., Any], inputs: tuple[Tensor, ...], seed: int) -> list[Tensor]:
    copies = tuple(each.clone() for each in inputs)
    try:
        with undisturbed(seed):
            result = called(*copies)
    except Exception as error:
        raise misfit(inputs, error) from error
    return [each.clone() for each in tree_leaves(result) if isinstance(each, Tensor)]


def _differ(first: list[Tensor], second: list[Tensor], *, exact: bool) -> bool:
    if [each.shape for each in first] != [each.shape for each in second]:
        return True
    return any(
        _distance(a, b) > (0 if exact else _ROUNDING) for a, b in zip(first, second, strict=True)
    )


def _distance(a: Tensor, b: Tensor) -> float:
    """The greatest difference against the greatest value; NaN equals NaN."""
    a, b = (
        each.detach().to(torch.complex128 if each.is_complex() else torch.float64)
        for each in (a, b)
    )
    same = (a == b) | (a.isnan() & b.isnan())
    if bool(same.all()):
        return 0.0
    gap, size = (a - b)[~same].abs().max(), a.abs().max()
    return float("inf") if gap.isnan() else float(gap / size.clamp_min(1e-30))
