"""`drill train` from the first screen to the last: conductor, doors, terminal, debrief."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from drill.cli.console import Console, quiet_libraries
from drill.cli.live_runs import check_not_aborted
from drill.cli.state import state_dir
from drill.cli.training.conduct import Conductor, Wish
from drill.cli.training.door import opened
from drill.cli.training.record import write_card, write_debrief
from drill.cli.training.screens import Line, rule, wrapped
from drill.cli.training.shell import WELCOME, Shell, shell
from drill.cli.training.trainee import Trainee
from drill.core.errors import DrillError, ExitCode, Unavailable
from drill.core.units import format_duration
from drill.training.debrief import Debrief
from drill.training.session import plainly

if TYPE_CHECKING:
    from drill.web import Served

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""What ends a session from outside; SIGUSR1 is `drill abort`."""
READY_S = 120.0


@dataclass(frozen=True)
class Held:
    """A session that was held."""

    debrief: Debrief
    run_dir: Path
    exit_code: int


def hold_session(wish: Wish, console: Console, *, my_card: bool = False) -> Held:
    """Hold one session in this terminal. Raises DrillError when it could not begin, or could not be undone."""
    quiet_libraries()
    check_not_aborted()
    conductor = Conductor(wish)
    console.say()
    for text, style in welcome(wish, conductor):
        console.say(text, style)
    with (
        _ended_by_signals(conductor),
        _pages(conductor, console) as pages,
        opened(conductor.stage, conductor.run_dir.name, pages.facilitator_url if pages else "") as address,
    ):
        if not wish.solo:
            console.say(f"  The facilitator joins with: drill facilitate {address.session}", "bold")
        conductor.start()
        try:
            _talk(conductor, console, pages.trainee_url if pages else "")
        finally:
            _end(conductor, console)
    return _debrief(conductor, console, my_card=my_card)


@contextlib.contextmanager
def _pages(conductor: Conductor, console: Console) -> Iterator[Served | None]:
    """Serve the web pages while the session goes on; a session goes on without them."""
    from drill.web import serve

    with contextlib.ExitStack() as stack:
        try:
            pages = stack.enter_context(serve(conductor.stage))
        except OSError as error:
            console.warn(f"drill: no dashboard page: {error}")
            pages = None
        yield pages


def _talk(conductor: Conductor, console: Console, dashboard: str) -> None:
    if not conductor.until_ready(READY_S):
        return
    assert conductor.running is not None
    with shell(conductor.stage, conductor.running.sandbox.shell_environment()) as responder:
        trainee = Trainee(conductor.stage, lambda: _open(responder, console), dashboard=dashboard)
        if not trainee.run([]):
            conductor.stop("the trainee left")


def _open(responder: Shell, console: Console) -> None:
    for line in WELCOME:
        console.say(f"  {line}", "dim")
    responder.open()


def _end(conductor: Conductor, console: Console) -> None:
    if not conductor.stage.state.over_at:
        conductor.stop("the terminal is gone")
    console.say("  Everything is being undone, and the sandbox ends; a moment.", "dim")
    conductor.finish()


@contextlib.contextmanager
def _ended_by_signals(conductor: Conductor) -> Iterator[None]:
    def end(number: int, _: FrameType | None) -> None:
        conductor.stop(f"asked to stop ({signal.Signals(number).name})")

    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, end) for number in SIGNALS} if main else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def welcome(wish: Wish, conductor: Conductor) -> list[Line]:
    """The first screen. It must give nothing away."""
    script = conductor.stage.script
    services = ", ".join(service.name for service in script.services)
    limit = format_duration(wish.limit_s)
    told = (
        f"You are on call for {services}. Something will break for real, and somebody will page you. "
        f"Find out what it is, and make users well again. You have {limit} from then on; after that it is repaired "
        "for you. All of it runs in a sandbox on this machine: you cannot break anything of yours."
    )
    lines: list[Line] = [(rule("drill: training"), "bold")]
    lines += [(line, "") for line in wrapped(told)]
    if wish.brief:
        lines += [("", ""), *((line, "bold") for line in wrapped(wish.brief))]
    lines += [
        ("", ""),
        ("  What will break is fixed already. Its seal, opened at the end:", "dim"),
        (f"    sha256 {script.commitment}", "dim"),
        ("", ""),
        ("  Starting the services (about ten seconds) ...", "dim"),
    ]
    return lines


def wish_target(conductor: Conductor) -> str:
    """Return where the session was held."""
    return conductor.wish.settings.target


def _debrief(conductor: Conductor, console: Console, *, my_card: bool) -> Held:
    error = conductor.error
    state = conductor.stage.state
    if not state.effect_at and error is not None:
        raise error
    if not state.effect_at and not state.real_incident and state.run_aborted:
        raise Unavailable(
            f"nothing was broken, so there is nothing to talk about: {plainly(state.run_aborted)}",
            hint="try again; a machine that is busy with other work disturbs the services",
        )
    debrief, text = write_debrief(conductor.run_dir)
    console.say()
    console.markdown(text)
    console.say(f"\n  Kept in {conductor.run_dir}/debrief.md", "dim")
    console.say("  `drill debrief last` shows it again.", "dim")
    if wish_target(conductor) != "sandbox":
        console.say("  What you changed in the sandbox stays as you left it: it is one that was kept.", "dim")
    if my_card:
        _, own, path = write_card(conductor.run_dir, state_dir() / "cards")
        console.say()
        console.markdown(own)
        console.say(f"  Your card is in {path}, readable for you alone.", "dim")
    if isinstance(error, DrillError):
        raise error
    aborted = debrief.ending.startswith(("ended early", "the run was stopped"))
    return Held(debrief, conductor.run_dir, ExitCode.ABORTED if aborted else ExitCode.PASS)
