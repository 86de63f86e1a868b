"""Programs that stand beside the victim (stress-ng, Envoy): started so that they never outlive the agent.

Each is the first process of its own pid namespace where that is allowed: when it ends, the kernel kills all it
started. It dies with the agent (PR_SET_PDEATHSIG), is marked in its environment for ``clear``, and its output goes
to a memory file, so that nothing is left on disk.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from drill.agent.errors import CannotApply
from drill.agent.kernel import CLONE_NEWPID, die_with_parent, enter_namespace, gone, unshare
from drill.agent.marks import OUTPUT, VARIABLE

OWN_PIDS = "/proc/self/ns/pid"


class Child:
    """One running program."""

    def __init__(
        self,
        command: Sequence[str],
        injection: str,
        cgroups: Sequence[str] = (),
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        """Start *command* inside *cgroups* after *prepare* was called in the new process. Raises CannotApply."""
        self.name = Path(command[0]).name
        self._output = os.memfd_create(f"{OUTPUT}{self.name}")
        agent = os.pidfd_open(os.getpid())
        original = os.open(OWN_PIDS, os.O_RDONLY)
        self.isolated = False
        try:
            with contextlib.suppress(OSError):
                unshare(CLONE_NEWPID)
                self.isolated = True
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                cwd="/",
                env={**os.environ, VARIABLE: injection},
                start_new_session=True,
                preexec_fn=lambda: _enter(cgroups, agent, prepare),
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise CannotApply(
                f"{self.name} cannot be started in {', '.join(cgroups) or 'place'}: {error}"
            ) from error
        finally:
            if self.isolated:
                enter_namespace(f"/proc/self/fd/{original}", CLONE_NEWPID)
            os.close(original)
            os.close(agent)
        self.pid = self._process.pid
        self.pidfd = os.pidfd_open(self.pid)

    def running(self) -> bool:
        """True while it has not ended."""
        return self._process.poll() is None

    def output(self) -> str:
        """Return the end of what it printed."""
        size = os.fstat(self._output).st_size
        return " ".join(os.pread(self._output, 2000, max(0, size - 2000)).decode(errors="replace").split())

    def wait(self, seconds: float) -> bool:
        """Wait for its end; True when it ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return not self.running()

    def kill(self, *, gently: float = 0.0) -> list[str]:
        """End it (SIGTERM first, when it is given time for it) and return what is left of it."""
        for number, patience in ((signal.SIGTERM, gently), (signal.SIGKILL, 2.0)):
            if not self.running():
                break
            if patience:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, number)
                self.wait(patience)
        return [f"process {self.pid} ({self.name})"] if self.running() else []


def _enter(cgroups: Sequence[str], agent: int, prepare: Callable[[], None]) -> None:
    die_with_parent()
    if gone(agent):  # before the line above: the kernel would never tell
        os._exit(1)
    for cgroup in cgroups:
        Path(cgroup, "cgroup.procs").write_text("0")
    prepare()
