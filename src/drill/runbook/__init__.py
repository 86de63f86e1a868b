"""Runbooks: plain Markdown read as sections, cells a machine can run, steps for people, and hints."""
