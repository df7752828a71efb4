"""``python -m bnexport.bench.worker FOLDER``: the fresh process of `bnexport.bench.memory`."""

from __future__ import annotations

import sys
from pathlib import Path

from bnexport.bench.memory import answer
from bnexport.errors import BnexportError

__all__: list[str] = []

if __name__ == "__main__":
    try:
        answer(Path(sys.argv[1]))
    except BnexportError as error:
        sys.exit(str(error))
