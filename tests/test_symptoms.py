"""Every symptom of docs/debugging.md shows, is found by its command, and is mended by its repair."""

import importlib
import re
from pathlib import Path

import pytest

from models.symptoms import NAMES
from models.symptoms.commands import run

CONDITIONS = {
    "nan_at_batch_1": (
        lambda x: x["NaN at batch 1"] > 0 and x["NaN at batch 2"] == 0,
        lambda x: not any(x.values()),
    ),
    "good_in_validation_bad_in_test": (
        lambda x: x["validation"] > 0.95 and x["deployed"] < 0.5,
        lambda x: x["deployed"] > 0.95,
    ),
    "loss_that_oscillates": (
        lambda x: x["its scatter"] > 4 * x["scatter at batch 64"],
        lambda x: x["its scatter"] == 0 and x["loss at batch 2"] < 0.29,
    ),
    "ranks_differ": (lambda x: max(x.values()) < 0.9, lambda x: x["merged"] > 0.98),
    "poor_fine_tuning": (
        lambda x: x["after"] < x["before"] - 0.08,
        lambda x: x["after"] > x["before"] - 0.02,
    ),
    "float16_breaks": (
        lambda x: x["no numbers in float32"] == 0 and x["in float16"] > 0,
        lambda x: x["exit code"] == 0 and x["float32 layers named"] == 1,
    ),
    "right_at_1_wrong_at_8": (
        lambda x: x["moved by its batch"] > 1e-2,
        lambda x: x["moved by its batch"] < 1e-5 and x["exit code"] == 0,
    ),
}
GUIDE = Path(__file__).resolve().parents[1] / "docs" / "debugging.md"


@pytest.mark.parametrize("name", NAMES)
def test_the_symptom_the_command_and_the_repair(name, tmp_path):
    each = importlib.import_module(f"models.symptoms.{name}")
    ill, well = CONDITIONS[name]
    each.plant(tmp_path)
    assert ill(each.symptom(tmp_path))
    found = run(each.COMMAND, tmp_path)
    assert found.code == 1
    # Lines are wrapped to the terminal.
    output = re.sub(r"\s+", " ", found.output)
    assert [word for word in each.FINDS if word not in output] == []
    assert well(each.repair(tmp_path))


def test_each_symptom_has_its_conditions():
    assert set(CONDITIONS) == set(NAMES)


@pytest.mark.skipif(not GUIDE.exists(), reason="needs the source tree")
@pytest.mark.parametrize("name", NAMES)
def test_the_guide_tells_of_it(name):
    assert f"python -m models.symptoms {name}" in GUIDE.read_text()
