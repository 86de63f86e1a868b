"""What goes wrong while holding a fault, in words that reach the report.

::

    CannotApply          the fault cannot be made here; what had begun was undone
    └── CommandFailed    a program (nft, tc, ip) said no; carries its words
"""

from __future__ import annotations


class CannotApply(Exception):
    """The fault cannot be made here; the message says why in words a user can act on."""


class CommandFailed(CannotApply):
    """A program ended with an error, took too long or is not installed."""
