"""Plays the whole curriculum as somebody who knows every answer: pages, causes, cures, progress. Prints its times.

One `drill train --curriculum NAME` after the other, each a process and a tmux terminal of its own; progress lies
where drill keeps it, in a fresh state folder. A lesson is won as its scenario says: the cause by `people.answer`,
the cure by the cells of `people.mitigation`, with `$POD` as the runbook's own query names it. A first session is
left before its page: its lesson must come again. Fails at the first lesson that does not come next, does not page,
or is not won.

python bench/curriculum.py [--curriculum onboarding] [--only N] [--state DIR]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from drill.cli.runbooks.find import find_runbook  # noqa: E402
from drill.cli.runbooks.world import LiveWorld, asking  # noqa: E402
from drill.faults.registry import parameter_models  # noqa: E402
from drill.gameday import loader as drills  # noqa: E402
from drill.observe.prometheus import Prometheus  # noqa: E402
from drill.runbook.attributes import fill  # noqa: E402
from drill.runbook.walk import Walker  # noqa: E402
from drill.scenario import loader as scenarios  # noqa: E402
from drill.scenario.model import Scenario  # noqa: E402
from e2e.terminal import Terminal  # noqa: E402 - the folder of the tests comes first

PAGE_S, RIGHT_S, WELL_S, DEBRIEF_S = 150, 20, 150, 90
READ_S = 8
"""As long as somebody reads: before it, a query over five seconds may name the wrong replica."""
FAST_FORWARD = 60.0
PROMETHEUS = re.compile(r"Prometheus\s+(http://\S+)")


@dataclass(frozen=True)
class Played:
    """What one lesson took, in seconds."""

    title: str
    paged: float
    won: float
    all: float


def lessons(name: str) -> Iterator[tuple[str, Scenario]]:
    """Yield title and scenario of every lesson, parameters filled in."""
    loaded = drills.load(ROOT / "drills" / f"{name}.yaml", parameter_models())
    assert loaded.drill is not None, loaded.problems
    for call in loaded.drill.scenarios:
        path = drills.scenario_file(call.scenario, loaded.folder)
        scenario = scenarios.load(path, faults=parameter_models(), overrides=call.with_).scenario
        assert scenario is not None
        yield call.title, scenario


def play(number: int, title: str, scenario: Scenario, name: str, where: Path) -> Played:
    """Play lesson *number*. Raises AssertionError with the screen."""
    began = time.monotonic()
    env = {"XDG_STATE_HOME": str(where / "state"), "PAGER": "cat", "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "drill", "train", "--curriculum", name, "--out", str(where / "runs")]
    terminal = Terminal(command, ROOT, env)
    try:
        terminal.wait_for(f"> [ ] {number}. {title}", within_s=30)
        text = terminal.wait_for("TRIGGERED", within_s=PAGE_S)
        paged = time.monotonic() - began
        _win(terminal, scenario, text)
        won = time.monotonic() - began
        terminal.type("done")
        terminal.wait_for("lessons are left", "That was the last lesson", within_s=DEBRIEF_S)
    finally:
        terminal.close()
    return Played(title, paged, won, time.monotonic() - began)


def _win(terminal: Terminal, scenario: Scenario, text: str) -> None:
    answer = scenario.people.answer
    assert answer is not None
    terminal.type("ack")
    terminal.type(f"suspect {answer.accept[0]} at {answer.component}")
    terminal.wait_for("that is it", within_s=RIGHT_S)
    found = PROMETHEUS.search(text)
    assert found is not None, text
    time.sleep(READ_S)
    cures = list(_cures(scenario, found[1]))
    terminal.type("shell")
    terminal.wait_for("on-call$", within_s=RIGHT_S)
    for cure in cures:
        terminal.type(cure)
    time.sleep(5)
    terminal.type("exit")
    terminal.wait_for("Mitigated.", within_s=WELL_S)


def _cures(scenario: Scenario, address: str) -> Iterator[str]:
    """The commands of the scenario's mitigation, with the pod its runbook's query names."""
    book = find_runbook(scenario.runbook)
    slo = scenario.expect.alerts[0].match["slo"]
    service = slo.rpartition("-")[0]  # whose owner is paged; the fault may be elsewhere
    for play_ in scenario.people.mitigation:
        cell = book.cell(play_.cell)
        assert cell is not None
        with contextlib.closing(Prometheus(address)) as server:
            world = LiveWorld("lesson", asking(server), fast_forward=FAST_FORWARD)
            walker = Walker(book, world, {"SERVICE": service, "NAMESPACE": "default", **play_.with_})
            deadline = time.monotonic() + RIGHT_S
            while "POD" in walker.missing(cell) and not walker.find_pod() and time.monotonic() < deadline:
                time.sleep(0.5)
            yield fill(cell.body.strip(), walker.values)


def interrupted(name: str, where: Path) -> None:
    """Leave a lesson before its page by ending its terminal: it must come next again."""
    env = {"XDG_STATE_HOME": str(where / "state"), "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "drill", "train", "--curriculum", name, "--out", str(where / "runs")]
    terminal = Terminal(command, ROOT, env)
    terminal.wait_for("You are on call; a page will come", within_s=60)
    terminal.close()


def done(name: str, where: Path) -> int:
    """How many lessons are done, by what drill kept."""
    try:
        progress = json.loads((where / f"state/drill/curricula/{name}.json").read_text())
    except OSError:
        return 0
    return sum(one["mitigated"] and one["localized"] for one in progress.values())


def main() -> int:
    """Play lessons and print what they took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--curriculum", default="onboarding")
    parser.add_argument("--only", type=int, default=99, help="at most so many lessons")
    parser.add_argument("--state", type=Path, help="where progress lies, to go on later; else nowhere")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the terminal, and the sandbox in it, must end with us
    name, found = given.curriculum, list(lessons(given.curriculum))
    with tempfile.TemporaryDirectory(prefix="drill-curriculum-") as folder:
        where = given.state or Path(folder)
        where.mkdir(exist_ok=True)
        first = done(name, where)
        if first == 0:
            interrupted(name, where)
        print(f"{'lesson':<40} {'paged':>8} {'won':>8} {'over':>8}", flush=True)
        last = min(len(found), first + given.only)
        for number in range(first + 1, last + 1):
            title, scenario = found[number - 1]
            played = play(number, title, scenario, name, where)
            times = "".join(f"{one:7.0f} s" for one in (played.paged, played.won, played.all))
            print(f"{number}. {title:<37}{times}", flush=True)
        kept = done(name, where)
        print(f"kept: {kept} of {len(found)} lessons mitigated and localized")
    return 0 if kept == last else 1


if __name__ == "__main__":
    raise SystemExit(main())
