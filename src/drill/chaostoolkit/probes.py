"""Probes for Chaos Toolkit: what became of the alerts of a drill that ``inject`` started.

In a steady-state hypothesis a probe is asked before the method, when nothing is injected and nothing can be late:
it says true then, once. Asked again although nothing was injected, it says false: what nobody tested is not met.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from drill.chaostoolkit.runs import RUNS, HeldRun
from drill.verify.model import AlertVerdict, JudgedAlert, Verdict

__all__ = ["alert_delivered", "alert_fired_on_time", "nothing_else_fired"]

logger = logging.getLogger("chaostoolkit")
PATIENCE_S = 600.0
_asked: set[str] = set()


def alert_fired_on_time(
    alert: dict[str, str] | None = None, name: str = "drill", within: float = PATIENCE_S
) -> bool:
    """
    True when the alerts the scenario expects fired inside the time drill had predicted.

    `alert` selects one by labels (`{"severity": "page"}`), else all are meant. Waits until they fired, at most
    `within` seconds or until the drill is over.
    """
    return _judge(
        f"fired {name} {alert}", name, within, alert, lambda one: one.firing_at is not None,
        lambda one: _claim(one, 0) is AlertVerdict.ON_TIME,
    )  # fmt: skip


def alert_delivered(alert: dict[str, str] | None = None, name: str = "drill", within: float = PATIENCE_S) -> bool:
    """
    True when a notification of each expected alert reached the receiver the scenario names.

    `alert` selects one by labels, else all are meant. Waits for it, at most `within` seconds or until the drill is
    over.
    """
    return _judge(
        f"delivered {name} {alert}", name, within, alert, lambda one: one.delivered_at is not None,
        lambda one: one.delivered_at is not None and one.expected_receiver in one.receivers,
    )  # fmt: skip


def nothing_else_fired(name: str = "drill", within: float = PATIENCE_S) -> bool:
    """
    True when the drill is over and no alert fired that nobody expected, predicted or allowed.

    Waits for the drill's end, because only then it is known.
    """
    run = _run(f"else {name}", name)
    if run is None or isinstance(run, bool):
        return bool(run)
    if not run.finish(within):
        logger.error("the drill is not over, so nobody knows yet what else fires")
        return False
    verdict = run.verdict()
    for one in verdict.unexpected if verdict else ():
        logger.error(f"unexpected: {one.labels}: {one.why}")
    return verdict is not None and verdict.outcome in ("pass", "fail") and not verdict.unexpected


def _judge(
    question: str,
    name: str,
    within: float,
    alert: dict[str, str] | None,
    known: Callable[[JudgedAlert], bool],
    good: Callable[[JudgedAlert], bool],
) -> bool:
    run = _run(question, name)
    if run is None or isinstance(run, bool):
        return bool(run)
    run.wait(lambda: all(known(one) for one in _meant(run.verdict(), alert)) and run.verdict() is not None, within)
    meant = _meant(run.verdict(), alert)
    if not meant:
        logger.error(f"the drill expects no alert {alert or ''}: nothing can be said")
    for one in meant:
        if not good(one):
            logger.error(f"{one.labels}: {one.verdict}: {one.why}")
    return bool(meant) and all(good(one) for one in meant)


def _meant(verdict: Verdict | None, alert: dict[str, str] | None) -> list[JudgedAlert]:
    wanted = (alert or {}).items()
    return [one for one in verdict.alerts if wanted <= {**one.labels, **one.match}.items()] if verdict else []


def _claim(alert: JudgedAlert, index: int) -> AlertVerdict | None:
    return alert.claims[index].verdict if len(alert.claims) > index else None


def _run(question: str, name: str) -> HeldRun | bool | None:
    """The drill called *name*; True before any was injected, when first asked; None when there is none to judge."""
    if name in RUNS:
        return RUNS[name]
    first = question not in _asked
    _asked.add(question)
    if not first:
        logger.error(f"no drill '{name}' was injected, so nothing was tested")
    return True if first else None
