"""`drill sandbox up|status|down`: sandboxes that outlive the process that started them."""

from __future__ import annotations

from collections.abc import Sequence

from drill.cli.alertpath import alert_path
from drill.cli.settings import SandboxInfo
from drill.core.errors import DrillError, UsageError
from drill.target.sandbox import SINK_URL, Sandbox, running


def sandbox_up(fast_forward: float, seed: int) -> SandboxInfo:
    """Start a sandbox that outlives this process. Raises Unavailable."""
    path = alert_path(fast_forward, SINK_URL)
    sandbox = Sandbox.start(path.sandbox_spec(fast_forward, seed), detach=True)
    sandbox.detach()
    return _info(sandbox)


def sandbox_status() -> Sequence[SandboxInfo]:
    """Return the sandboxes that run on this machine for this user."""
    return [_look_at(name) for name in running()]


def sandbox_down(name: str) -> Sequence[str]:
    """End the sandbox *name*; return what was ended.

    An empty name is refused: which ones were kept is for ``cli.keeping`` to say, and the others belong to runs.
    Raises UsageError, UndoIncomplete.
    """
    known = running()
    if name not in known:
        raise UsageError(f"there is no sandbox '{name}'", hint=f"running: {', '.join(known) or 'none'}")
    Sandbox.attach(name).close()
    return [name]


def kept_sandbox(target: str) -> Sandbox | None:
    """Return the running sandbox that the target ``sandbox:NAME`` means, None for a fresh one.

    Raises UsageError, Unavailable.
    """
    kind, colon, name = target.partition(":")
    if kind != "sandbox" or (colon and name not in running()):
        known = [f"sandbox:{one}" for one in running()]
        raise UsageError(
            f"target '{target}' is not known",
            hint=f"--target sandbox makes a fresh one; running: {', '.join(known) or 'none'}",
        )
    return Sandbox.attach(name) if colon else None


def _look_at(name: str) -> SandboxInfo:
    try:
        return _info(Sandbox.attach(name))
    except DrillError as error:
        return SandboxInfo(name=name, pid=0, fast_forward=0, urls={}, healthy=False, note=str(error))


def _info(sandbox: Sandbox) -> SandboxInfo:
    ends = sandbox.endpoints()
    urls = {
        "Prometheus": ends.prometheus,
        "Alertmanager": ends.alertmanagers[0],
        "Notifications": f"{ends.sink}/notifications",
        "Users' entrance": f"{sandbox.entrance}/checkout",
    }
    status = sandbox.status()
    return SandboxInfo(
        name=sandbox.id, pid=int(status.get("pid", 0)), fast_forward=sandbox.spec.fast_forward, urls=urls
    )
