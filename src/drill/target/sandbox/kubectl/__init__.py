"""The sandbox's `kubectl`: the verbs and flags of the shipped runbooks and of a diagnosing person, on a sandbox.

It stands first on PATH of shells that :func:`drill.target.sandbox.shell.environment` makes, and finds its
sandbox by ``DRILL_SANDBOX``. What it does not know it refuses, naming what there is; it never reaches a
cluster.
"""
