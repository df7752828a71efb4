"""What each layer follows and feeds, seen in one forward pass of a copy.

Modules that hold no others are one step each, and so are torch's functions between them. What gives its input back, in
another shape at most, is looked through.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from bnexport.health.facts import is_batch_norm, kind_of
from bnexport.passes.modules import eval_mode, revert_sync_batchnorm, undisturbed
from bnexport.passes.modules.ranks import misfit

__all__ = ["Place", "Step", "wiring"]

# What gives its input back, in another shape at most.
_SAME = frozenset(
    (
        *(
            "view",
            "view_as",
            "reshape",
            "contiguous",
            "flatten",
            "unflatten",
            "squeeze",
            "unsqueeze",
        ),
        *("permute", "transpose", "movedim", "swapaxes", "clone", "detach", "expand", "pad"),
        *("to", "float", "half", "double", "type_as", "dropout", "dropout2d", "feature_dropout"),
        *("Identity", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout"),
        *("Flatten", "Unflatten", "DropPath", "StochasticDepth"),
    )
)


@dataclass(eq=False)
class Step:
    """One call.

    Attributes:
        kind: The class of the layer, or the function's name.
        layer: The layer; None for a function.
        name: The layer's qualified name; empty for a function.
        before: What gave its inputs; the model's own inputs are none.
        behind: What takes its outputs.
        shape: Of its first input.
    """

    kind: str
    layer: nn.Module | None = None
    name: str = ""
    before: list[Step] = field(default_factory=list)
    behind: list[Step] = field(default_factory=list)
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where one layer stands.

    Attributes:
        follows: What gives its inputs, over all its calls.
        feeds: What takes its outputs; empty: an output of the model.
        shapes: Of its input, one a call.
    """

    follows: tuple[Step, ...]
    feeds: tuple[Step, ...]
    shapes: tuple[tuple[int, ...], ...]


def wiring(
    module: nn.Module, inputs: Sequence[Tensor], names: Sequence[str] = ()
) -> dict[str, Place]:
    """The place of each BatchNorm that the forward pass reaches, by name, in the order of the calls.

    Args:
        module: Left as it is: a copy runs, in eval mode.
        inputs: What it is called with.
        names: The parameters that they feed; empty: by position.

    Raises:
        UsageError: The forward pass fails.
    """
    copied = revert_sync_batchnorm(module)
    recorder = _Recorder(copied)
    given = dict(zip(names, inputs, strict=True)) if names else {}
    with undisturbed(0), eval_mode(copied), recorder.attached():
        try:
            with recorder:
                copied(*([] if names else inputs), **given)
        except Exception as error:
            raise misfit(tuple(inputs), error) from error
    return _places(recorder.steps)


def _places(steps: Sequence[Step]) -> dict[str, Place]:
    calls: dict[str, list[Step]] = {}
    for step in steps:
        if step.layer is not None and is_batch_norm(step.layer):
            calls.setdefault(step.name, []).append(step)
    return {
        name: Place(
            tuple(_unique(s for each in made for s in _through(each.before, lambda x: x.before))),
            tuple(_unique(s for each in made for s in _through(each.behind, lambda x: x.behind))),
            tuple(each.shape for each in made),
        )
        for name, made in calls.items()
    }


def _through(steps: Sequence[Step], onward: Callable[[Step], list[Step]]) -> Iterator[Step]:
    """The next steps that do something."""
    waiting, seen = list(steps), set[int]()
    while waiting:
        step = waiting.pop(0)
        if id(step) in seen:
            continue
        seen.add(id(step))
        if step.kind in _SAME:
            waiting += onward(step)
        else:
            yield step


def _unique(steps: Iterator[Step]) -> Iterator[Step]:
    seen = set[int]()
    for step in steps:
        if id(step) not in seen:
            seen.add(id(step))
            yield step


class _Recorder(TorchFunctionMode):
    """Notes which step made each tensor; what runs inside a step is part of it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self._module = module
        self._inside = 0
        # By address, and checked by the reference: an address is used again once its tensor is gone.
        self._made: dict[int, tuple[weakref.ref[Tensor], Step]] = {}

    def attached(self) -> _Hooks:
        return _Hooks(self._module, self._enter, self._leave)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if self._inside:
            return func(*args, **kwargs)
        before = self._givers((args, dict(kwargs)))
        made = func(*args, **kwargs)
        if before and any(isinstance(each, Tensor) for each in tree_leaves(made)):
            name = getattr(func, "__name__", str(func)).strip("_")
            self._add(Step(name.removesuffix("_"), before=before), made)
        return made

    def _enter(self, name: str, layer: nn.Module, given: tuple[Any, ...]) -> None:
        self._inside += 1
        if self._inside == 1:
            values = [each for each in tree_leaves(given) if isinstance(each, Tensor)]
            shape = tuple(values[0].shape) if values else ()
            self._step = Step(kind_of(layer), layer, name, self._givers(given), shape=shape)

    def _leave(self, made: Any) -> None:
        self._inside -= 1
        if self._inside == 0:
            self._add(self._step, made)

    def _givers(self, given: Any) -> list[Step]:
        found = []
        for value in tree_leaves(given):
            reference, step = self._made.get(id(value), (None, None))
            if reference is not None and reference() is value and step not in found:
                found.append(step)
        return [step for step in found if step is not None]

    def _add(self, step: Step, made: Any) -> None:
        self.steps.append(step)
        for giver in step.before:
            giver.behind.append(step)
        for value in tree_leaves(made):
            if isinstance(value, Tensor):
                self._made[id(value)] = weakref.ref(value), step


class _Hooks:
    """Hooks on the layers that count as one step: those without layers inside, and BatchNorms."""

    def __init__(self, module: nn.Module, enter: Any, leave: Any) -> None:
        self._handles: list[Any] = []
        self._module, self._enter, self._leave = module, enter, leave

    def __enter__(self) -> None:
        for name, layer in self._module.named_modules():
            if isinstance(layer, torch.jit.ScriptModule):
                continue  # compiled layers take no hooks
            if is_batch_norm(layer) or not any(True for _ in layer.children()):
                self._handles.append(layer.register_forward_pre_hook(self._before(name)))
                self._handles.append(
                    layer.register_forward_hook(lambda _, given, made: self._leave(made))
                )

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _before(self, name: str) -> Any:
        return lambda layer, given: self._enter(name, layer, given)
