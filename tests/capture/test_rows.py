"""Every row of the table against PyTorch, over its arguments, at batch sizes that were not recorded."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn import functional

from bnexport.capture import Captured, recorded
from bnexport.capture.tape.rows import TABLE
from bnexport.inputs import Examples, InputSpec
from bnexport.signature import Plain

VECTOR, SERIES, IMAGE, VOLUME = (None, 12), (None, 4, 12), (None, 4, 8, 12), (None, 4, 4, 6, 4)
W = torch.randn(200, 200, generator=torch.Generator().manual_seed(1))


class Calls(nn.Module):
    """Calls one function; ``weights`` of any shape are there for it."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("base", W)

    def weights(self, *shape: int) -> torch.Tensor:
        count = int(np.prod(shape))
        return self.base.flatten()[:count].reshape(shape)

    def forward(self, x):
        return self.function(x, self.weights)


def conv(function, shape, bias=True, **options):
    def call(x, w):
        weight = w(*shape)
        return function(
            x,
            weight,
            w(options.get("out", shape[0])) if bias else None,
            **{k: v for k, v in options.items() if k != "out"},
        )

    return call


CASES = {
    # linear
    "conv1d": [
        (SERIES, conv(functional.conv1d, (6, 4, 3))),
        (SERIES, conv(functional.conv1d, (6, 4, 3), False, stride=2, padding=1)),
    ],
    "conv2d": [
        (IMAGE, conv(functional.conv2d, (6, 4, 3, 5), padding=(1, 2), stride=(2, 1))),
        (IMAGE, conv(functional.conv2d, (4, 1, 3, 3), groups=4, dilation=2)),
        (IMAGE, conv(functional.conv2d, (4, 4, 4, 4), False, padding="same")),
        (IMAGE, conv(functional.conv2d, (4, 4, 3, 3), padding="valid")),
    ],
    "conv3d": [(VOLUME, conv(functional.conv3d, (5, 4, 3, 3, 1), padding=(1, 1, 0)))],
    "conv_transpose1d": [
        (SERIES, conv(functional.conv_transpose1d, (4, 6, 3), out=6, stride=2, output_padding=1))
    ],
    "conv_transpose2d": [
        (IMAGE, conv(functional.conv_transpose2d, (4, 3, 2, 2), out=6, groups=2, stride=2)),
        (IMAGE, conv(functional.conv_transpose2d, (4, 6, 3, 3), False, padding=1, dilation=2)),
    ],
    "conv_transpose3d": [
        (VOLUME, conv(functional.conv_transpose3d, (4, 2, 2, 2, 2), out=2, stride=2))
    ],
    "linear": [
        (VECTOR, lambda x, w: functional.linear(x, w(5, 12), w(5))),
        (VECTOR, lambda x, w: functional.linear(x, w(5, 12))),
        (IMAGE, lambda x, w: functional.linear(x, w(5, 12), w(5))),
    ],
    "matmul": [(IMAGE, lambda x, w: x @ w(12, 5)), (IMAGE, lambda x, w: x @ x.mT)],
    "bmm": [(SERIES, lambda x, w: torch.bmm(x, x.transpose(1, 2)))],
    "mm": [(VECTOR, lambda x, w: torch.mm(x, w(12, 3)))],
    "mv": [(VECTOR, lambda x, w: torch.mv(x, w(12)))],
    "addmm": [(VECTOR, lambda x, w: torch.addmm(w(3), x, w(12, 3)))],
    "einsum": [(SERIES, lambda x, w: torch.einsum("bcl, cd -> bdl", x, w(4, 3)))],
    "embedding": [(VECTOR, lambda x, w: functional.embedding((x > 0).long(), w(2, 5)))],
    "scaled_dot_product_attention": [
        (IMAGE, lambda x, w: functional.scaled_dot_product_attention(x, x * 2, x + 1)),
        (IMAGE, lambda x, w: functional.scaled_dot_product_attention(x, x, x, is_causal=True)),
        (
            IMAGE,
            lambda x, w: functional.scaled_dot_product_attention(x, x, x, w(8, 8) > -1, scale=0.3),
        ),
        (IMAGE, lambda x, w: functional.scaled_dot_product_attention(x, x, x, w(8, 8))),
    ],
    # normalisation
    "batch_norm": [
        (IMAGE, lambda x, w: functional.batch_norm(x, w(4), w(4).abs(), w(4), w(4), eps=1e-3)),
        (VECTOR, lambda x, w: functional.batch_norm(x, w(12), w(12).abs())),
    ],
    "layer_norm": [
        (IMAGE, lambda x, w: functional.layer_norm(x, (8, 12), w(8, 12), w(8, 12))),
        (SERIES, lambda x, w: functional.layer_norm(x, (12,), eps=1e-3)),
    ],
    "group_norm": [
        (IMAGE, lambda x, w: functional.group_norm(x, 2, w(4), w(4))),
        (SERIES, lambda x, w: functional.group_norm(x, 4)),
        (IMAGE, lambda x, w: functional.group_norm(x, 1, w(4), w(4), 1e-2)),
    ],
    "instance_norm": [
        (IMAGE, lambda x, w: functional.instance_norm(x, None, None, w(4), w(4))),
        (IMAGE, lambda x, w: functional.instance_norm(x, w(4), w(4).abs(), use_input_stats=False)),
    ],
    "local_response_norm": [
        (IMAGE, lambda x, w: functional.local_response_norm(x, 3, 1e-2, 0.5, 2.0))
    ],
    # activations
    "relu": [(IMAGE, lambda x, w: functional.relu(x)), (IMAGE, lambda x, w: (x + 0).relu_())],
    "sigmoid": [(IMAGE, lambda x, w: torch.sigmoid(x))],
    "tanh": [(IMAGE, lambda x, w: x.tanh())],
    "softsign": [(IMAGE, lambda x, w: functional.softsign(x))],
    "mish": [(IMAGE, lambda x, w: functional.mish(x))],
    "hardswish": [(IMAGE, lambda x, w: functional.hardswish(4 * x))],
    "hardsigmoid": [(IMAGE, lambda x, w: functional.hardsigmoid(4 * x))],
    "silu": [(IMAGE, lambda x, w: functional.silu(x))],
    "gelu": [
        (IMAGE, lambda x, w: functional.gelu(x)),
        (IMAGE, lambda x, w: functional.gelu(x, approximate="tanh")),
    ],
    "leaky_relu": [(IMAGE, lambda x, w: functional.leaky_relu(x, 0.2, inplace=False))],
    "elu": [(IMAGE, lambda x, w: functional.elu(x, 0.7))],
    "celu": [(IMAGE, lambda x, w: functional.celu(x, 0.7))],
    "selu": [(IMAGE, lambda x, w: functional.selu(x))],
    "prelu": [
        (IMAGE, lambda x, w: functional.prelu(x, w(4))),
        (SERIES, lambda x, w: functional.prelu(x, w(1))),
    ],
    "relu6": [(IMAGE, lambda x, w: functional.relu6(8 * x))],
    "hardtanh": [(IMAGE, lambda x, w: functional.hardtanh(x, -0.5, 0.25))],
    "softplus": [
        (IMAGE, lambda x, w: functional.softplus(x)),
        (IMAGE, lambda x, w: functional.softplus(x, beta=2)),
    ],
    "softmax": [
        (IMAGE, lambda x, w: x.softmax(1)),
        (IMAGE, lambda x, w: functional.softmax(x, dim=-1)),
    ],
    "log_softmax": [(IMAGE, lambda x, w: functional.log_softmax(x, 2))],
    "logsigmoid": [(IMAGE, lambda x, w: functional.logsigmoid(x))],
    "glu": [(IMAGE, lambda x, w: functional.glu(x, 1))],
    "threshold": [(IMAGE, lambda x, w: functional.threshold(x, 0.1, -3.0))],
    "tanhshrink": [(IMAGE, lambda x, w: functional.tanhshrink(x))],
    # elements
    "abs": [(IMAGE, lambda x, w: abs(x))],
    "neg": [(IMAGE, lambda x, w: -x)],
    "exp": [(IMAGE, lambda x, w: x.exp())],
    "log": [(IMAGE, lambda x, w: x.abs().log())],
    "sqrt": [(IMAGE, lambda x, w: x.abs().sqrt())],
    "reciprocal": [
        (IMAGE, lambda x, w: 1 / (x.abs() + 1)),
        (IMAGE, lambda x, w: (x.abs() + 1).reciprocal()),
    ],
    "floor": [(IMAGE, lambda x, w: (3 * x).floor())],
    "ceil": [(IMAGE, lambda x, w: (3 * x).ceil())],
    "round": [(IMAGE, lambda x, w: (3 * x).round())],
    "sign": [(IMAGE, lambda x, w: x.sign())],
    "sin": [(IMAGE, lambda x, w: x.sin())],
    "cos": [(IMAGE, lambda x, w: x.cos())],
    "tan": [(IMAGE, lambda x, w: (x / 4).tan())],
    "erf": [(IMAGE, lambda x, w: torch.erf(x))],
    "atan": [(IMAGE, lambda x, w: x.atan())],
    "sinh": [(IMAGE, lambda x, w: x.sinh())],
    "cosh": [(IMAGE, lambda x, w: x.cosh())],
    "asinh": [(IMAGE, lambda x, w: x.asinh())],
    "isnan": [(IMAGE, lambda x, w: (x.clamp(max=1) - 1).log().isnan())],
    "add": [
        (IMAGE, lambda x, w: x + 2),
        (IMAGE, lambda x, w: torch.add(x, w(4, 1, 1), alpha=3)),
        (IMAGE, lambda x, w: 2 + x + x),
        (IMAGE, lambda x, w: x + (x > 0)),
    ],
    "sub": [(IMAGE, lambda x, w: x - w(12)), (IMAGE, lambda x, w: x.sub(1.5, alpha=2))],
    "rsub": [(IMAGE, lambda x, w: 1 - x), (IMAGE, lambda x, w: torch.rsub(x, 3))],
    "mul": [(IMAGE, lambda x, w: x * 0.5 * w(8, 1)), (IMAGE, lambda x, w: (x > 0) * x)],
    "div": [
        (IMAGE, lambda x, w: x / 3),
        (IMAGE, lambda x, w: torch.div(x, 0.3, rounding_mode="trunc")),
        (IMAGE, lambda x, w: torch.div(x, 0.5, rounding_mode="floor")),
    ],
    "rdiv": [(IMAGE, lambda x, w: 2 / (x.abs() + 1))],
    "floor_divide": [(IMAGE, lambda x, w: x // 0.25)],
    "remainder": [(IMAGE, lambda x, w: (5 * x).long() % 3)],
    "trunc": [(IMAGE, lambda x, w: (3 * x).trunc())],
    "pow": [
        (IMAGE, lambda x, w: x**2),
        (IMAGE, lambda x, w: x.abs() ** 0.5),
        (IMAGE, lambda x, w: x.pow(3)),
        (IMAGE, lambda x, w: (x.abs() + 1) ** -1),
        (IMAGE, lambda x, w: x.abs().pow(x)),
    ],
    "rpow": [(IMAGE, lambda x, w: 2**x)],
    "square": [(IMAGE, lambda x, w: x.square())],
    "rsqrt": [(IMAGE, lambda x, w: (x.abs() + 1).rsqrt())],
    "clamp": [
        (IMAGE, lambda x, w: x.clamp(-0.5, 0.5)),
        (IMAGE, lambda x, w: torch.clamp(x, max=0.1)),
        (IMAGE, lambda x, w: x.clamp(min=w(12))),
    ],
    "clamp_min": [(IMAGE, lambda x, w: x.clamp_min(0.2))],
    "clamp_max": [(IMAGE, lambda x, w: x.clamp_max(0.2))],
    "maximum": [(IMAGE, lambda x, w: torch.maximum(x, w(12)))],
    "minimum": [(IMAGE, lambda x, w: torch.minimum(x, -x))],
    "eq": [(IMAGE, lambda x, w: x.round() == 0)],
    "ne": [(IMAGE, lambda x, w: x.round() != 1)],
    "lt": [(IMAGE, lambda x, w: x < 0.5), (IMAGE, lambda x, w: (9 * x).long() < 0.5)],
    "le": [(IMAGE, lambda x, w: x <= -x)],
    "gt": [(IMAGE, lambda x, w: x > w(12))],
    "ge": [(IMAGE, lambda x, w: x.ge(0))],
    "logical_and": [(IMAGE, lambda x, w: torch.logical_and(x > 0, x < 1))],
    "logical_or": [(IMAGE, lambda x, w: torch.logical_or(x > 1, x < 0))],
    "logical_xor": [(IMAGE, lambda x, w: torch.logical_xor(x > 1, x > 0))],
    "logical_not": [(IMAGE, lambda x, w: torch.logical_not(x > 1))],
    "bitwise_and": [(IMAGE, lambda x, w: (x > 0) & (x < 1))],
    "bitwise_or": [(IMAGE, lambda x, w: (x > 1) | (x < 0))],
    "bitwise_xor": [(IMAGE, lambda x, w: (x > 1) ^ (x > 0))],
    "bitwise_not": [(IMAGE, lambda x, w: ~(x > 0))],
    "where": [
        (IMAGE, lambda x, w: torch.where(x > 0, x, 0.0)),
        (IMAGE, lambda x, w: torch.where(x > 0, w(12), x)),
    ],
    "tensor_where": [
        (IMAGE, lambda x, w: x.where(x > 0, w(12))),
        (IMAGE, lambda x, w: (2 * x).where(x > 0, -1.0)),
    ],
    "masked_fill": [(IMAGE, lambda x, w: x.masked_fill(x > 0, -1e4))],
    "dropout": [(IMAGE, lambda x, w: functional.dropout(x, 0.5, training=False) + 1)],
    "to": [
        (IMAGE, lambda x, w: x.to(torch.float64).to(dtype=torch.float32)),
        (IMAGE, lambda x, w: (9 * x).to(torch.int32)),
    ],
    "to_like": [(IMAGE, lambda x, w: (x > 0).type_as(x))],
    "float": [(IMAGE, lambda x, w: (x > 0).float())],
    "half": [(IMAGE, lambda x, w: x.half().float())],
    "double": [(IMAGE, lambda x, w: x.double())],
    "long": [(IMAGE, lambda x, w: (9 * x).long())],
    "int": [(IMAGE, lambda x, w: (9 * x).int())],
    "bool": [(IMAGE, lambda x, w: x.relu().bool())],
    "type": [(IMAGE, lambda x, w: x.type(torch.float64))],
    "addcmul": [(IMAGE, lambda x, w: torch.addcmul(x, x, w(12), value=0.5))],
    "lerp": [
        (IMAGE, lambda x, w: torch.lerp(x, w(12), 0.3)),
        (IMAGE, lambda x, w: torch.lerp(x, -x, x.sigmoid())),
    ],
    "log2": [(IMAGE, lambda x, w: (x.abs() + 1).log2())],
    "log10": [(IMAGE, lambda x, w: (x.abs() + 1).log10())],
    "log1p": [(IMAGE, lambda x, w: x.abs().log1p())],
    "expm1": [(IMAGE, lambda x, w: (x + 1).abs().expm1())],
    "clone": [(IMAGE, lambda x, w: x.clone() + 1)],
    "contiguous": [(IMAGE, lambda x, w: x.transpose(1, 2).contiguous())],
    "detach": [(IMAGE, lambda x, w: x.detach() + 1)],
    # views
    "view": [
        (IMAGE, lambda x, w: x.view(x.shape[0], 2, 2, -1)),
        (IMAGE, lambda x, w: x.view(-1, 12)),
        (IMAGE, lambda x, w: x.view(x.size(0) * 4, 8, 12).view(x.size(0), -1, 6)),
    ],
    "reshape": [
        (
            IMAGE,
            lambda x, w: (
                x.transpose(1, 2).reshape(len(x.shape) * 2, -1, 12)[:, :1, :1] * 0 + 1
                if False
                else x.reshape((-1, 4, 96))
            ),
        )
    ],
    "reshape_as": [(IMAGE, lambda x, w: x.flatten(1).reshape_as(x))],
    "flatten": [
        (IMAGE, lambda x, w: x.flatten(1)),
        (IMAGE, lambda x, w: x.flatten(2)),
        (IMAGE, lambda x, w: x.flatten(0, 1)),
    ],
    "unflatten": [(IMAGE, lambda x, w: x.unflatten(1, (2, 2)))],
    "permute": [
        (IMAGE, lambda x, w: x.permute(0, 2, 3, 1)),
        (IMAGE, lambda x, w: torch.permute(x, (3, 0, -2, 1))),
    ],
    "transpose": [(IMAGE, lambda x, w: x.transpose(1, -1)), (IMAGE, lambda x, w: x.swapaxes(0, 2))],
    "t": [(VECTOR, lambda x, w: x.t() * 2), (VECTOR, lambda x, w: x.T)],
    "mt": [(IMAGE, lambda x, w: x.mT)],
    "movedim": [
        (IMAGE, lambda x, w: x.movedim(1, -1)),
        (IMAGE, lambda x, w: x.movedim((1, 2), (3, 1))),
    ],
    "squeeze": [
        (IMAGE, lambda x, w: x.mean(2, keepdim=True).squeeze(2)),
        (IMAGE, lambda x, w: x.squeeze(1) + 1),
    ],
    "unsqueeze": [(IMAGE, lambda x, w: x.unsqueeze(1)), (IMAGE, lambda x, w: x.unsqueeze(-1))],
    "expand": [
        (IMAGE, lambda x, w: x[:, :1].expand(-1, 3, -1, -1)),
        (IMAGE, lambda x, w: w(1, 4, 1, 1).expand(x.shape[0], -1, 8, 12) + x),
        (VECTOR, lambda x, w: x.expand(3, -1, 12)),
    ],
    "expand_as": [(IMAGE, lambda x, w: x.mean(1, keepdim=True).expand_as(x))],
    "broadcast_to": [(IMAGE, lambda x, w: torch.broadcast_to(x[:, :1], (x.shape[0], 4, 8, 12)))],
    "repeat": [
        (IMAGE, lambda x, w: x.repeat(1, 2, 1, 3)),
        (SERIES, lambda x, w: w(1, 4, 1).repeat(x.shape[0], 1, 12) + x),
        (VECTOR, lambda x, w: x.unsqueeze(1).repeat(1, 3, 1)),
    ],
    "tile": [(IMAGE, lambda x, w: x.tile((1, 1, 2, 1)))],
    "cat": [
        (IMAGE, lambda x, w: torch.cat([x, x * 2], 1)),
        (IMAGE, lambda x, w: torch.cat((x, x.long()), dim=-1)),
    ],
    "stack": [
        (IMAGE, lambda x, w: torch.stack([x, -x], 1)),
        (IMAGE, lambda x, w: torch.stack((x, x), -1)),
    ],
    "chunk": [
        (IMAGE, lambda x, w: x.chunk(3, 3)),
        (IMAGE, lambda x, w: torch.chunk(x, 2, dim=1)[1]),
    ],
    "split": [
        (IMAGE, lambda x, w: x.split(5, 3)),
        (IMAGE, lambda x, w: torch.split(x, (1, 3), 1)[1]),
    ],
    "tensor_split": [(IMAGE, lambda x, w: torch.tensor_split(x, 3, 1))],
    "unbind": [(IMAGE, lambda x, w: x.unbind(1))],
    "narrow": [
        (IMAGE, lambda x, w: x.narrow(1, 1, 2)),
        (IMAGE, lambda x, w: torch.narrow(x, -1, 3, 4)),
    ],
    "select": [(IMAGE, lambda x, w: x.select(1, -1)), (IMAGE, lambda x, w: torch.select(x, 2, 3))],
    "getitem": [
        (IMAGE, lambda x, w: x[:, 1]),
        (IMAGE, lambda x, w: x[..., ::2, 1:-1]),
        (IMAGE, lambda x, w: x[:, None, :, -1]),
        (IMAGE, lambda x, w: x[:, :, 0, :, None]),
        (IMAGE, lambda x, w: x[:, 1:3, 2, 4]),
        (IMAGE, lambda x, w: x[:, torch.tensor([2, 0, 2])]),
        (IMAGE, lambda x, w: x[: x.shape[0], 3:]),
        (VECTOR, lambda x, w: x[..., 3]),
    ],
    "index_select": [(IMAGE, lambda x, w: x.index_select(1, torch.tensor([3, 1])))],
    "gather": [(IMAGE, lambda x, w: x.gather(3, x.argsort(3) if False else (x > 0).long()))],
    "flip": [(IMAGE, lambda x, w: x.flip(1, 3)), (IMAGE, lambda x, w: torch.flip(x, [2]))],
    "roll": [
        (IMAGE, lambda x, w: x.roll(2, 3)),
        (IMAGE, lambda x, w: torch.roll(x, (-1, 3), (2, 3))),
    ],
    "pad": [
        (IMAGE, lambda x, w: functional.pad(x, (1, 2, 0, 3))),
        (IMAGE, lambda x, w: functional.pad(x, (1, 2), value=1.5)),
        (IMAGE, lambda x, w: functional.pad(x, (1, 2, 2, 1), mode="reflect")),
        (IMAGE, lambda x, w: functional.pad(x, (1, 2, 2, 1), mode="replicate")),
        (IMAGE, lambda x, w: functional.pad(x, (1, 2, 2, 1), mode="circular")),
        (IMAGE, lambda x, w: functional.pad(x, (-1, 2))),
    ],
    "pixel_shuffle": [(IMAGE, lambda x, w: functional.pixel_shuffle(x, 2))],
    "pixel_unshuffle": [(IMAGE, lambda x, w: functional.pixel_unshuffle(x, 2))],
    "channel_shuffle": [(IMAGE, lambda x, w: functional.channel_shuffle(x, 2))],
    "tril": [(IMAGE, lambda x, w: x.tril(1))],
    "triu": [(IMAGE, lambda x, w: x.triu(-1))],
    # pooling
    "max_pool1d": [(SERIES, lambda x, w: functional.max_pool1d(x, 3, 2, 1))],
    "max_pool2d": [
        (IMAGE, lambda x, w: functional.max_pool2d(x, 2)),
        (IMAGE, lambda x, w: functional.max_pool2d(x, 3, 2, 1, ceil_mode=True)),
        (IMAGE, lambda x, w: functional.max_pool2d(x, (2, 3), dilation=2)),
        (IMAGE, lambda x, w: functional.max_pool2d(x, 3, 2, ceil_mode=True)),
    ],
    "max_pool3d": [(VOLUME, lambda x, w: functional.max_pool3d(x, 2))],
    "avg_pool1d": [(SERIES, lambda x, w: functional.avg_pool1d(x, 3, 1, 1))],
    "avg_pool2d": [
        (IMAGE, lambda x, w: functional.avg_pool2d(x, 3, 2, 1)),
        (IMAGE, lambda x, w: functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)),
        (IMAGE, lambda x, w: functional.avg_pool2d(x, 2, ceil_mode=True)),
    ],
    "avg_pool3d": [(VOLUME, lambda x, w: functional.avg_pool3d(x, 2))],
    "adaptive_avg_pool1d": [(SERIES, lambda x, w: functional.adaptive_avg_pool1d(x, 5))],
    "adaptive_avg_pool2d": [
        (IMAGE, lambda x, w: functional.adaptive_avg_pool2d(x, 1)),
        (IMAGE, lambda x, w: functional.adaptive_avg_pool2d(x, (4, 3))),
        (IMAGE, lambda x, w: functional.adaptive_avg_pool2d(x, (3, 5))),
        (IMAGE, lambda x, w: functional.adaptive_avg_pool2d(x, (None, 7))),
    ],
    "adaptive_avg_pool3d": [(VOLUME, lambda x, w: functional.adaptive_avg_pool3d(x, (2, 3, 1)))],
    "adaptive_max_pool1d": [(SERIES, lambda x, w: functional.adaptive_max_pool1d(x, 3))],
    "adaptive_max_pool2d": [
        (IMAGE, lambda x, w: functional.adaptive_max_pool2d(x, (2, 4))),
        (IMAGE, lambda x, w: functional.adaptive_max_pool2d(x, 1)),
    ],
    "adaptive_max_pool3d": [(VOLUME, lambda x, w: functional.adaptive_max_pool3d(x, 1))],
    # reductions
    "sum": [
        (IMAGE, lambda x, w: x.sum((1, 3))),
        (IMAGE, lambda x, w: (x > 0).sum(1)),
        (IMAGE, lambda x, w: x.sum(-1, keepdim=True)),
    ],
    "mean": [
        (IMAGE, lambda x, w: x.mean((2, 3))),
        (IMAGE, lambda x, w: x.mean((2, 3), keepdim=True)),
        (IMAGE, lambda x, w: x.mean(1)),
    ],
    "prod": [(IMAGE, lambda x, w: x.prod(1))],
    "amax": [(IMAGE, lambda x, w: x.amax((2, 3))), (IMAGE, lambda x, w: x.amax(1, keepdim=True))],
    "amin": [(IMAGE, lambda x, w: x.amin(-1))],
    "logsumexp": [(IMAGE, lambda x, w: x.logsumexp(1))],
    "max": [
        (IMAGE, lambda x, w: x.max(1)),
        (IMAGE, lambda x, w: torch.max(x, dim=2, keepdim=True)[0]),
        (IMAGE, lambda x, w: torch.max(x, -x)),
    ],
    "min": [(IMAGE, lambda x, w: x.min(dim=3).values)],
    "argmax": [(IMAGE, lambda x, w: x.argmax(1)), (IMAGE, lambda x, w: x.argmax(-1, keepdim=True))],
    "argmin": [(IMAGE, lambda x, w: x.argmin(2))],
    "norm": [
        (IMAGE, lambda x, w: x.norm(dim=1)),
        (IMAGE, lambda x, w: torch.norm(x, p=1, dim=(2, 3), keepdim=True)),
    ],
    "linalg_vector_norm": [
        (IMAGE, lambda x, w: torch.linalg.vector_norm(x, dim=1)),
        (IMAGE, lambda x, w: functional.normalize(x, dim=1)),
    ],
    "var": [
        (IMAGE, lambda x, w: x.var(1)),
        (IMAGE, lambda x, w: x.var((2, 3), unbiased=False, keepdim=True)),
        (IMAGE, lambda x, w: torch.var(x, 1, correction=0)),
    ],
    "std": [(IMAGE, lambda x, w: x.std((2, 3)))],
    "var_mean": [(IMAGE, lambda x, w: torch.var_mean(x, dim=1, unbiased=False))],
    "std_mean": [(IMAGE, lambda x, w: torch.std_mean(x, dim=1, keepdim=True))],
    "cumsum": [(IMAGE, lambda x, w: x.cumsum(1)), (IMAGE, lambda x, w: (x > 0).cumsum(-1))],
    "topk": [
        (IMAGE, lambda x, w: x.topk(3, 3)),
        (IMAGE, lambda x, w: x.topk(2, dim=1, largest=False)[0]),
    ],
    # made after the batch
    "zeros": [(VECTOR, lambda x, w: x + torch.zeros(x.shape[0], 1))],
    "ones": [(VECTOR, lambda x, w: x + torch.ones((x.shape[0], 12)))],
    "full": [(VECTOR, lambda x, w: x + torch.full((x.shape[0], 12), 2.5))],
    "new_zeros": [(VECTOR, lambda x, w: torch.cat([x, x.new_zeros(x.shape[0], 2)], 1))],
    "new_ones": [(VECTOR, lambda x, w: torch.cat([x, x.new_ones((x.shape[0], 2))], 1))],
    "new_full": [(VECTOR, lambda x, w: torch.cat([x, x.new_full((x.shape[0], 2), 7.0)], 1))],
    "zeros_like": [(VECTOR, lambda x, w: torch.zeros_like(x) + x)],
    "ones_like": [(VECTOR, lambda x, w: torch.ones_like(x, dtype=torch.float64) + x)],
    "full_like": [(VECTOR, lambda x, w: torch.full_like(x, 3.0) * x)],
    # sampling
    "interpolate": [
        (IMAGE, lambda x, w: functional.interpolate(x, scale_factor=2)),
        (IMAGE, lambda x, w: functional.interpolate(x, size=(5, 7))),
        (IMAGE, lambda x, w: functional.interpolate(x, size=(13, 12), mode="bilinear")),
        (
            IMAGE,
            lambda x, w: functional.interpolate(
                x, size=(13, 17), mode="bilinear", align_corners=True
            ),
        ),
        (IMAGE, lambda x, w: functional.interpolate(x, scale_factor=1.7, mode="bilinear")),
        (
            IMAGE,
            lambda x, w: functional.interpolate(
                x, scale_factor=(2.0, 0.5), mode="bilinear", recompute_scale_factor=True
            ),
        ),
        (IMAGE, lambda x, w: functional.interpolate(x, size=(16, 20), mode="bicubic")),
        (IMAGE, lambda x, w: functional.interpolate(x, scale_factor=3, mode="nearest-exact")),
        (SERIES, lambda x, w: functional.interpolate(x, scale_factor=2, mode="linear")),
        (VOLUME, lambda x, w: functional.interpolate(x, scale_factor=2, mode="trilinear")),
        (IMAGE, lambda x, w: functional.interpolate(x, size=(1, 5), mode="bilinear")),
        (IMAGE, lambda x, w: functional.interpolate(x, size=(1, 1), mode="bicubic")),
        (IMAGE, lambda x, w: functional.interpolate(x, scale_factor=0.125, mode="bilinear")),
        (SERIES, lambda x, w: functional.interpolate(x, size=1, mode="linear")),
        (IMAGE, lambda x, w: functional.interpolate(x, scale_factor=1.05, mode="bilinear")),
        (IMAGE, lambda x, w: functional.interpolate(x, scale_factor=1.2)),
        (
            IMAGE,
            lambda x, w: functional.interpolate(x[..., :11], size=(8, 26), mode="nearest-exact"),
        ),
        ((None, 2, 14, 26), lambda x, w: functional.interpolate(x, size=(8, 16))),
        ((None, 2, 20, 20), lambda x, w: functional.interpolate(x, size=(12, 12))),
        ((None, 2, 20, 20), lambda x, w: functional.interpolate(x, scale_factor=0.6)),
        (
            (None, 2, 26, 12),
            lambda x, w: functional.interpolate(x, size=(11, 12), mode="nearest-exact"),
        ),
        ((None, 2, 30, 30), lambda x, w: functional.interpolate(x, scale_factor=2.1)),
    ],
    "grid_sample": [
        (
            IMAGE,
            lambda x, w: functional.grid_sample(
                x, x[:, :2, :3, :5].permute(0, 2, 3, 1), align_corners=False
            ),
        ),
        (
            IMAGE,
            lambda x, w: functional.grid_sample(
                x, x[:, :2, :3, :5].permute(0, 2, 3, 1), "nearest", "border", True
            ),
        ),
    ],
}
# Tested through the layers that call them, in test_recurrent, or written as another row's spelling.
ELSEWHERE = {
    "lstm",
    "gru",
    "log_sigmoid",
    "native_channel_shuffle",
    "alias",
    "positive",
    "bfloat16",
    "ravel",
    "rms_norm",
    "arange",
}
EVERY = [(name, place) for name, cases in CASES.items() for place in range(len(cases))]


def examples(shape: tuple[int | None, ...]) -> Examples:
    return Examples((InputSpec("x", shape),))


def right(module: nn.Module, captured: Captured, shape: tuple[int | None, ...], n: int) -> bool:
    (x,) = examples(shape).batch(n, seed=n)
    plain = Plain(module, ["x"]).eval()
    with torch.no_grad():
        wanted = plain(x)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    data = ir.to_proto(captured.model).SerializeToString()
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    found = session.run(None, {"x": x.numpy()})
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.numpy().dtype
        assert a.shape == tuple(b.shape)
        np.testing.assert_allclose(a, b.numpy(), rtol=2e-4, atol=2e-5)
    return True


@pytest.mark.parametrize(("name", "place"), EVERY)
def test_a_row_computes_what_pytorch_does(name, place):
    shape, function = CASES[name][place]
    module = Calls(function).eval()
    captured = recorded(Plain(module, ["x"]).eval(), examples(shape))
    assert isinstance(captured, Captured), captured
    assert all(right(module, captured, shape, n) for n in (1, 3))
    for value, spec in zip(captured.model.graph.inputs, (shape,), strict=True):
        assert len(value.shape) == len(spec)


def test_every_row_has_a_case():
    assert set(TABLE) - set(CASES) == ELSEWHERE


# What a row would translate wrongly, or another function by the same name.
REFUSED = {
    "view as another type": (IMAGE, lambda x, w: x.view(torch.int32)),
    "a list as index": (IMAGE, lambda x, w: x.permute(1, 2, 3, 0)[[0, 2]]),
    "index_select by a number": (IMAGE, lambda x, w: x.index_select(1, torch.tensor(2))),
    "parts that overlap": (IMAGE, lambda x, w: x.tensor_split([5, 2], 2)),
    "softplus that shows": (IMAGE, lambda x, w: functional.softplus(x, 1, 0.5)),
    "rounded down": (IMAGE, lambda x, w: x.round() // 0.1),
    "rounded down by a function": (IMAGE, lambda x, w: torch.div(x, 0.3, rounding_mode="floor")),
    "comparison in place": (IMAGE, lambda x, w: (x + 0).gt_(0)),
    "sigmoid of whole numbers": (IMAGE, lambda x, w: x.long().sigmoid()),
    "floor of whole numbers": (IMAGE, lambda x, w: x.long().floor() + x),
    "order of truth values": (IMAGE, lambda x, w: (x > 0) > (x > 1)),
    "too few for a variance": (IMAGE, lambda x, w: x.var(1, correction=4)),
    "a mask that hides all": (
        IMAGE,
        lambda x, w: functional.scaled_dot_product_attention(
            x, x, x, torch.full((8, 8), float("-inf"))
        ),
    ),
    "a mask that may hide all": (
        IMAGE,
        lambda x, w: functional.scaled_dot_product_attention(
            x, x, x, torch.where(x[..., :8] > 0, 0.0, float("-inf"))
        ),
    ),
    "einsum that sums the rest": (IMAGE, lambda x, w: torch.einsum("...i,...i->i", x, x)),
    "einsum of two ranks": (IMAGE, lambda x, w: torch.einsum("...ij,...jk->...ik", x, w(12, 8))),
    "bicubic that leaves the size": (
        IMAGE,
        lambda x, w: functional.interpolate(x, scale_factor=1.05, mode="bicubic"),
    ),
    "bilinear of bytes": (
        IMAGE,
        lambda x, w: functional.interpolate((x > 0).byte(), size=(5, 5), mode="bilinear"),
    ),
    "a factor in single precision": (
        (None, 2, 100, 4),
        lambda x, w: functional.interpolate(x, scale_factor=(2.3, 1.0), mode="bilinear"),
    ),
    "an operator's packet": (IMAGE, lambda x, w: torch.ops.aten.elu(x, 1.0, 2.0)),
    "another embedding": (IMAGE, lambda x, w: torch.embedding(w(5, 3), x.abs().long().clamp(0, 4))),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_row_is_left_to_export(name):
    shape, function = REFUSED[name]
    captured = recorded(Plain(Calls(function).eval(), ["x"]).eval(), examples(shape))
    assert isinstance(captured, str), "it was written"


UNBATCHED = {
    "flip of no axis": lambda t: t.flip(()),
    "a number's norm": lambda t: t + torch.norm(-t[0, 0].abs(), 1),
    "alpha of what is subtracted": lambda t: torch.rsub(t, 3, alpha=2),
    "a pair of a class of its own": lambda t: torch.cat(t[:1].max(1)[:1]),
}


@pytest.mark.parametrize("name", UNBATCHED)
def test_an_input_without_a_batch_axis(name):
    both = Examples((InputSpec("x", (None, 5)), InputSpec("t", (4, 5))))

    class Both(nn.Module):
        def forward(self, x, t):
            return x * 2 + UNBATCHED[name](t).sum()

    plain = Plain(Both().eval(), ["x", "t"]).eval()
    captured = recorded(plain, both)
    assert isinstance(captured, Captured), captured
    session = onnxruntime.InferenceSession(
        ir.to_proto(captured.model).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for n in (1, 3):
        x, t = both.batch(n, seed=n)
        found = session.run(None, {"x": x.numpy(), "t": t.numpy()})[0]
        np.testing.assert_allclose(found, plain(x, t)[0].numpy(), rtol=1e-4, atol=1e-5)


class Recurrent(nn.Module):
    def __init__(self, layer: nn.Module, first: bool) -> None:
        super().__init__()
        self.layer, self.first = layer, first

    def forward(self, x):
        y, state = self.layer(x if self.first else x.transpose(0, 1))
        last = state[0] if isinstance(state, tuple) else state
        return y, last.transpose(0, 1)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "num_layers": 2}, {"bias": False}])
def test_recurrent_layers(kind, first, options):
    torch.manual_seed(0)
    module = Recurrent(kind(12, 5, batch_first=first, **options), first).eval()
    captured = recorded(Plain(module, ["x"]).eval(), examples(SERIES))
    assert isinstance(captured, Captured), captured
    assert all(right(module, captured, SERIES, n) for n in (1, 3))
