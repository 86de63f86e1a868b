"""What the responder's shell gets beside the user's own environment: the way to the target's ``kubectl``."""

from __future__ import annotations

from collections.abc import Mapping

from drill.cli.training.books import NAMESPACE
from drill.target.sandbox import Sandbox


def kubectl_environment(sandbox: Sandbox) -> Mapping[str, str]:
    """Return the variables; ``DRILL_KUBECTL_PATH`` is put in front of PATH by the shell's own start file."""
    return {"NAMESPACE": NAMESPACE, "DRILL_SANDBOX": sandbox.id}
