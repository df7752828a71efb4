"""What is known of a built engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

__all__ = ["EngineInfo", "TensorInfo"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class TensorInfo:
    """An input or output.

    Attributes:
        name: As in the ONNX file.
        dtype: ``float32``, ``float16``, ``int64``, ...
        shape: With -1 where it is free.
    """

    name: str
    dtype: str
    shape: Shape


@dataclass(frozen=True)
class EngineInfo:
    """The facts of one build.

    Attributes:
        flavour: ``tensorrt`` or ``tensorrt_rtx``.
        version: Of that library; an engine of ``tensorrt`` runs under the same version only.
        targets: The compute capabilities that it was built for: ``sm_89``.
        assumed: The sentence that says which targets were chosen by default; empty when they were
            named.
        profiles: For each input with a free axis, its smallest, usual and largest shape; of the first profile.
        more_profiles: The same of the others.
        static: Whether every axis is fixed.
        precision: The narrowest floating type in the network: ``float32``, ``tf32``, ``float16``.
        tf32: Whether float32 products may be rounded to TF32.
        inputs: In the order of the ONNX file.
        outputs: In the order of the ONNX file.
        layers: How many layers of each type the network had after parsing.
        scale_layers: Those among them that scale: what becomes of a BatchNorm that is not folded.
        scaling: The modules that they come from.
        warnings: What the library warned of.
        build_seconds: Wall time, parsing included.
        bytes: The engine's size.
        compatible: ``ampere``, ``capability``, ``version``: what else may run it.
        stripped: Whether the weights are left out.
        refittable: Whether they can be replaced.
        optimisation_level: None: the library's own.
        reused: Whether an earlier build of the same was taken instead.
    """

    flavour: str
    version: str
    targets: tuple[str, ...]
    assumed: str
    profiles: dict[str, tuple[Shape, Shape, Shape]]
    precision: str
    tf32: bool
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    layers: dict[str, int]
    scale_layers: int
    warnings: tuple[str, ...]
    build_seconds: float
    bytes: int
    scaling: tuple[str, ...] = ()
    more_profiles: tuple[dict[str, tuple[Shape, Shape, Shape]], ...] = ()
    static: bool = False
    compatible: tuple[str, ...] = ()
    stripped: bool = False
    refittable: bool = False
    optimisation_level: int | None = None
    reused: bool = False

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """From what ``asdict`` made, by way of JSON, which has lists for tuples.

        Raises:
            KeyError: It lacks something.
            TypeError: The same.
        """
        plain = {name: _tuples(value) for name, value in told.items()}
        for side in ("inputs", "outputs"):
            plain[side] = tuple(TensorInfo(**tensor) for tensor in plain[side])
        return cls(**plain)


def _tuples(value: object) -> Any:
    if isinstance(value, list):
        return tuple(_tuples(each) for each in value)
    if isinstance(value, dict):
        return {name: _tuples(each) for name, each in value.items()}
    return value
