"""Build: what each target writes, one file a target."""
