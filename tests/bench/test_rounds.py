"""That rounds interleave: contestants here only record when they were called."""

from itertools import islice

import pytest

from bnexport.bench.rounds import FEWEST, Budget, measure, orders, warm_up


class Fake:
    def __init__(self, name, log, seconds=1.0):
        self.name, self.log, self.seconds = name, log, seconds

    def run(self):
        self.log.append((self.name, "settles"))

    def timed(self):
        self.log.append((self.name, "timed"))
        return self.seconds


def turns(log):
    """Who took a turn, after the warm-up: a turn begins with the run that is not timed."""
    return [name for name, what in log if what == "settles"]


def trio(seconds=1.0):
    log = []
    return [Fake(name, log, seconds) for name in "abc"], log


def test_each_takes_its_turn_in_every_round():
    contestants, log = trio()
    measure(contestants, Budget(rounds=8, seconds=None))
    taken = turns(log)
    assert [sorted(taken[i : i + 3]) for i in range(0, 24, 3)] == [["a", "b", "c"]] * 8


def test_the_order_differs_between_rounds():
    contestants, log = trio()
    measure(contestants, Budget(rounds=20, seconds=None))
    taken = turns(log)
    assert len({tuple(taken[i : i + 3]) for i in range(0, 60, 3)}) > 2


def test_each_stands_before_any_other_as_often_as_behind_it():
    drawn = list(islice(orders(4, seed=3), 10))
    for a in range(4):
        for b in range(a):
            assert sum(order.index(a) < order.index(b) for order in drawn) == 5


def test_the_seed_sets_the_orders():
    first, again, other = (list(islice(orders(5, seed), 6)) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_the_times_come_back_by_contestant_and_round():
    log = []
    found = measure(
        [Fake("a", log, 1.0), Fake("b", log, 2.0)], Budget(rounds=3, seconds=None, runs=2)
    )
    assert found == [[[1.0, 1.0]] * 3, [[2.0, 2.0]] * 3]


def test_the_run_that_settles_is_not_counted():
    contestants, log = trio()
    found = measure(contestants[:1], Budget(rounds=4, seconds=None, warmup=3, runs=1))
    assert len(found[0]) == 4
    assert log == [("a", "timed")] * 3 + [("a", "settles"), ("a", "timed")] * 4


def test_fast_contestants_run_several_times_a_turn():
    contestants, _ = trio(seconds=0.002)
    found = measure(contestants, Budget(rounds=2, seconds=None))
    assert {len(each) for rounds in found for each in rounds} == {10}


def test_all_run_as_often_a_turn_as_the_slowest():
    log = []
    pair = [Fake("a", log, 0.00001), Fake("b", log, 0.5)]
    found = measure(pair, Budget(rounds=2, seconds=None))
    assert {len(each) for rounds in found for each in rounds} == {1}


def test_the_seconds_end_the_rounds():
    contestants, _ = trio()
    clock = iter(range(100))
    found = measure(contestants, Budget(seconds=20), clock=lambda: float(next(clock)))
    assert len(found[0]) == 19  # the first reading is the start


def test_there_are_enough_rounds_for_an_interval_however_slow_they_are():
    contestants, _ = trio()
    clock = iter(range(0, 100_000, 1000))
    found = measure(contestants, Budget(seconds=1), clock=lambda: float(next(clock)))
    assert len(found[0]) == FEWEST


def test_fewer_rounds_are_made_where_they_are_asked_for():
    contestants, _ = trio()
    clock = iter(range(0, 100_000, 1000))
    budget = Budget(rounds=2, seconds=1)
    assert len(measure(contestants, budget, clock=lambda: float(next(clock)))[0]) == 2


def test_progress_ends_below_one():
    contestants, _ = trio()
    told = []
    measure(contestants, Budget(rounds=4, seconds=None), told.append)
    assert told == [0.0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize(
    ("seconds", "runs", "made"), [(0.0, 10, 10), (0.0, 0, 3), (5.0, 10, 3), (0.25, 10, 4)]
)
def test_the_warm_up_is_so_many_runs_or_a_second(seconds, runs, made):
    log = []
    warm_up(Fake("a", log, seconds), runs)
    assert len(log) == made
