"""The shapes that an engine is built for: smallest, usual and largest of each free axis."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bnexport.errors import ExportError, UsageError
from bnexport.targets.tensorrt.info import Shape

__all__ = ["Dims", "Profile", "Ranges", "ShapeProfile", "parse_profile", "shape_profiles"]

Ranges = tuple[int, int, int]
ShapeProfile = dict[str, tuple[Shape, Shape, Shape]]
Dims = tuple[int | str, ...]

_FORM = "AXIS=MIN:OPT:MAX or INPUT=SHAPE:SHAPE:SHAPE, separated by commas, as in height=64:224:512"
_NUMBERS = re.compile(r"\d+(x\d+)*")
_BATCH = "N"


@dataclass(frozen=True)
class Profile:
    """What one ``--profile`` says.

    Attributes:
        axes: The range of each free axis, by its name.
        shapes: The three shapes of an input, by its name.
    """

    axes: Mapping[str, Ranges]
    shapes: Mapping[str, tuple[Shape, Shape, Shape]]


def parse_profile(text: str) -> Profile:
    """Read ``height=64:224:512,mask=1x8:4x8:8x8``; one number stands for three.

    Raises:
        UsageError: It is of another form, or does not rise.
    """
    axes: dict[str, Ranges] = {}
    shapes: dict[str, tuple[Shape, Shape, Shape]] = {}
    for part in text.split(","):
        name, found = _part(part.strip(), text)
        if name in axes or name in shapes:
            raise UsageError(f"profile {text!r}", f"{name} is there twice")
        if all(len(shape) == 1 for shape in found):
            low, usual, high = (shape[0] for shape in found)
            axes[name] = (low, usual, high)
        else:
            shapes[name] = found
    return Profile(axes, shapes)


def _part(part: str, text: str) -> tuple[str, tuple[Shape, Shape, Shape]]:
    name, sign, ranges = part.partition("=")
    words = [word.strip() for word in ranges.split(":")]
    words = words * 3 if len(words) == 1 else words
    if not (name and sign and len(words) == 3 and all(map(_NUMBERS.fullmatch, words))):
        raise UsageError(f"profile {text!r}", f"{part!r} is not of the form {_FORM}")
    low, usual, high = (tuple(map(int, word.split("x"))) for word in words)
    if not len(low) == len(usual) == len(high):
        raise UsageError(f"profile {text!r}", f"the shapes of {name} have unequal numbers of axes")
    if not all(1 <= a <= b <= c for a, b, c in zip(low, usual, high, strict=True)):
        raise UsageError(f"profile {text!r}", f"{name} must rise, from 1 at least")
    return name.strip(), (low, usual, high)


def shape_profiles(
    inputs: Sequence[tuple[str, Dims]], texts: Sequence[str], batch: Ranges, *, static: bool
) -> tuple[ShapeProfile, ...]:
    """For each profile, the shapes of every input that has a free axis.

    Args:
        inputs: Names and axes: numbers, and the names of free ones.
        texts: As in `EngineOptions.profiles`.
        batch: Of the axis ``N``, where no profile says another.
        static: Whether every axis is to be fixed.

    Raises:
        ExportError: An axis is free and no range is given.
        UsageError: A profile names what is not there, or does not fit, or leaves an axis free in a static engine.
    """
    free = [(name, dims) for name, dims in inputs if any(isinstance(size, str) for size in dims)]
    profiles = [parse_profile(text) for text in texts] or [Profile({}, {})]
    for text, profile in zip(texts, profiles, strict=False):
        _check_names(text, profile, free)
    batch = (1, 1, 1) if static else batch
    found = tuple(
        {name: _shapes(name, dims, each, batch) for name, dims in free} for each in profiles
    )
    if static:
        _check_static(found)
    return found if free else ()


def _check_names(text: str, profile: Profile, free: Sequence[tuple[str, Dims]]) -> None:
    axes = dict.fromkeys(size for _, dims in free for size in dims if isinstance(size, str))
    known = [*axes, *(name for name, _ in free)]
    for name in (*profile.axes, *profile.shapes):
        if name not in known or (name in profile.axes and name not in axes):
            listed = ", ".join(axes) or "none"
            raise UsageError(
                f"profile {text!r}", f"{name!r} is no free axis", f"The free axes are: {listed}"
            )


def _shapes(name: str, dims: Dims, profile: Profile, batch: Ranges) -> tuple[Shape, Shape, Shape]:
    if name in profile.shapes:
        given = profile.shapes[name]
        fits = len(given[0]) == len(dims) and all(
            isinstance(size, str) or {shape[axis] for shape in given} == {size}
            for axis, size in enumerate(dims)
        )
        if not fits:
            form = "x".join(map(str, dims))
            raise UsageError(f"profile of input {name!r}", f"it does not fit its shape {form}")
        return given
    ranges = [
        (size,) * 3 if isinstance(size, int) else _range(name, dims, size, profile, batch)
        for size in dims
    ]
    low, usual, high = zip(*ranges, strict=True)
    return low, usual, high


def _range(name: str, dims: Dims, axis: str, profile: Profile, batch: Ranges) -> Ranges:
    if axis in profile.axes:
        return profile.axes[axis]
    if axis in (_BATCH, dims[0]):
        return batch
    form = "x".join(map(str, dims))
    what, why = (
        f"input {name!r} ({form})",
        f"its axis {axis!r} is free, and an engine needs its range",
    )
    raise ExportError(what, why, f"Say --profile {axis}=MIN:OPT:MAX")


def _check_static(profiles: Sequence[ShapeProfile]) -> None:
    if len(profiles) > 1:
        raise UsageError("a static engine", "it has one shape, and several profiles are given")
    for name, (low, _, high) in (item for each in profiles for item in each.items()):
        if low != high:
            why = f"the profile of input {name!r} has a range"
            raise UsageError(
                "a static engine", why, "Give one number an axis, or leave --static out"
            )
