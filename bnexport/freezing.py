"""BatchNorm that stays in eval mode while the rest of the model trains: fine-tuning on small batches."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from torch import Tensor, nn

from bnexport.health.facts import is_batch_norm

__all__ = ["FrozenBatchNorms", "freeze_batch_norm"]

_TRAIN = "train"


class _Stays:
    """Takes the place of a layer's ``train``: whatever it is told, the layer is in eval mode.

    A class of its own, so that a model which has it can be copied and pickled.
    """

    def __init__(self, layer: nn.Module) -> None:
        self._layer = layer

    def __call__(self, mode: bool = True) -> nn.Module:
        return nn.Module.train(self._layer, False)


@dataclass(frozen=True)
class _Before:
    """How a layer was."""

    layer: nn.Module
    training: bool
    gradients: tuple[tuple[Tensor, bool], ...]


class FrozenBatchNorms:
    """The layers that `freeze_batch_norm` froze, and the way back; a context manager, too.

    Attributes:
        names: Of the layers.
    """

    def __init__(self, names: tuple[str, ...], before: tuple[_Before, ...]) -> None:
        self.names, self._before = names, before

    def undo(self) -> None:
        """Give each layer its ``train`` back, its mode and whether its parameters have gradients.

        A second call does nothing.
        """
        for each in self._before:
            each.layer.__dict__.pop(_TRAIN, None)
            each.layer.training = each.training
            for parameter, required in each.gradients:
                parameter.requires_grad_(required)
        self._before = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.undo()


def freeze_batch_norm(module: nn.Module, *, affine: bool = True) -> FrozenBatchNorms:
    """Keep every BatchNorm of ``module`` in eval mode, through ``module.train()`` as well.

    The module itself is changed: that is what it is called for. Running statistics are used and no longer
    updated. Freeze again after ``convert_sync_batchnorm``, which makes new layers. Undo before pickling the whole
    module for somebody else; a ``state_dict`` is as ever.

    Args:
        module: In any mode. Layers that are frozen already are left as they are.
        affine: Whether weight and bias get no gradients either.

    Returns:
        The names of the layers, and ``undo()``; as a context manager it undoes on leaving.
    """
    names, before = [], []
    for name, layer in module.named_modules():
        if not is_batch_norm(layer) or _TRAIN in layer.__dict__:
            continue
        own = tuple(layer.parameters(recurse=False)) if affine else ()
        gradients = tuple((parameter, parameter.requires_grad) for parameter in own)
        before.append(_Before(layer, layer.training, gradients))
        names.append(name)
        for parameter in own:
            parameter.requires_grad_(False)
        layer.training = False
        layer.__dict__[_TRAIN] = _Stays(layer)
    return FrozenBatchNorms(tuple(names), tuple(before))
