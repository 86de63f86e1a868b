"""The sandbox as a target: starts it, asks it, ends it, and looks whether anything was left.

Implements :class:`drill.core.ports.Target`. Facts come from the running sandbox and its agent, never from hope.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from drill.core.actions import AnyAction, AwaitReplica, HoldFault, KillReplica, ReleaseFault
from drill.core.errors import ActionFailed, Unavailable, UndoIncomplete
from drill.core.facts import Ability, Endpoints, Facts
from drill.core.probes import Measurement, Probe
from drill.target.sandbox import leftovers, programs
from drill.target.sandbox.client import Hold, Leases, Message, ask
from drill.target.sandbox.mitigations import Mitigations
from drill.target.sandbox.planned import facts_of, limited, read_abilities
from drill.target.sandbox.shell import environment
from drill.target.sandbox.spec import Launch, SandboxSpec
from drill.target.sandbox.topology import Place

START_S = 90.0
END_S = 20.0
LEASE_S = 6.0
"""An agent reverts when its lease was not renewed for this long; a closed connection reverts at once."""
ASK_S = 30.0
SWEEP_S = 120.0
APPLY_S = 30.0
LOG_LINES = 40


class Sandbox:
    """One running sandbox. Threads may share it."""

    def __init__(self, sandbox: str, spec: SandboxSpec, doors: Mapping[str, int], keeper: Keeper | None) -> None:
        self.id = sandbox
        self.spec = spec
        self._doors = dict(doors)
        self._keeper = keeper
        directory = leftovers.runtime_directory(sandbox)
        if directory is None:
            raise Unavailable(f"there is no sandbox {sandbox}", hint="`drill sandbox status` lists them")
        self._directory = directory
        self._control = directory / leftovers.CONTROL
        self._leases = Leases(LEASE_S)
        self._abilities: dict[Ability, str] | None = None

    @classmethod
    def start(
        cls, spec: SandboxSpec, on_progress: Callable[[str], None] | None = None, detach: bool = False
    ) -> Sandbox:
        """Start a sandbox; return when users get answers and Prometheus has stored it.

        With *detach* it lives on when this process ends. Raises Unavailable when a program, a right or a first
        sample is missing; nothing is left then.
        """
        leftovers.sweep()
        prometheus = programs.find("prometheus")
        launch = Launch(
            spec=spec,
            prometheus=str(prometheus),
            alertmanager=str(programs.find("alertmanager")),
            ip=str(programs.find("ip")),
            quick_discovery=programs.is_prometheus_3(prometheus),
        )
        keeper = Keeper(launch, detach)
        try:
            doors = keeper.until_ready(on_progress)
            return cls(keeper.id, spec, doors, keeper)
        except BaseException:
            keeper.end()
            raise

    @classmethod
    def attach(cls, sandbox: str) -> Sandbox:
        """Join a sandbox that somebody started. Raises Unavailable when it does not answer."""
        directory = leftovers.runtime_directory(sandbox)
        if directory is None:
            raise Unavailable(f"there is no sandbox {sandbox}", hint="`drill sandbox status` lists them")
        try:
            about = json.loads((directory / "about.json").read_text())
            spec, doors = SandboxSpec.from_json(about["spec"]), about["doors"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Unavailable(f"the sandbox {sandbox} is not ready or not one of this version: {error}") from error
        return cls(sandbox, spec, doors, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """``sandbox``."""
        return "sandbox"

    @property
    def entrance(self) -> str:
        """Base URL of the users' entrance: ``<entrance>/checkout`` is one user's request."""
        return f"http://127.0.0.1:{self._doors['edge']}"

    def endpoints(self) -> Endpoints:
        """Loopback URLs of Prometheus, Alertmanager and the sink."""
        urls = {name: f"http://127.0.0.1:{port}" for name, port in self._doors.items()}
        return Endpoints(prometheus=urls["prometheus"], alertmanagers=(urls["alertmanager"],), sink=urls["sink"])

    def facts(self) -> Facts:
        """What compile needs. Raises Unavailable."""
        limits: dict[str, str] = self._ask({"do": "status"})["missing"]
        if self._abilities is None:
            said = self._ask({"do": "abilities", "replica": "checkout-0"})["abilities"]
            self._abilities = read_abilities(said)
        missing = {**self._abilities, **limited(limits)}
        return facts_of(self.spec, limits, missing, self._places())

    def _places(self) -> list[Place]:
        """The replicas in service now: what people left scaled out or in quarantine counts."""
        told = self._ask({"do": "workloads"})["deployments"]
        names = (pod["name"] for one in told.values() for pod in one["pods"] if pod["serving"])
        return [Place(service, int(index)) for service, _, index in (name.rpartition("-") for name in names)]

    def execute(self, action: AnyAction) -> float:
        """Do *action*; return the Unix time at which it was done. Raises ActionFailed."""
        match action:
            case HoldFault():
                return self._hold(action)
            case ReleaseFault():
                return self._release(action)
            case KillReplica(mode="kill"):
                return float(
                    self._do({"do": "kill", "injection": action.injection, "replica": action.replica})["at"]
                )
            case AwaitReplica():
                message = {"do": "await", "replica": action.replica, "within_s": action.within_s}
                return float(self._do(message, action.within_s + ASK_S)["at"])
            case KillReplica():
                raise ActionFailed(f"the sandbox has no API to {action.mode} {action.replica} by")
            case _:
                raise ActionFailed(f"the sandbox does not do '{action.do}'")  # compile has said so

    def _hold(self, action: HoldFault) -> float:
        message = {
            "do": "hold",
            "injection": action.injection,
            "replica": action.replica,
            "spec": action.fault.model_dump_json(),
            "ttl": action.ttl_s,
            "deadline": action.deadline_s,
            "lease": LEASE_S,
            "reapply": action.reapply,
        }
        try:
            hold = Hold(self._control, message, ASK_S)
        except (Unavailable, OSError) as error:
            raise ActionFailed(str(error)) from error
        try:
            event = hold.until_applied(APPLY_S)
        except ActionFailed:
            hold.close()
            raise
        self._leases.add((action.injection, action.replica), hold)
        return float(event.get("at") or time.time())

    def _release(self, action: ReleaseFault) -> float:
        hold = self._leases.take((action.injection, action.replica))
        try:
            answer = self._do({"do": "release", "injection": action.injection, "replica": action.replica})
        except ActionFailed:
            if leftovers.left_of(self.id):
                raise
            return time.time()  # the sandbox is gone, and the fault with it
        finally:
            if hold is not None:
                hold.close()
        remains = (answer.get("cleared") or {}).get("remains")
        if remains:
            raise ActionFailed(f"{action.replica}: left behind: {remains}")
        return float(answer["event"].get("at") or time.time())

    def sweep(self) -> tuple[list[str], list[str]]:
        """Clear every replica at which no living runner holds a fault; return what was removed and what remains.

        Doing it twice, or twice at once, is harmless. Raises Unavailable.
        """
        removed: list[str] = []
        remains: list[str] = []
        for replica, said in self._ask({"do": "sweep"}, SWEEP_S)["found"].items():
            removed += [f"{replica}: {what}" for what in said.get("removed", ())]
            remains += [f"{replica}: {what}" for what in said.get("remains", ())]
        return removed, remains

    def measure(self, probe: Probe) -> Measurement:
        """Answer *probe* from inside. Raises Unavailable when it cannot be measured."""
        answer = self._ask({"do": "probe", **probe.model_dump()})
        return Measurement(value=float(answer["value"]), at=float(answer["at"]))

    def snapshot(self, replica: str) -> Mapping[str, str]:
        """What faults may change at *replica*, as the agent sees it. Raises Unavailable."""
        said = self._ask({"do": "snapshot", "replica": replica})["snapshot"]
        return {str(key): value if isinstance(value, str) else json.dumps(value) for key, value in said.items()}

    def route(self, replica: str, serving: bool) -> None:
        """Take *replica* out of its service's endpoints, or back in, to route users around it."""
        self._do({"do": "route", "replica": replica, "serving": serving})

    @property
    def mitigations(self) -> Mitigations:
        """What people may do to end an incident here."""
        return Mitigations(self._do)

    def shell_environment(self) -> dict[str, str]:
        """The environment of a shell in which `kubectl` means this sandbox. Raises Unavailable."""
        return environment(self.id)

    def status(self) -> Message:
        """Replicas with PIDs (inside) and starts, held faults, endpoints. Raises Unavailable."""
        return self._ask({"do": "status"})

    def log_lines(self) -> Sequence[str]:
        """The last lines of the servers' and the supervisor's logs."""
        lines: list[str] = []
        for name in leftovers.LOGS:
            with contextlib.suppress(OSError):
                text = (self._directory / name).read_text(errors="replace")
                lines += [f"{name.removesuffix('.log')}: {line}" for line in text.splitlines()[-LOG_LINES:]]
        return lines

    def _ask(self, message: Message, timeout_s: float = ASK_S) -> Message:
        return ask(self._control, message, timeout_s)

    def _do(self, message: Message, timeout_s: float = ASK_S) -> Message:
        try:
            return self._ask(message, timeout_s)
        except Unavailable as error:
            raise ActionFailed(str(error), hint=error.hint) from error

    def detach(self) -> None:
        """Leave a sandbox running that was started with *detach* or attached to."""
        self._leases.close()
        if self._keeper is not None:
            self._keeper.forget()

    def close(self) -> None:
        """End the sandbox. Raises UndoIncomplete when anything of it can still be seen."""
        self._leases.close()
        if self._keeper is not None:
            self._keeper.end()
        else:
            end_keeper(self._directory)
        wait_until_gone(self.id)


def end_keeper(directory: Path) -> None:
    """Ask the keeper of a sandbox somebody else started to end it."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        pid = int(json.loads((directory / "about.json").read_text())["keeper"])
        keeper = os.pidfd_open(pid)
        try:
            if directory.name.removeprefix(leftovers.PREFIX).encode() in Path(f"/proc/{pid}/environ").read_bytes():
                os.kill(pid, 15)
                select.select([keeper], [], [], END_S)
        finally:
            os.close(keeper)


def wait_until_gone(sandbox: str, within_s: float = 5.0) -> None:
    """Look until nothing of *sandbox* is left. Raises UndoIncomplete with what is."""
    deadline = time.monotonic() + within_s
    while left := leftovers.left_of(sandbox):
        if time.monotonic() > deadline:
            raise UndoIncomplete(f"the sandbox {sandbox} left: {'; '.join(left)}", hint="drill recover --sandbox")
        time.sleep(0.02)


class Keeper:
    """The sandbox's first process, seen from the runner."""

    def __init__(self, launch: Launch, detach: bool) -> None:
        self.id = secrets.token_hex(4)
        self._words: list[str] = []
        command = [sys.executable, "-P", "-m", "drill.target.sandbox.keeper", "--id", self.id]
        self._process = subprocess.Popen(
            [*command, "--detach"] if detach else command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if not detach else subprocess.DEVNULL,
            env={**programs.environment(), leftovers.MARKER: self.id},
            start_new_session=True,  # Ctrl-C is the runner's to handle
        )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it ended at once; until_ready says why
            self._process.stdin.write(launch.to_json().encode() + b"\n")
            self._process.stdin.flush()

    def until_ready(self, on_progress: Callable[[str], None] | None) -> dict[str, int]:
        """Wait for the first stored sample; return the loopback ports. Raises Unavailable."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + START_S
        rest = b""
        while True:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            piece = os.read(self._process.stdout.fileno(), 65536) if ready else b""
            if not piece:
                raise Unavailable(f"the sandbox did not start: {self._why()}", hint="`drill doctor`")
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                doors = self._hear(json.loads(line), on_progress)
                if doors:
                    return doors

    def _hear(self, message: Message, on_progress: Callable[[str], None] | None) -> dict[str, int]:
        if "error" in message:
            self._words.append(str(message["error"]))
            raise Unavailable(str(message["error"]), hint="`drill doctor`")
        if "ready" in message:
            return dict(message["ready"])
        if on_progress is not None:
            on_progress(str(message.get("progress", "")))
        return {}

    def _why(self) -> str:
        if self._process.poll() is None:
            return f"no sample within {START_S:g} s"
        error = self._process.stderr.read().decode(errors="replace").strip() if self._process.stderr else ""
        return error.splitlines()[-1] if error else f"its first process ended ({self._process.returncode})"

    @property
    def pid(self) -> int:
        """The keeper's process id."""
        return self._process.pid

    def end(self) -> None:
        """Close the life line, wait, and kill what does not end."""
        self._close_pipes()
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(END_S)

    def forget(self) -> None:
        """Let a detached keeper live on."""
        self._close_pipes()
        self._process.returncode = 0  # not ours any more: no warning that it still runs

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
