"""Show symptoms: ``python -m models.symptoms [NAME ...]``."""

import importlib
import shlex
import sys
import tempfile
from pathlib import Path

from models.symptoms import NAMES
from models.symptoms.commands import run


def main() -> int:
    """Show those that are named, or all."""
    for name in sys.argv[1:] or NAMES:
        each = importlib.import_module(f"models.symptoms.{name}")
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            each.plant(place)
            print(f"== {name}: {each.__doc__.splitlines()[0]}")
            print("symptom: ", _told(each.symptom(place)))
            print(f"$ bnexport {shlex.join(each.COMMAND)}")
            print(run(each.COMMAND, place).output)
            print("repaired:", _told(each.repair(place)), end="\n\n")
    return 0


def _told(numbers: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())


if __name__ == "__main__":
    sys.exit(main())
