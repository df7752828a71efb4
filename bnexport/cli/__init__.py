"""The command line: parse, one API call, print, exit code."""

from bnexport.cli.entry import main

__all__ = ["main"]
