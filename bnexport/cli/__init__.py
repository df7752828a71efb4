"""The command line: parse, one API call, print, exit code."""

from bnexport.cli.entry import console, main

__all__ = ["console", "main"]
