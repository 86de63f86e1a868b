"""Which session is to be held: a named scenario, one by chance, or the next lesson of a curriculum."""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from drill.cli import wiring
from drill.cli.catalogue import catalogue
from drill.cli.console import Console
from drill.cli.options import parse_sets
from drill.cli.settings import DEFAULT_FAST_FORWARD, RunSettings
from drill.cli.training import curriculum as lessons
from drill.cli.training.conduct import Wish
from drill.cli.training.solo import hold_session
from drill.core.errors import DrillError, UsageError
from drill.core.units import parse_duration

SHORTEST_S = 60.0
LONGEST_S = 4 * 3600.0


@dataclass(frozen=True)
class Choice:
    """The command line of `drill train`."""

    scenario: str | None
    out: Path
    random_: bool = False
    curriculum: str | None = None
    again: str | None = None
    service: str | None = None
    sets: Sequence[str] = ()
    target: str = "sandbox"
    facilitator: bool = False
    seed: int | None = None
    limit: str = "15m"
    my_card: bool = False
    real_time: bool = False


def start(choice: Choice) -> int:
    """Hold the session that was chosen; return the exit code. Raises UsageError, DrillError."""
    given = [name for name in (choice.scenario, choice.random_, choice.curriculum) if name]
    if len(given) != 1:
        raise UsageError(
            "say what to train: a scenario, --random, or --curriculum onboarding",
            hint="`drill train --random` needs nothing else",
        )
    console = Console()
    if choice.curriculum:
        return lessons.next_lesson(choice.curriculum, choice.again, _wish(choice, ""), console, choice.my_card)
    wish = _by_chance(choice) if choice.random_ else _wish(choice, choice.scenario or "")
    return hold_session(wish, console, my_card=choice.my_card).exit_code


def _wish(choice: Choice, scenario: str) -> Wish:
    seed = secrets.randbelow(1_000_000) if choice.seed is None else choice.seed
    settings = RunSettings(
        sets=parse_sets(choice.sets, choice.service),
        target=choice.target,
        out=choice.out,
        seed=seed,
        fast_forward=1.0 if choice.real_time else DEFAULT_FAST_FORWARD,
        occasion="training",
    )
    return Wish(scenario=scenario, settings=settings, limit_s=limit_of(choice.limit), solo=not choice.facilitator)


def limit_of(text: str) -> float:
    """Read ``--limit``. Raises UsageError."""
    try:
        limit_s = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--limit {text}: {error}") from None
    if not SHORTEST_S <= limit_s <= LONGEST_S:
        raise UsageError(f"--limit {text}: from 1m to 4h")
    return limit_s


def _by_chance(choice: Choice) -> Wish:
    """Draw scenario and service until one can be played. Raises UsageError when there is none."""
    wish = _wish(choice, "")
    for scenario, service in _drawn(wish, choice.service):
        sets = {**wish.settings.sets, **({"service": service} if service else {})}
        drawn = replace(wish, scenario=scenario, settings=replace(wish.settings, sets=sets))
        try:
            plan = wiring.compile_plan(scenario, drawn.settings).plan
        except DrillError:
            continue
        if not any(finding.level == "block" for finding in plan.findings):
            return drawn
    raise UsageError("no scenario can be played here", hint="`drill doctor` says what is missing")


def _drawn(wish: Wish, service: str | None) -> Iterator[tuple[str, str]]:
    """Yield scenarios with a service each (empty where it takes none), in an order of chance."""
    chance = random.Random(wish.settings.seed)  # nosec B311 - a draw, no secret
    services = [service] if service else ["checkout", "payment", "catalog", "cart", "recommendations"]
    pairs = [
        (entry.call, one)
        for entry in catalogue()
        if not entry.problems and (not service or "service" in entry.parameters)
        for one in (services if "service" in entry.parameters else [""])
    ]
    chance.shuffle(pairs)
    yield from pairs
