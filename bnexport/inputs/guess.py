"""Find inputs that a model runs on, cheapest and likeliest first; see `bnexport.inputs.infer`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from bnexport.errors import UsageError
from bnexport.inputs import Examples, InputSpec
from bnexport.inputs.entry_layers import Candidate, candidates, entry_layers
from bnexport.inputs.forward import all_parameters, float_dtype, required_parameters
from bnexport.passes.modules import revert_sync_batchnorm, undisturbed, unwrap
from bnexport.signature import Plain

__all__ = ["guess"]

_BATCH = 2
_FAMILIES = 4
_COMBINATIONS = 48


def guess(module: nn.Module, example: tuple[Tensor, ...] | None) -> Examples:
    """See `bnexport.inputs.infer`."""
    inside, _ = unwrap(module)
    names = required_parameters(inside)
    trials = _Trials(revert_sync_batchnorm(inside))
    if example is not None:
        own = _from_example(inside, example)
        if trials.run(own.specs):
            return own
    for source, specs in _declared(inside, names):
        if trials.run(specs):
            return _assumed(specs, source)
    found = trials.search(names) or trials.combine(names) or trials.doubtful
    if found is None:
        flags = " ".join(f"--input {name}:Nx3x224x224" for name in names)
        raise UsageError(
            f"no shape found for input {', '.join(names)}",
            f"the model runs on none of the usual ones; the last attempt: {trials.failure}",
            f"Say it with {flags}, N being the batch",
        )
    return _assumed(found, "the first layer")


class _Trials:
    """Forward passes of one copy of the model, and what was learnt from those that failed.

    Attributes:
        doubtful: Specs on which the model ran without giving one row of output a sample.
        failure: Why the last pass failed.
        reached: The first layer with weights that the last pass came to.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.doubtful: tuple[InputSpec, ...] | None = None
        self.failure = "no layer says what it takes"
        self.reached: nn.Module | None = None
        self.dtype = str(float_dtype(model)).removeprefix("torch.")
        self.device = next((each.device for each in model.parameters()), None)
        self.layers = entry_layers(model)
        for each in model.modules():
            if each.training:
                each.training = False
        for layer in self.layers:
            if isinstance(layer, torch.jit.ScriptModule):
                continue  # compiled layers take no hooks
            layer.register_forward_pre_hook(self._note)

    def _note(self, layer: nn.Module, args: object) -> None:
        self.reached = self.reached or layer

    def run(self, specs: tuple[InputSpec, ...]) -> bool:
        """Whether the model runs, and its output has a row for each sample."""
        self.reached = None
        inputs = [each.to(self.device) for each in Examples(specs).batch(_BATCH)]
        try:
            with undisturbed(seed=0):
                outputs = Plain(self.model, [spec.name for spec in specs])(*inputs)
        except Exception as error:  # a trial: whatever it raises, the shape does not fit
            line = next(iter(str(error).strip().splitlines()), "")
            self.failure = f"{type(error).__name__}: {line}"
            return False
        if any(each.dim() and len(each) == _BATCH for each in outputs):
            return True
        self.doubtful = self.doubtful or specs
        return False

    def search(self, names: tuple[str, ...]) -> tuple[InputSpec, ...] | None:
        """Give every input what the first layer takes: as registered, or as a failed pass met."""
        waiting, done = list(self.layers), set[nn.Module]()
        while waiting:
            layer = waiting.pop(0)
            done.add(layer)
            for candidate in candidates(layer):
                specs = self._specs(names, [candidate] * len(names))
                if self.run(specs):
                    return specs
                first = self.reached
                if first is not None and first is not layer and first not in done:
                    # The pass met this one first, so what it takes says more.
                    waiting = [first, *(each for each in waiting if each is not first)]
                    break
            if len(done) > _FAMILIES:
                break
        return None

    def combine(self, names: tuple[str, ...]) -> tuple[InputSpec, ...] | None:
        """Give several inputs what different layers take, at each one's likeliest size."""
        if len(names) < 2:
            return None
        families = list(dict.fromkeys(next(candidates(layer)) for layer in self.layers))
        choices = itertools.product(families[:_FAMILIES], repeat=len(names))
        for chosen in itertools.islice(choices, _COMBINATIONS):
            specs = self._specs(names, list(chosen))
            if self.run(specs):
                return specs
        return None

    def _specs(self, names: tuple[str, ...], chosen: list[Candidate]) -> tuple[InputSpec, ...]:
        pairs = zip(names, chosen, strict=True)
        return tuple(
            InputSpec(name, (None, *each.sizes), each.dtype or self.dtype, each.high)
            for name, each in pairs
        )


def _from_example(module: nn.Module, example: tuple[Tensor, ...]) -> Examples:
    """The example that came with the model; an axis 0 as long as the first input's is a batch."""
    names = all_parameters(module)
    count = next((len(each) for each in example if each.dim()), 0)
    specs = []
    for name, each in zip(names, example, strict=False):
        batched = each.dim() and len(each) == count
        shape = (None, *each.shape[1:]) if batched else tuple(each.shape)
        specs.append(InputSpec(name, shape, str(each.dtype).removeprefix("torch.")))
    wide = [each.float() if each.dtype == torch.bfloat16 else each for each in example]
    said = ", ".join(map(str, specs))
    assumed = f"example inputs taken from the model's file: {said}; change them with --input"
    return Examples(tuple(specs), tuple(each.detach().cpu().numpy() for each in wide), assumed)


def _declared(
    module: nn.Module, names: tuple[str, ...]
) -> Iterator[tuple[str, tuple[InputSpec, ...]]]:
    """What the model itself says: an exported graph's placeholders, timm's configuration."""
    graph = getattr(module, "graph", None)
    if isinstance(graph, torch.fx.Graph):
        nodes = [node for node in graph.nodes if node.op == "placeholder"]
        values = [node.meta.get("val") for node in nodes]
        if len(values) == len(names) and all(isinstance(each, Tensor) for each in values):
            pairs = zip(names, values, strict=True)
            yield "its graph", tuple(_of_placeholder(name, each) for name, each in pairs)
    dtype = str(float_dtype(module)).removeprefix("torch.")
    for holder in (module, getattr(module, "model", None)):
        for attribute in ("pretrained_cfg", "default_cfg"):
            sizes = _input_size(getattr(holder, attribute, None))
            if sizes:
                yield f"its {attribute}", tuple(InputSpec(n, (None, *sizes), dtype) for n in names)


def _of_placeholder(name: str, value: Tensor) -> InputSpec:
    sizes = tuple(int(size) for size in value.shape)
    return InputSpec(name, (None, *sizes[1:]), str(value.dtype).removeprefix("torch."))


def _input_size(config: object) -> tuple[int, ...]:
    found = config.get("input_size") if isinstance(config, Mapping) else None
    found = found or getattr(config, "input_size", None)
    if isinstance(found, list | tuple) and all(isinstance(size, int) for size in found):
        return tuple(found)
    return ()


def _assumed(specs: tuple[InputSpec, ...], source: str) -> Examples:
    named = [
        f"{spec.name} assumed {spec.dtype} {replace(spec, name='', dtype='float32')}"
        for spec in specs
    ]
    flags = " ".join(f"--input {_pattern(spec)}" for spec in specs)
    plural = "inputs" if len(specs) > 1 else "input"
    change = "them" if len(specs) > 1 else "it"
    sentence = f"{plural} {', '.join(named)} (from {source}); change {change} with {flags}"
    return Examples(specs, assumed=sentence)


def _pattern(spec: InputSpec) -> str:
    """The flag's argument with letters for the sizes that the user may want to change."""
    fixed = spec.shape[1:2] if len(spec.shape) > 2 else ()
    letters = {0: "", 1: "L", 2: "HW", 3: "DHW"}.get(len(spec.shape) - 1 - len(fixed), "")
    if spec.dtype.startswith("int") or not letters or not fixed:
        return str(spec)
    suffix = "" if spec.dtype == "float32" else f":{spec.dtype}"
    return f"{spec.name}:N{''.join(f'x{part}' for part in (*fixed, *letters))}{suffix}"
