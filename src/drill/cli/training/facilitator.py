"""The facilitator's terminal: everything that happens, and what may be done about it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from drill.cli.training.prompt import Ended, Prompt
from drill.cli.training.screens import bar, clock, facilitator_lines, wrapped
from drill.core.errors import Unavailable
from drill.core.problems import did_you_mean
from drill.training import commands as c
from drill.training.views import FacilitatorView

HELP: Mapping[str, str] = {
    "status": "scenario, answer, faults, phases, hints, suspicions",
    "timeline": "all that happened so far",
    "whisper": "say something to the trainee: whisper look at one replica alone",
    "note": "write something on the timeline that only the debrief shows",
    "pause": "stop the clock (the fault stays); resume lets it run again",
    "hold": "keep an inject back: hold inject-1; release says it, skip drops it",
    "escalate": "add a second fault; without a name: which ones may be added",
    "real-incident": "something real happened: undo at once, NOT A DRILL everywhere",
    "abort": "end the training, undo everything: abort REASON",
    "quit": "leave this view; the training goes on",
    "help": "this list",
}
WAIT_S = 1.0


class Leads(Protocol):
    """The facilitator's half of a stage."""

    def facilitator_view(self) -> FacilitatorView:
        """Everything, now."""

    def facilitator_does(self, command: c.FacilitatorCommand) -> c.Answer:
        """Do something."""

    def wait_for_change(self, version: int, timeout_s: float) -> int:
        """Wait for a change."""


class Facilitator:
    """One person's terminal to lead a session."""

    def __init__(self, stage: Leads, page: str = "") -> None:
        self._stage, self._page = stage, page
        self._prompt = Prompt([*HELP, "resume", "release", "skip"], "lead> ", self._below)
        self._where = ""
        self._told = 0
        self._commands: dict[str, Callable[[str], None]] = {
            "status": lambda _: self._prompt.say(facilitator_lines(stage.facilitator_view())),
            "timeline": lambda _: self._timeline(),
            "whisper": lambda text: self._with_words(text, "whisper what?", lambda words: c.Whisper(text=words)),
            "note": lambda text: self._with_words(text, "note what?", lambda words: c.FacilitatorNote(text=words)),
            "pause": lambda _: self._do(c.Pause()),
            "resume": lambda _: self._do(c.Resume()),
            "hold": lambda text: self._do(c.HoldInject(id=text)),
            "release": lambda text: self._do(c.ReleaseInject(id=text)),
            "skip": lambda text: self._do(c.SkipInject(id=text)),
            "escalate": self._escalate,
            "real-incident": lambda text: self._do(c.RealIncident(reason=text or "the facilitator says so")),
            "abort": lambda text: self._do(c.Abort(reason=text or "ended by the facilitator")),
            "help": lambda _: self._prompt.say([(f"  {name:<14} {words}", "") for name, words in HELP.items()]),
        }

    def run(self) -> None:
        """Talk until the session is over or the person leaves."""
        stop = threading.Event()
        teller = threading.Thread(target=self._tell, args=(stop,), name="drill-teller", daemon=True)
        with self._prompt.taken():
            self._prompt.say(facilitator_lines(self._stage.facilitator_view()))
            if self._page:
                self._prompt.say([("", ""), ("  The same in a browser:", "dim"), (self._page, "")])
            self._prompt.say(
                [("", ""), ("  `help` lists what you may do; what happens is shown as it happens.", "dim")]
            )
            teller.start()
            try:
                self._talk()
            finally:
                stop.set()
                teller.join(2 * WAIT_S)

    def _tell(self, stop: threading.Event) -> None:
        version = 0
        while not stop.is_set():
            try:
                version = self._stage.wait_for_change(version, WAIT_S)
                view = self._stage.facilitator_view()
            except Unavailable:
                self._prompt.say([("  The session is over.", "bold")])
                self._prompt.end()
                return
            self._news(view)
            if view.trainee.phase == "over":
                self._prompt.say([(f"  Over: {view.trainee.ending}.", "bold")])
                self._prompt.end()
                return
            stop.wait(0.2)

    def _news(self, view: FacilitatorView) -> None:
        self._where = bar(view.trainee)
        lines = view.timeline[self._told :]
        self._told = len(view.timeline)
        for line in lines:
            text = f"{clock(line.at)} {line.who:<11} {line.what}"
            style = {"trainee": "bold", "facilitator": "dim"}.get(line.who, "")
            self._prompt.say([(one, style) for one in wrapped(text)])

    def _below(self) -> str:
        return f" {self._where} | status timeline whisper pause escalate abort help"

    def _talk(self) -> None:
        while True:
            try:
                line = self._prompt.read()
            except (Ended, EOFError, KeyboardInterrupt):
                return
            word, _, rest = line.partition(" ")
            if word in ("quit", "exit"):
                return
            try:
                self._command(word, rest.strip())
            except Unavailable as error:
                self._prompt.say([(f"  {error}", "yellow")])

    def _command(self, word: str, rest: str) -> None:
        known = self._commands.get(word)
        if known is not None:
            known(rest)
        elif word:
            text = f"'{word}' is not a command here; {did_you_mean(word, HELP)}"
            self._prompt.say([(line, "yellow") for line in wrapped(text)])

    def _do(self, command: c.FacilitatorCommand) -> None:
        answer = self._stage.facilitator_does(command)
        self._prompt.say([(line, "" if answer.ok else "yellow") for line in wrapped(answer.text)])

    def _with_words(self, text: str, question: str, make: Callable[[str], c.FacilitatorCommand]) -> None:
        if text:
            self._do(make(text[:2000]))
        else:
            self._prompt.say([(f"  {question}", "yellow")])

    def _timeline(self) -> None:
        lines = self._stage.facilitator_view().timeline
        texts = [one for line in lines for one in wrapped(f"{clock(line.at)} {line.who:<11} {line.what}")]
        self._prompt.say([(text, "") for text in texts] or [("  nothing yet", "")])

    def _escalate(self, text: str) -> None:
        if text:
            self._do(c.Escalate(scenario=text))
            return
        may = self._stage.facilitator_view().escalations
        words = [f"  escalate {one}" for one in may] or ["  nothing can be added now"]
        self._prompt.say([(line, "") for line in words])
