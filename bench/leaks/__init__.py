"""Kills drill at random points, fault by fault, and looks for anything that stays: ``python -m bench.leaks``."""
