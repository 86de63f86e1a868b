"""Chaos Toolkit activities at any target: run in child processes, undone by a guard when the runner dies.

::

    runner ── guard    a session of its own; plays the undo when the runner dies, falls silent or forgets it
               └── child   one activity, by chaoslib, in a process group of its own (PDEATHSIG: dies with the guard)

``target`` joins this to a target; ``ledger`` makes sure that guard, runner and `drill recover` play an undo once.
"""

from drill.target.activities.ledger import undo_once
from drill.target.activities.target import Activities

__all__ = ["Activities", "undo_once"]
