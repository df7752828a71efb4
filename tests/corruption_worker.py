"""Read corrupted files one after another; a line of JSON before each, and one after.

python corruption_worker.py GOOD PLACE FIRST LAST
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any

import corruption

CONVERTED = 8  # of the ONNX files that can be read, each so many-th is converted, too


def main() -> None:
    good, place = Path(sys.argv[1]), Path(sys.argv[2])
    names = json.loads((good / "files.json").read_text())
    files = {name: good / name for name in names}
    for beside in good.iterdir():
        if beside.suffix in (".data", ".json"):
            shutil.copyfile(beside, place / beside.name)
    expected = {name: values(path, name) for name, path in files.items() if is_model(name)}
    for seed in range(int(sys.argv[3]), int(sys.argv[4])):
        kind, harm, data = corruption.corrupted(seed, files)
        say(begin=seed, kind=kind, harm=harm)
        path = place / kind
        path.write_bytes(data)
        say(seed=seed, kind=kind, harm=harm, **judged(path, kind, seed, expected.get(kind)))


def say(**row: Any) -> None:
    print(json.dumps(row), flush=True)


def is_model(kind: str) -> bool:
    return not kind.endswith((".json", ".engine"))


def judged(path: Path, kind: str, seed: int, expected: Any) -> dict[str, Any]:
    """The outcome, and the trace where it is a traceback."""
    from bnexport.errors import BnexportError

    try:
        if kind.endswith(".json"):
            return {"outcome": shown(path, seed)}
        if kind.endswith(".engine"):
            return {"outcome": opened(path)}
        found = values(path, kind)
        if kind.endswith(".onnx") and not seed // 10 % CONVERTED:
            converted(path)
        return {"outcome": "the same" if found == expected else "other values"}
    except BnexportError as error:
        return {"outcome": "refused", "why": type(error).__name__}
    except BaseException:
        return {"outcome": "traceback", "trace": traceback.format_exc()[-3000:]}


def values(path: Path, kind: str) -> Any:
    """Everything that a reader takes from the file, to be compared."""
    import torch

    from bnexport.load import load

    options = {"arch": "corruption:build"} if kind.startswith("weights") else {}
    loaded = load(path, **options).model
    if isinstance(loaded, torch.nn.Module):
        state = loaded.state_dict()
        return {name: (str(t.dtype), t.numpy().tobytes()) for name, t in state.items()}
    import onnx_ir as ir

    return ir.to_proto(loaded).SerializeToString()


def shown(path: Path, seed: int) -> str:
    from bnexport.cli import main as command

    words = ["rejudge", "--rtol", "0.1"] if seed // 10 % 2 else ["show"]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = command(["report", words[0], str(path), *words[1:]])
    if code not in (0, 1, 2, 3):
        return f"exit {code}: {said.getvalue()[-300:]}"
    return "refused" if code in (2, 3) else "shown"


def opened(path: Path) -> str:
    """Without a GPU none is opened; with one, only what the sidecar's hash is of."""
    import numpy as np

    import bnexport

    bnexport.run(path, {"input": np.zeros((1, 3, 6, 6), np.float32)})
    return "the same"


def converted(path: Path) -> None:
    import bnexport

    limits = bnexport.Isolation(timeout=8, memory=2 << 30)
    with contextlib.suppress(bnexport.NativeFailure):
        bnexport.convert(path, path.with_name("out.onnx"), isolation=limits, force=True)


if __name__ == "__main__":
    main()
