"""Faults of the disk, one at a time: see `disk`."""
