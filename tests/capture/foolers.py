"""Modules made to fool a recorder: what it sees at two batch sizes is not what they do at others, or on other numbers.

Each takes (n, 3, 8, 8). ``FOOLERS`` has a factory by name.
"""

from __future__ import annotations

import random
from collections import namedtuple
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["FOOLERS", "Does"]

COUNTER = [0]
TABLE: dict[int, Tensor] = {}
MEAN = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)


class Does(nn.Module):
    """A convolution, then what is to be tried."""

    def __init__(self, after: Callable[[Does, Tensor], object]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("grid", torch.linspace(0, 1, 8))
        self.count, self.kept, self.after = 0, None, after

    def forward(self, x: Tensor) -> object:
        return self.after(self, self.norm(self.conv(x)))


class Double(torch.autograd.Function):
    """A function that torch's own tables do not know."""

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * 2


class Outside(torch.autograd.Function):
    """One that computes where no torch function is called."""

    @staticmethod
    def forward(ctx, x):
        return torch.from_numpy(np.tanh(x.detach().numpy()))

    @staticmethod
    def backward(ctx, grad):
        return grad


def keyed(m, y):
    if y.shape[0] not in TABLE:
        TABLE[y.shape[0]] = torch.arange(y.shape[0] * 1.0).view(-1, 1, 1, 1)
    return y + TABLE[y.shape[0]]


def cached_by_size(m, y):
    if m.kept is None or m.kept.shape[0] != y.shape[0]:
        m.kept = torch.ones(y.shape[0], 1, 1, 1) * y.shape[0]
    return y * m.kept


def cached_grid(m, y):
    if m.kept is None:
        m.kept = torch.linspace(-1, 1, y.shape[-1])
    return y * m.kept


def last_input(m, y):
    before, m.kept = m.kept, y.detach()
    return y if before is None else y + before.mean()


def counted(m, y):
    m.count += 1
    return y * m.count


def buffered(m, y):
    m.calls += 1
    return y + m.calls


def running(m, y):
    m.norm.running_mean.mul_(0.9)
    return m.norm(y)


def swapped(m, y):
    m.grid = m.grid.flip(0)
    return y * m.grid


def counted_globally(m, y):
    COUNTER[0] += 1
    return y + COUNTER[0]


def into_view(m, y):
    y = y.clone()
    part = y[:, :2]
    part.mul_(3)
    return y


def into_rows(m, y):
    y = y.clone()
    y[:, 0] = 0
    return y


def through_flat(m, y):
    y = y.contiguous()
    flat = y.view(y.shape[0], -1)
    flat.add_(1)
    return y + 0


def aliased_by_data(m, y):
    y = y + 0
    y.data.mul_(2)
    return y


def into_constant(m, y):
    total = torch.zeros(8)
    for row in range(3):
        total += m.grid * row
    return y + total


def accumulated(m, y):
    total = torch.zeros(4, 8, 8)
    total += y.sum(0)
    return y + total


def hooked(m, y):
    handle = m.norm.register_forward_hook(lambda layer, args, out: out * (1 + args[0].shape[0]))
    try:
        return m.norm(y)
    finally:
        handle.remove()


def tried(m, y):
    try:
        return y.view(3, -1, 64)
    except RuntimeError:
        return y.flatten(1)


def switched(m, y):
    return y if torch.is_grad_enabled() else y * 2


def autocast(m, y):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return m.conv(y[:, :3]).float()


def scripted(m, y):
    return torch.jit.script(nn.ReLU())(y)


def mapped(m, y):
    return torch.func.vmap(lambda row: row * row.mean())(y)


def compiled_weights(m, y):
    weight = m.conv.weight - m.conv.weight.mean((1, 2, 3), keepdim=True)
    return functional.conv2d(y[:, :3], weight / weight.std((1, 2, 3), keepdim=True), padding=1)


def caught_size(m, y):
    try:
        large = int(y.shape[0]) > 4
    except Exception:
        large = False
    return y * 2 if large else y


def caught_values(m, y):
    try:
        small = torch.equal(y, y.clamp(-10, 10))
    except Exception:
        small = True
    return y * 2 if small else y


def caught_list(m, y):
    try:
        high = max(y.flatten(1).tolist()[0]) > 10
    except:  # noqa: E722
        high = False
    return y * 2 if high else y


def kept_size(m, y):
    if m.kept is None:
        m.kept = torch.ones(1) * y.shape[0]
    return y * m.kept


def kept_statistics(m, y):
    if m.kept is None:
        m.kept = 1 / y.std((0, 2, 3), keepdim=True)
    return y * m.kept


def kept_first_sample(m, y):
    if m.kept is None:
        m.kept = y[:1].mean()
    return y * m.kept


def kept_in_a_list(m, y):
    m.calls_seen = getattr(m, "calls_seen", [])
    m.calls_seen.append(y.shape[0])
    return y * len(m.calls_seen)


def kept_grid_and_written(m, y):
    if m.kept is None:
        m.kept = torch.linspace(-1, 1, 8)
    return y.mul_(2) + m.kept


def kept_shape(m, y):
    m.last = y.shape
    return y * 2


Pair = namedtuple("Pair", "a b")


@torch.jit.script
def compiled_size(y: Tensor) -> int:
    return y.size(0)


@torch.jit.script
def compiled_peak(y: Tensor) -> bool:
    return bool(y.abs().max() > 20)


@torch.overrides.wrap_torch_function(lambda y: (y,))
def relu(y):
    return y * 3


def hidden_by_mask(m, y):
    tokens = y.flatten(2)
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(64, 2, batch_first=True).eval()
    return layer(tokens, tokens, tokens, key_padding_mask=tokens[..., 0] > 0, need_weights=False)[0]


def groups(m, y):
    b, c, h, w = y.shape
    return y.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)


def to_batch(m, y):
    b, c, h, w = y.shape
    return y.reshape(b * c, 1, h, w).mean((2, 3)).view(b, c)


WAYS: dict[str, Callable[[Does, Tensor], object]] = {
    # branches on the batch
    "more_than_four": lambda m, y: y * 2 if y.shape[0] > 4 else y,
    "one_apart": lambda m, y: y * 2 if y.shape[0] == 1 else y,
    "odd_apart": lambda m, y: y * 2 if y.shape[0] % 2 else y,
    "by_len": lambda m, y: y * 2 if len(y) >= 3 else y,
    "by_numel": lambda m, y: y * 2 if y.numel() > 1000 else y,
    "least": lambda m, y: y * min(y.shape[0], 2),
    "loop_of_quarters": lambda m, y: sum((y * i for i in range(y.shape[0] // 4)), y),
    "loop_of_samples": lambda m, y: torch.stack([y[i] * 2 for i in range(y.shape[0])]),
    "rows": lambda m, y: torch.stack([row * row.mean() for row in y]),
    "unbound": lambda m, y: torch.stack([row * row.max() for row in y.unbind(0)]),
    "listed": lambda m, y: y * [1.0, 2.0, 3.0][: y.shape[0]][-1],
    "repeated_list": lambda m, y: y + len([0] * y.shape[0]),
    "named_by_size": lambda m, y: y + {"1": 0, "2": 0}.get(str(y.size(0)), 5),
    "caught": tried,
    "caught_size": caught_size,
    "by_repr": lambda m, y: y * {"3": 2.0}.get(repr(y.shape[0]), 1.0),
    "by_text": lambda m, y: y * 2 if f"{list(y.shape)}".startswith("[3") else y,
    "by_tuple": lambda m, y: y * 2 if "%s" % (tuple(y.shape[:1]),) == "(3,)" else y,  # noqa: UP031
    "same_size": lambda m, y: y * 2 if y.is_same_size(torch.zeros(3, 4, 8, 8)) else y,
    "compiled_size": lambda m, y: y * 2 if compiled_size(y) > 2 else y,
    "in_four": lambda m, y: y.view(2, 2, -1),
    # the batch as a number
    "halves": lambda m, y: y.reshape(y.shape[0] // 1, 2, 2, 8, 8).sum(1),
    "scaled_by_batch": lambda m, y: y / y.shape[0],
    "scaled_by_size": lambda m, y: y * float(y.size(0)),
    "twice": lambda m, y: torch.cat([y, y]).view(y.shape[0] * 2, -1)[: y.shape[0]],
    "half_of_batch": lambda m, y: y[: (y.shape[0] + 1) // 2],
    "every_other": lambda m, y: y[::2],
    "first": lambda m, y: y[:1] + y,
    "but_first": lambda m, y: torch.cat([y[:1], y[1:] * 2]),
    "flat_batch": lambda m, y: y.flatten(0, 1).view(y.shape[0] * 4, 64).sum(1).view(-1, 4),
    "to_batch": to_batch,
    "groups": groups,
    "counted_zeros": lambda m, y: y.flatten(1) + torch.zeros(y.shape[0], 256),
    "positions": lambda m, y: y + torch.arange(y.shape[0]).view(-1, 1, 1, 1),
    "shape_plus_one": lambda m, y: torch.zeros(y.shape[0] + 1, 2) + 1,
    "expanded": lambda m, y: m.grid.expand(y.shape[0], -1) + y.mean((1, 2)),
    "tensor_of_size": lambda m, y: y * torch.tensor([y.shape[0]]),
    "squeezed": lambda m, y: y.mean((1, 2, 3), keepdim=True).squeeze(),
    "squeezed_first": lambda m, y: y.squeeze(0),
    "turned": lambda m, y: y.transpose(0, 1).flatten(1).softmax(1),
    "strided": lambda m, y: y * 2 if y.stride(0) > 256 else y,
    "laid_out": lambda m, y: y * 2 if y.transpose(0, 1).is_contiguous() else y,
    # the values
    "sign_of_mean": lambda m, y: y if y.mean() > 0 else -y,
    "item": lambda m, y: y * y.max().item(),
    "as_float": lambda m, y: y * float(y.max()),
    "as_list": lambda m, y: y * max(y.flatten().tolist()),
    "as_numpy": lambda m, y: torch.from_numpy(np.sqrt(np.abs(y.detach().numpy()))),
    "as_array": lambda m, y: y * float(np.asarray(y.detach()).max()),
    "tensor_of_values": lambda m, y: y + torch.tensor([float(v) for v in y.flatten()[:3]]).sum(),
    "caught_values": caught_values,
    "caught_list": caught_list,
    "compiled_peak": lambda m, y: y * 2 if compiled_peak(y) else y,
    "in_a_pair": lambda m, y: y * torch.stack(Pair(y[0, 0, 0, 0], y[0, 1, 0, 0])).sum(),
    "hidden_by_mask": hidden_by_mask,
    "all_close": lambda m, y: y if torch.allclose(y, y.relu()) else y * 2,
    "where": lambda m, y: torch.where(y > 0, y, y * 0.1),
    "masked": lambda m, y: y[y > 0].sum() + y,
    "chosen": lambda m, y: y.flatten(1).gather(1, y.flatten(1).argmax(1, keepdim=True)),
    "none_yet": lambda m, y: y + (y > 100).nonzero().shape[0],
    "masked_none": lambda m, y: y + len(y[y > 100]),
    "nonzero": lambda m, y: y + y.nonzero().shape[0],
    # state
    "counted": counted,
    "buffered": buffered,
    "running": running,
    "swapped": swapped,
    "globally": counted_globally,
    "keyed": keyed,
    "cached_by_size": cached_by_size,
    "cached_grid": cached_grid,
    "last_input": last_input,
    "kept_size": kept_size,
    "kept_statistics": kept_statistics,
    "kept_first_sample": kept_first_sample,
    "kept_in_a_list": kept_in_a_list,
    "kept_grid_and_written": kept_grid_and_written,
    "kept_shape": kept_shape,
    "global_tensor": lambda m, y: y[:, :3] + MEAN,
    # writing
    "into_view": into_view,
    "into_rows": into_rows,
    "through_flat": through_flat,
    "aliased_by_data": aliased_by_data,
    "into_constant": into_constant,
    "accumulated": accumulated,
    "in_place": lambda m, y: y.add_(1).relu_().mul_(2),
    "in_place_then_old": lambda m, y: (y * 2) + y.relu_(),
    # chance
    "noise": lambda m, y: y + torch.rand_like(y),
    "live_dropout": lambda m, y: functional.dropout(y, 0.5, training=True),
    "numpy_noise": lambda m, y: y * np.random.rand(),
    "python_noise": lambda m, y: y * random.random(),
    # what the recorder does not see into
    "named_like_relu": lambda m, y: relu(y),
    "custom": lambda m, y: Double.apply(y),
    "outside": lambda m, y: Outside.apply(y),
    "scripted": scripted,
    "mapped": mapped,
    "autocast": autocast,
    "hooked": hooked,
    "switched": switched,
    "weights_computed": compiled_weights,
    # over the batch
    "mean_over_batch": lambda m, y: y - y.mean(0, keepdim=True),
    "batch_statistics": lambda m, y: functional.batch_norm(y, None, None, training=True),
    "sorted": lambda m, y: y.sort(0).values,
    "rolled": lambda m, y: y.roll(1, 0),
    "flipped": lambda m, y: y.flip(0),
    "summed_up": lambda m, y: y.cumsum(0),
    "softmax_over_batch": lambda m, y: y.softmax(0),
    # outputs
    "pair": lambda m, y: (y, y.relu()),
    "named": lambda m, y: {"b": y, "a": [y.relu(), y]},
    "a_parameter": lambda m, y: (y, m.conv.weight),
    "a_constant": lambda m, y: (y, torch.ones(3)),
}


def _factory(after: Callable[[Does, Tensor], object]) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            module = Does(after)
            module.norm.running_mean.normal_()
        return module.eval()

    return build


FOOLERS = {name: _factory(after) for name, after in WAYS.items()}
