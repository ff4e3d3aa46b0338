"""Faults that a run must survive, tried at random: `python -m tests.faults --help`."""
