"""Actions for Chaos Toolkit: ``inject`` the faults of a drill's scenario, ``revert`` them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chaoslib.exceptions import ActivityFailed

from drill.chaostoolkit.runs import RUNS, flags, start

__all__ = ["inject", "revert"]

UNDO_S = 120.0


def inject(  # noqa: PLR0913 - an activity takes its arguments by name
    scenario: str,
    parameters: dict[str, Any] | None = None,
    target: str = "sandbox",
    out: str = "drill-runs",
    name: str = "drill",
    within: float = 240,
    fast_forward: float = 60,
    allow_activities: bool = False,
    namespace: str = "",
    as_user: str = "",
) -> dict[str, Any]:
    """
    Inject the faults of a drill scenario, and return once their effect is measured.

    `scenario` is a name or a file, `parameters` are its parameters (`service`, ...), `target` is what `drill run
    --target` takes, `namespace` and `as_user` are for a cluster, `fast_forward` divides the windows (1: real time).
    The drill goes on beside the experiment: it watches the alerts, ends the faults after their time and judges.
    `revert` ends it early. If the effect does not show within `within` seconds, everything is undone and the action
    fails. `name` tells several drills apart.
    """
    arguments = ["run", scenario, *flags(parameters), "--target", target, "--out", out, "--yes", "--quiet"]
    arguments += ["--fast-forward", f"{fast_forward:g}"]
    arguments += ["--namespace", namespace] if namespace else []
    arguments += ["--as", as_user] if as_user else []
    if allow_activities:
        arguments.append("--allow-activities")
    run = start(name, arguments, Path(out))
    if not run.wait(run.effective, within):
        run.abort()
        run.finish(UNDO_S)
        summary = run.summary()
        raise ActivityFailed(f"no effect of '{scenario}' was measured: {'; '.join(summary['reasons'])}")
    return {"run": str(run.folder), "effective": True}


def revert(name: str = "drill", within: float = UNDO_S) -> dict[str, Any]:
    """
    End the faults of the drill `name` and check that nothing of them is left. Harmless when they ended already.

    A drill that is still under way is aborted: its alerts are not judged further. Fails when something is left.
    """
    run = RUNS.get(name)
    if run is None:
        return {"run": "", "outcome": "none", "reasons": [f"no drill '{name}' was injected by this experiment"]}
    if not run.ended:
        run.abort()
        if not run.finish(within):
            raise ActivityFailed(f"the drill '{name}' did not end within {within:g} s: run `drill abort`")
    summary = run.summary()
    if summary.get("undone") is False:
        raise ActivityFailed(f"something is left behind: {'; '.join(summary['reasons'])}; run `drill recover`")
    return summary
