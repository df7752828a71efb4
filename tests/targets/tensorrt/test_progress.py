"""The fraction of nested phases rises and never falls."""

import pytest

from bnexport.targets.tensorrt.progress import Phases


def fractions(*calls):
    seen = []
    phases = Phases(lambda event: seen.append(event.fraction))
    for name, *arguments in calls:
        getattr(phases, name)(*arguments)
    return seen


def test_a_step_counts_for_its_share_of_the_step_around_it():
    seen = fractions(
        ("start", "all", None, 2),
        ("start", "first", "all", 4),
        ("step", "first"),
        ("step", "first"),
    )
    assert seen == [0.0, 0.0, pytest.approx(0.125), pytest.approx(0.25)]


def test_a_step_of_the_outer_phase_takes_the_inner_ones_place():
    seen = fractions(
        ("start", "all", None, 2),
        ("start", "first", "all", 2),
        ("step", "first"),
        ("step", "first"),
        ("finish", "first"),
        ("step", "all"),
    )
    assert seen[-1] == 0.5


def test_a_phase_that_starts_again_does_not_fall_back():
    seen = fractions(
        ("start", "all", None, 2),
        ("start", "a", "all", 2),
        ("step", "a"),
        ("finish", "a"),
        ("start", "a", "all", 2),
        ("step", "a"),
    )
    assert seen == sorted(seen)


def test_a_phase_inside_one_of_its_name_ends():
    assert fractions(("start", "a", "a", 3), ("step", "a"))[0] == 0.0


def test_steps_beyond_the_announced_number_stop_at_one():
    assert max(fractions(("start", "a", None, 1), *[("step", "a")] * 3)) == 1.0


def test_a_step_of_no_open_phase_is_ignored():
    assert fractions(("step", "a"), ("finish", "a")) == []


def test_steps_too_small_to_see_are_not_reported():
    assert len(fractions(("start", "a", None, 10_000), *[("step", "a")] * 10_000)) <= 102
