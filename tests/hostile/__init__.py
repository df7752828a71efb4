"""Hostile files with harmless canaries: each, read the plain way, would make an empty file. See `pickles` and `graphs`."""
