"""Hostile files with harmless canaries: read the plain way, each makes an empty file. See `pickles` and `graphs`."""
