"""Between the pages and the stage: views as JSON, commands out of JSON. No network.

Texts go through the redactor on their way out, whatever the stage did. Series are thinned to what a screen shows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import ceil, isfinite, isnan, log2
from typing import Any

from pydantic import ValidationError

from drill.core.redact import redact, redacted
from drill.training.commands import FACILITATOR_COMMAND, TRAINEE_COMMAND, Answer
from drill.training.stage import Stage
from drill.training.views import SloSeries, TraineeView
from drill.web.access import Role
from drill.web.prose import digest

MOST_POINTS = 150
"""Points of one series. More than a chart has room for, and ten SLOs have a hundred series."""
SERIES = ("error_ratio", "requests_per_second")
PROSE = ("runbook", "debrief")
"""Markdown of the trainee's view: the pages get its digest with every view, and the text once."""


class CommandRefused(ValueError):
    """What a page sent is no command; the message says why."""


def view_of(stage: Stage, role: Role) -> str:
    """Return what *role* may see now, as JSON."""
    if role == "trainee":
        view = _trainee(stage.trainee_view())
    else:
        everything = stage.facilitator_view()
        view = {**_shown(everything.model_dump(exclude={"trainee"})), "trainee": _trainee(everything.trainee)}
    return json.dumps(view, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def prose_of(stage: Stage, name: str) -> str:
    """Return the Markdown called *name* (see PROSE) of the trainee's view. Raises KeyError for other names."""
    if name not in PROSE:
        raise KeyError(name)
    return str(getattr(stage.trainee_view(), name))


def carry_out(stage: Stage, role: Role, body: bytes) -> Answer:
    """Do what *body* (JSON) asks for, as *role*. Raises CommandRefused."""
    try:
        if role == "trainee":
            return stage.trainee_does(TRAINEE_COMMAND.validate_json(body))
        return stage.facilitator_does(FACILITATOR_COMMAND.validate_json(body))
    except ValidationError as error:
        raise CommandRefused(_why(error)) from error


def _why(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])


def _trainee(view: TraineeView) -> dict[str, Any]:
    shown: dict[str, Any] = _shown(view.model_dump(exclude={"slos"}))
    for name in PROSE:
        shown[name] = digest(getattr(view, name))
    return {**shown, "slos": [_slo(slo) for slo in view.slos]}


def _slo(slo: SloSeries) -> dict[str, Any]:
    shown: dict[str, Any] = _shown(slo.model_dump(exclude={*SERIES, "burn_rates"}))
    burn_rates = {window: thinned(points) for window, points in slo.burn_rates.items()}
    return {**shown, **{name: thinned(getattr(slo, name)) for name in SERIES}, "burn_rates": burn_rates}


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float | None]]:
    """Return at most about MOST_POINTS of *points*: the largest of each stretch of time, so that no peak is lost.

    Stretches begin at round times: a curve that grows at its end does not wobble in its middle. What is no number
    becomes None, a gap.
    """
    if not points:
        return []
    width = _stretch(points[-1][0] - points[0][0])
    kept: dict[float, tuple[float, float]] = {}
    for number, point in enumerate(points):
        stretch = point[0] // width if width else number
        before = kept.get(stretch)
        if before is None or not point[1] < before[1]:  # not a number gives way to a number, and stays where alone
            kept[stretch] = before if before is not None and isnan(point[1]) else point
    return [(round(at, 1), float(f"{value:.4g}") if isfinite(value) else None) for at, value in kept.values()]


def _stretch(span: float) -> float:
    """The width of a stretch in seconds: 0 for none, else a power of two, so that it seldom changes."""
    need = span / MOST_POINTS
    return 2.0 ** ceil(log2(need)) if need > 0.5 else 0.0


def _shown(value: Any) -> Any:
    """*value* with every text redacted (of labels, values by their name too) and every number one that JSON has."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        shown = {redact(str(key)): _shown(item) for key, item in value.items()}
        return {**shown, "labels": redacted(shown["labels"])} if "labels" in shown else shown
    if isinstance(value, list | tuple):
        return [_shown(item) for item in value]
    if isinstance(value, float) and not isfinite(value):
        return None
    return value
