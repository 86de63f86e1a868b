"""The trainee's terminal: a page comes in, a few commands, and at the end the debrief. Blind until then."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence

from drill.cli.training.prompt import Ended, Prompt
from drill.cli.training.screens import Line, bar, message_lines, page_lines, status_lines, wrapped
from drill.training import commands as c
from drill.training.stage import Stage
from drill.training.views import SessionClock, TraineeView

HELP: Mapping[str, str] = {
    "ack": "take the page: it is yours, nobody else is woken",
    "status": "alerts, SLOs, replicas at a glance",
    "runbook": "read the runbook the page leads to (q leaves it)",
    "shell": "a shell with kubectl, to look and to mend (exit leaves it)",
    "suspect": "say what you think it is: suspect the disk of cart-1 is full",
    "hint": "the next hint; they are counted, not held against you",
    "note": "write something on the timeline: note not the database",
    "did": "say what you changed, where kubectl did not see it",
    "page": "show the page again",
    "done": "users are well and you have looked: end it",
    "give up": "end it without: what was broken is repaired",
    "help": "this list",
}
LEAVE = ("quit", "exit", "q")
"""What people type to leave; said twice it does, as Ctrl-D does."""
TABLETOP: Mapping[str, str] = {
    "status": "where you are, and what was told so far",
    "did": "say what you would change",
    "done": "you have talked it through: end it",
    "give up": "end it without an answer",
}
"""The same words where nothing is broken."""
WAIT_S = 1.0


Extra = Mapping[str, tuple[str, Callable[[str], None]]]
"""More commands by name: what the help says, and what they do with the words behind them."""


class Trainee:
    """One person's terminal. *open_shell* runs the shell in the foreground; None: there is none (a tabletop)."""

    def __init__(
        self,
        stage: Stage,
        open_shell: Callable[[], None] | None,
        *,
        dashboard: str = "",
        extra: Extra | None = None,
    ) -> None:
        self._stage, self._open_shell, self._dashboard = stage, open_shell, dashboard
        more = extra or {}
        shown = (
            HELP if open_shell else {name: text for name, text in {**HELP, **TABLETOP}.items() if name != "shell"}
        )
        self._help_text = {**shown, **{name: text for name, (text, _) in more.items()}}
        self._prompt = Prompt([*self._help_text], "on-call> " if open_shell else "tabletop> ", self._below)
        self._shown = TraineeView(
            version=0, session="", commitment="", phase="preparing", clock=SessionClock(now=0.0)
        )
        self._commands: dict[str, Callable[[str], None]] = {
            "ack": lambda _: self._do(c.Acknowledge()),
            "status": lambda _: self._prompt.say(status_lines(self._stage.trainee_view())),
            "runbook": lambda _: self._runbook(),
            "shell": lambda _: self._shell(),
            "suspect": self._suspect,
            "hint": lambda _: self._hint(),
            "note": lambda text: self._said(text, "note what?", lambda words: c.Note(text=words)),
            "did": lambda text: self._said(text, "what did you change?", lambda words: c.Act(text=words)),
            "page": lambda _: self._pages(),
            "done": lambda _: self._do(c.Done()),
            "give": lambda text: self._do(c.Done(give_up=True)) if text == "up" else self._unknown(f"give {text}"),
            "help": lambda _: self._help(),
            **{name: do for name, (_, do) in more.items()},
        }
        if open_shell is None:
            del self._commands["shell"]

    def run(self, welcome: Sequence[Line]) -> bool:
        """Talk until the session is over; False when the person left before."""
        stop = threading.Event()
        teller = threading.Thread(target=self._tell, args=(stop,), name="drill-teller", daemon=True)
        with self._prompt.taken():
            self._prompt.say(welcome)
            teller.start()
            try:
                return self._talk()
            finally:
                stop.set()
                teller.join(2 * WAIT_S)

    def tell(self, text: str) -> None:
        """Say something to the person; nothing when *text* is empty."""
        if text:
            self._prompt.say([(line, "yellow") for line in wrapped(text)])

    # ---- what comes in ----

    def _tell(self, stop: threading.Event) -> None:
        version = 0
        while not stop.is_set():
            version = self._stage.wait_for_change(version, WAIT_S)
            view = self._stage.trainee_view()
            self._news(view)
            if view.phase == "over":
                self._prompt.end()
                return
            stop.wait(0.1)

    def _news(self, view: TraineeView) -> None:
        """Say what is new since the last view."""
        before, self._shown = self._shown, view
        if before.phase == "preparing" and view.phase != "preparing":
            self._prompt.say(self._on_call(view))
        for page in view.pages[len(before.pages) :]:
            lines = page_lines(page)
            first = page.channel == "pagerduty" and page.status == "firing"
            if first and not before.clock.paged_at:
                lines += [("  `ack` takes it, `runbook` says what to do, `help` lists the rest.", "dim")]
            self._prompt.say(lines, bell=first)
        for message in view.messages[len(before.messages) :]:
            self._prompt.say(message_lines(message), bell=True, urgent=message.kind == "notice")
        for hint in view.hints[len(before.hints) :]:
            if not hint.asked:
                self._prompt.say([(line, "cyan") for line in wrapped(f"Hint {hint.number}: {hint.text}")])
        if view.phase == "mitigated" and before.phase != "mitigated":
            self._prompt.say(_mitigated(view))
        if view.clock.paused != before.clock.paused:
            words = "the facilitator has stopped the clock" if view.clock.paused else "the clock runs again"
            self._prompt.say([(f"  {words}", "cyan")])

    def _on_call(self, view: TraineeView) -> list[Line]:
        if self._open_shell is None:
            return [("  You are on call.", "")]
        lines: list[Line] = [("  The services are up and have users. You are on call; a page will come.", "")]
        lines += [(f"    {link.name:<14} {link.url}", "") for link in view.links]
        if self._dashboard:
            lines += [("    Dashboard, in a browser:", ""), (self._dashboard, "")]
        return [*lines, ("  Meanwhile look around: status, shell, help.", "")]

    def _below(self) -> str:
        words = "ack status runbook shell suspect hint done help" if self._open_shell else "next suspect done help"
        return f" {bar(self._stage.trainee_view())} | {words}"

    # ---- what goes out ----

    def _talk(self) -> bool:
        leaving = False
        while True:
            try:
                line = self._prompt.read()
                if line.strip().lower() in LEAVE:
                    raise EOFError
            except Ended:
                return True
            except (EOFError, KeyboardInterrupt):
                if leaving or not self._prompt.fancy:
                    return False
                leaving = True
                self._prompt.say([("  Once more ends the training; everything is undone.", "yellow")])
                continue
            leaving = False
            word, _, rest = line.partition(" ")
            known = self._commands.get(word.lower())
            if known is not None:
                known(rest.strip())
            elif word:
                self._unknown(line)

    def _unknown(self, line: str) -> None:
        from drill.core.problems import did_you_mean

        if self._open_shell is None:
            self._do(c.Note(text=line))
            return
        word = line.split()[0]
        text = f"'{word}' is not a command here ({did_you_mean(word, HELP)}); `shell` runs anything"
        self._prompt.say([(line, "yellow") for line in wrapped(text)])

    def _do(self, command: c.TraineeCommand) -> None:
        answer = self._stage.trainee_does(command)
        style = "" if answer.ok else "yellow"
        self._prompt.say([(line, style) for line in wrapped(answer.text)])

    def _said(self, text: str, question: str, make: Callable[[str], c.TraineeCommand]) -> None:
        text = text or self._ask(question)
        if text:
            self._do(make(text[:2000]))

    def _ask(self, question: str) -> str:
        self._prompt.say([(f"  {question}", "")])
        with contextlib.suppress(EOFError, KeyboardInterrupt):
            return self._prompt.read()
        return ""

    def _suspect(self, text: str) -> None:
        question = "What is broken, and where? For example: cart-1's disk is full"
        self._said(text, question, lambda words: c.Suspect(text=words))

    def _hint(self) -> None:
        answer = self._stage.trainee_does(c.AskHint())
        given = len(self._stage.trainee_view().hints)
        text = f"Hint {given}: {answer.text}" if answer.ok else answer.text
        self._prompt.say([(line, "cyan" if answer.ok else "yellow") for line in wrapped(text)])

    def _help(self) -> None:
        self._prompt.say([(f"  {name:<9} {text}", "") for name, text in self._help_text.items()])

    def _pages(self) -> None:
        pages = self._stage.trainee_view().pages
        lines = [line for page in pages[-4:] for line in page_lines(page)]
        self._prompt.say(lines or [("  no page yet", "")])

    def _runbook(self) -> None:
        text = self._stage.trainee_view().runbook
        if not text:
            paged = bool(self._stage.trainee_view().clock.paged_at)
            text = "the page leads to no runbook that is here" if paged else "no page yet, so no runbook"
            self._prompt.say([(f"  {text}", "")])
            return
        if not self._prompt.fancy:
            self._prompt.console.data(text)
            return
        with self._prompt.lent():
            page_through(text)

    def _shell(self) -> None:
        with self._prompt.lent():
            if self._open_shell is not None:
                self._open_shell()


def page_through(markdown: str) -> None:
    """Show *markdown* in the user's pager, in at most 80 columns."""
    import io

    import click
    from rich.console import Console as RichConsole
    from rich.markdown import Markdown

    file = io.StringIO()
    RichConsole(file=file, width=80, force_terminal=True, emoji=False).print(Markdown(markdown))
    click.echo_via_pager(file.getvalue(), color=True)


def _mitigated(view: TraineeView) -> list[Line]:
    lines: list[Line] = [("  Users have been well since you changed that. Mitigated.", "bold green")]
    if not view.suspicions:
        lines.append(("  What was it? Say what you suspect (suspect …), then `done`.", ""))
    else:
        lines.append(("  Look once more whether it stays so, then `done`.", ""))
    return lines
