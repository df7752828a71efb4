"""Read hostile files the plain way, as is done every day, and count the canaries.

python believe.py FOLDER            (one line of JSON)
"""

from __future__ import annotations

import collections
import contextlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main() -> None:
    from hostile import calls, gadgets, graphs, pickles

    folder = Path(sys.argv[1])
    calls.registered()
    fired = collections.Counter[str]()
    for kind, made in (("pickle", pickles.every), ("gadget", gadgets.every)):
        for hostile in made(folder):
            fired[kind] += pickles.fires(hostile)
    for graph in graphs.every(folder):
        # Powers of powers never end, and no signal interrupts them.
        if graph.kind == "pt2" and not any(
            sign in graph.name for sign in ("9**", "Pow", "<<", "(((")
        ):
            fired["pt2"] += _runs(graph)
    print(json.dumps(fired))


def _runs(graph: object) -> bool:
    import torch

    with contextlib.suppress(BaseException):
        torch.export.load(graph.path).module()  # type: ignore[attr-defined]
    return bool(graph.canary.exists())  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
