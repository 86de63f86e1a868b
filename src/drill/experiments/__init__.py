"""Chaos Toolkit's experiment files: written from a scenario, and made into one."""
