"""The responder's shell: a real one, with the target's ``kubectl`` first on PATH; what is typed is recorded.

The shell reports every command line to a file of its own; whether one changed something says ``runbook/rules.py``.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from drill.cli.training.lookout import watch_commands
from drill.runbook.rules import changes_something
from drill.training.given import Typed
from drill.training.live import LiveStage

PR_SET_PDEATHSIG = 1
WELCOME = (
    "A real shell; `exit` brings you back. kubectl speaks to the services in trouble.",
    "$SERVICE and $NAMESPACE are set as the runbook has them; $POD is yours to set.",
)


def typed(line: str) -> Typed:
    """Read one command line of the shell."""
    return Typed(text=line.strip()[:500], changes=changes_something(line))


class Shell:
    """Opens the shell as often as asked; what is typed in it reaches the stage."""

    def __init__(self, stage: LiveStage, environment: Mapping[str, str], folder: Path) -> None:
        self._stage, self._environment, self._folder = stage, environment, folder
        self._log = folder / "commands"

    def open(self) -> None:
        """Run the shell in the foreground until the person leaves it. Raises OSError when there is none."""
        bash = shutil.which("bash")
        rc = self._folder / "rc"
        rc.write_text(RC if bash else "")
        command = [bash, "--rcfile", str(rc), "-i"] if bash else [os.environ.get("SHELL", "/bin/sh"), "-i"]
        path = self._environment.get("PATH", "")
        environment = {
            **self._environment,
            "SERVICE": self._stage.state.paged_service,
            "DRILL_COMMANDS": str(self._log),
            "DRILL_FIRST": path.partition(":")[0],
        }
        with _no_interrupts():
            subprocess.run(command, env=environment, check=False, preexec_fn=_die_with_parent)


RC = """\
[ -r ~/.bashrc ] && . ~/.bashrc
PATH=$DRILL_FIRST:$PATH
HISTFILE=
HISTCONTROL=
HISTIGNORE=
PS1='on-call$ '
__drill_last=$(HISTTIMEFORMAT= builtin history 1)
__drill_note() {
    local line
    line=$(HISTTIMEFORMAT= builtin history 1)
    [ "$line" = "$__drill_last" ] && return
    __drill_last=$line
    printf '%s\\n' "$line" | tail -n 1 | sed 's/^ *[0-9]*\\** *//' >> "$DRILL_COMMANDS"
}
PROMPT_COMMAND=__drill_note
"""


@contextlib.contextmanager
def shell(stage: LiveStage, environment: Mapping[str, str]) -> Iterator[Shell]:
    """Return a shell whose files are gone when the block is left."""
    stop = threading.Event()
    with tempfile.TemporaryDirectory(prefix="on-call-") as name:
        folder = Path(name)
        thread = threading.Thread(target=watch_commands, args=(folder / "commands", stage, stop), daemon=True)
        thread.start()
        try:
            yield Shell(stage, environment, folder)
        finally:
            stop.set()
            thread.join(5)


@contextlib.contextmanager
def _no_interrupts() -> Iterator[None]:
    """Ctrl-C belongs to the shell while it is open."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _die_with_parent() -> None:
    """The shell ends when drill is killed: a terminal must not be left to two readers."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with contextlib.suppress(OSError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGHUP)
