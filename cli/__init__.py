"""The `segprep` command; installed as `segprep.cli`."""
