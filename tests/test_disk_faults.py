"""A slice of ``benchmarks/disk_faults.py``: what is left is the old artifact or the new one."""

import errno

import onnx
import pytest
from faults import disk
from onnx.parser import parse_model

TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[N, 8] x) => (float[N, 400] y) { h = MatMul(x, w) y = Relu(h) }
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    found = disk.compiled(tmp_path_factory.mktemp("shim"))
    return found or pytest.skip("no C compiler, or not Linux")


@pytest.fixture
def faults(shim, tmp_path):
    import numpy as np

    model = parse_model(TEXT)
    weight = np.linspace(-1, 1, 3200, dtype=np.float32).reshape(8, 400)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    onnx.save(model, tmp_path / "model.onnx")

    def run(plan):
        folder = tmp_path / f"work{len(list(tmp_path.iterdir()))}"
        return list(disk.run(shim, folder, tmp_path / "model.onnx", plan, "--in-process"))

    return run


def test_each_operation_fails_and_at_each_the_process_is_killed(faults):
    (count,) = faults([(-1, 0, False)])
    assert (count["exit"], count["at once"], count["left"]) == (0, "new", [])
    operations = range(count["operations"])
    assert len(operations) > 30
    rows = faults([(at, code, False) for at in operations for code in (errno.ENOSPC, disk.KILL)])
    for row in rows:
        assert row["after the next run"] in ("old", "new"), row
        assert row["left after the next run"] == [], row
        assert row["at once"] != "broken", row
        if not row["killed"]:
            assert row["exit"] in (0, 2), row
            assert row["at once"].startswith("new" if row["exit"] == 0 else ("old", "new")), row
    assert {row["name"] for row in rows} >= {"open", "write", "fsync", "rename", "linkat", "mkdir"}
    assert sum(row["killed"] for row in rows) == len(operations)
    assert {"old", "new"} <= {row["at once"] for row in rows if row["killed"]}
