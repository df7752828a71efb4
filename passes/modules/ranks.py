"""The rank of what each BatchNorm sees: watched in a forward pass, or read off its neighbour."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from bnexport.errors import UsageError
from bnexport.passes.modules.evaluation import eval_mode, undisturbed

__all__ = ["infer_ranks", "watch_ranks"]

_CONV_RANK: dict[type[nn.Module], int] = {
    nn.Conv1d: 3,
    nn.Conv2d: 4,
    nn.Conv3d: 5,
    nn.ConvTranspose1d: 3,
    nn.ConvTranspose2d: 4,
    nn.ConvTranspose3d: 5,
}


def watch_ranks(
    module: nn.Module, names: Iterable[str], inputs: tuple[Tensor, ...]
) -> dict[str, set[int]]:
    """The ranks that reach the named layers in one forward pass of ``module``.

    The module is run in eval mode; what its forward writes stays written, so give it a copy.

    Raises:
        UsageError: The forward pass fails on these inputs.
    """
    layers = dict(module.named_modules())
    ranks: dict[str, set[int]] = {name: set() for name in names}

    def watch(name: str) -> None:
        def hook(layer: nn.Module, args: tuple[object, ...]) -> None:
            if args and isinstance(args[0], Tensor):
                ranks[name].add(args[0].dim())

        layers[name].register_forward_pre_hook(hook)

    for name in ranks:
        watch(name)
    try:
        with undisturbed(), eval_mode(module):
            module(*inputs)
    except Exception as error:
        raise misfit(inputs, error) from error
    return ranks


def misfit(inputs: tuple[Tensor, ...], error: Exception) -> UsageError:
    """The error for a model whose forward pass fails on its example inputs."""
    given = ", ".join(f"{str(x.dtype).removeprefix('torch.')} {tuple(x.shape)}" for x in inputs)
    reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return UsageError(
        f"the model does not run on the example inputs ({given})",
        f"{type(error).__name__}: {reason}",
        "Give inputs that fit, for example --input x:Nx3x224x224, or real ones with --inputs-from",
    )


def infer_ranks(module: nn.Module) -> dict[nn.Module, int]:
    """The rank behind each layer whose neighbour leaves no doubt.

    A layer that stands right after a convolution of as many channels gets its rank; activations and
    dropout may lie between. After a Linear only in a Sequential, where nothing can reshape between.
    """
    ranks: dict[nn.Module, int] = {}
    for parent in module.modules():
        rank, channels = 0, 0
        for child in parent.children():
            if getattr(child, "num_features", None) == channels and rank:
                ranks.setdefault(child, rank)
            if not _keeps_shape(child):
                rank, channels = _output(child, isinstance(parent, nn.Sequential))
    return ranks


def _output(layer: nn.Module, direct: bool) -> tuple[int, int]:
    for kind, rank in _CONV_RANK.items():
        if isinstance(layer, kind):
            return rank, int(layer.out_channels)  # type: ignore[arg-type]
    if direct and isinstance(layer, nn.Linear):
        return 2, layer.out_features
    return 0, 0


def _keeps_shape(layer: nn.Module) -> bool:
    return type(layer).__module__ in (
        "torch.nn.modules.activation",
        "torch.nn.modules.dropout",
    ) and not isinstance(layer, nn.MultiheadAttention)
