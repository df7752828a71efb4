"""``python -m bnexport``."""

from bnexport.cli import console

console()
