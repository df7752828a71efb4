"""Put faults into a network's files, one at a time, and see who notices: bnexport, and what else one can run.

    python benchmarks/faults.py [--only FAULT ...] [--out FILE]

A row is a fault, a column a tool; each tool is run on each file. What each is given:

    bnexport     the module and the file: `bnexport.verify(module, file)`
    Polygraphy   the file, and PyTorch's own outputs at batch 1 and 8 to compare with, as it compares runs of its own
    torch.onnx   the exported program and the file, by the function behind `export(verify=True)`
    onnxsim      the file: `simplify(..., check_n=3)`

A healthy file comes first, in each form: who calls it broken is of no use. Needs `pip install polygraphy`.

At last the peak memory of a verification of the network at 128 x 128, of a file with one fault, without and
with the search for the layer, each in a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import io
import json
import logging
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxsim
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from fault_edits import FOLDED, PLAIN  # noqa: E402
from fault_network import INPUT, build  # noqa: E402

import bnexport  # noqa: E402
from bnexport.parity.result import Wrong  # noqa: E402
from bnexport.report.document import versions  # noqa: E402

BATCHES = (1, 8)
CAUGHT, MISSED = "caught", "-"

Row = dict[str, Any]


class Bench:
    """The network, its healthy files, and the tools."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.network = folder, build()
        self.files = {
            "folded": bnexport.convert(self.network, folder / "folded.onnx", inputs=INPUT).path,
            "plain": bnexport.convert(
                self.network, folder / "plain.onnx", inputs=INPUT, fold=False, simplify=False
            ).path,
        }
        draw = np.random.default_rng(0)
        self.samples = {n: draw.standard_normal((n, 3, 16, 16)).astype(np.float32) for n in BATCHES}
        self._write_expected()
        self._program = self._exported()

    def row(self, fault: str, form: str, edit: Callable[[onnx.GraphProto], str] | None) -> Row:
        """What each tool says of one file."""
        model = onnx.load(self.files[form])
        place = edit(model.graph) if edit else ""
        path = self.folder / "edited.onnx"
        onnx.save(model, path)
        layer = self._layer(form, place) if place else ""
        start = time.perf_counter()
        parity = bnexport.verify(self.network, path, inputs=INPUT, batch=BATCHES)
        seconds = time.perf_counter() - start
        origin = parity.origin
        return {
            "fault": fault,
            "file": form,
            "bnexport": MISSED if parity.ok else CAUGHT,
            "times the limit": max((check.ratio for check in parity.failures), default=None),
            "said": parity.failures[0].detail if parity.failures else "",
            "layer": layer,
            "located": parity.located,
            "right layer": bool(origin) and _names(origin, layer, place) if place else None,
            "probes": origin.probes if origin else None,
            "seconds": round(seconds, 1),
            "polygraphy": self._polygraphy(path),
            "torch": self._torch(path),
            "onnxsim": self._onnxsim(path),
        }

    def _layer(self, form: str, value: str) -> str:
        nodes = [n for n in onnx.load(self.files[form]).graph.node if value in n.output]
        named = [p.value for n in nodes for p in n.metadata_props if p.key == "bnexport.module"]
        return named[0] if named else value

    def _write_expected(self) -> None:
        from polygraphy.comparator import IterationResult, RunResults
        from polygraphy.json import save_json

        for n, x in self.samples.items():
            with torch.no_grad():
                outputs = self.network(torch.from_numpy(x))
            save_json([{"x": x}], str(self.folder / f"in{n}.json"))
            result = RunResults()
            arrays = {name: tensor.numpy() for name, tensor in outputs.items()}
            result.append(("pytorch", [IterationResult(arrays, runner_name="pytorch")]))
            result.save(str(self.folder / f"out{n}.json"))

    def _polygraphy(self, path: Path) -> str:
        for n in BATCHES:
            command = [
                *(str(Path(sys.executable).with_name("polygraphy")), "run", str(path)),
                *("--onnxrt", "--load-inputs", str(self.folder / f"in{n}.json")),
                *("--load-outputs", str(self.folder / f"out{n}.json")),
            ]
            if subprocess.run(command, capture_output=True, check=False).returncode:
                return CAUGHT
        return MISSED

    def _exported(self) -> Any:
        from torch.onnx.verification import verify_onnx_program

        x = torch.from_numpy(self.samples[8])
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                self.network, (x,), dynamic_shapes=({0: "n"},), dynamo=True, verbose=False
            )
        self._check = verify_onnx_program
        return program

    def _torch(self, path: Path) -> str:
        """Its own criterion is for the reader; where it only prints, what it prints is read: 1e-3 is its warning."""
        program, given = self._program, self._program.model
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                program.model = ir.load(path)
                program._inference_session = None
                found = self._check(program, (torch.from_numpy(self.samples[8]),))
        except Exception:
            return CAUGHT
        finally:
            program.model = given
        worst = max(each.max_abs_diff for each in found)
        return CAUGHT if not worst <= 1e-3 else MISSED

    def _onnxsim(self, path: Path) -> str:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                _, good = onnxsim.simplify(
                    onnx.load(path), check_n=3, overwrite_input_shapes={"x": [8, 3, 16, 16]}
                )
        except Exception:
            return CAUGHT
        return MISSED if good else CAUGHT


def main() -> int:
    """Run every fault, print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="FAULT")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/faults.json")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        every = [("none", "plain", None), ("none", "folded", None)]
        every += [(name, "plain", edit) for name, edit in PLAIN.items()]
        every += [(name, "folded", edit) for name, edit in FOLDED.items()]
        for name, form, edit in every:
            if not given.only or any(word in name for word in given.only):
                rows.append(bench.row(name, form, edit))
                print(_line(rows[-1]), flush=True)
        peaks = {} if given.only else memory(Path(folder))
    healthy = [row for row in rows if row["fault"] == "none"]
    faulty = [row for row in rows if row["fault"] != "none"]
    count = {tool: sum(row[tool] == CAUGHT for row in faulty) for tool in TOOLS}
    print(f"of {len(faulty)}: {count}")
    result = {
        "command": "python benchmarks/faults.py",
        "date": datetime.date.today().isoformat(),
        "caught": count,
        "false alarms": {t: sum(row[t] == CAUGHT for row in healthy) for t in TOOLS},
        "faults": len(faulty),
        "rows": rows,
        "bytes at the peak": peaks,
        "versions": versions(),
    }
    print("bytes at the peak:", peaks)
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    wrong = [
        row["fault"] for row in faulty if row["bnexport"] != CAUGHT or row["right layer"] is False
    ]
    wrong += ["memory"] * (peaks.get("ratio", 0.0) > 2)
    wrong += ["none" for row in healthy if row["bnexport"] == CAUGHT]
    print("wrong:", wrong)
    return bool(wrong)


MEASURED = """
import resource, sys
sys.path[:0] = sys.argv[1:3]
from fault_network import build
import bnexport
parity = bnexport.verify(build(), sys.argv[3], inputs=["Nx3x128x128"], batch=(1, 4), locate=sys.argv[4] == "locate")
assert not parity.ok and bool(parity.origin) == (sys.argv[4] == "locate"), parity.located
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def _names(origin: Wrong, layer: str, value: str) -> bool:
    """Whether the search found the value that was edited, or the layer that it is in."""
    return origin.value == value or (bool(origin.layer) and origin.layer == layer)


def memory(folder: Path) -> Row:
    """Bytes of the two verifications."""
    wide = folder / "wide.onnx"
    bnexport.convert(build(), wide, inputs=["Nx3x128x128"])
    model = onnx.load(wide)
    FOLDED["bias of one channel lost"](model.graph)
    onnx.save(model, wide)
    peaks = {}
    for way in ("plain", "locate"):
        command = [
            sys.executable,
            "-c",
            MEASURED,
            str(ROOT),
            str(ROOT / "benchmarks"),
            str(wide),
            way,
        ]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[way] = int(run.stdout.split()[-1])
    return {**peaks, "ratio": round(peaks["locate"] / peaks["plain"], 2)}


TOOLS = ("bnexport", "polygraphy", "torch", "onnxsim")


def _line(row: Row) -> str:
    verdicts = "  ".join(f"{row[tool]:6}" for tool in TOOLS)
    place = {None: "", True: "right layer", False: f"WRONG LAYER, it is {row['layer']}"}
    said = f"{place[row['right layer']]}  {row['located'] or row['said']}"
    return f"{row['fault']:38} {verdicts}  {row['seconds']:5}  {said}"


if __name__ == "__main__":
    sys.exit(main())
