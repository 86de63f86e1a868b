"""The first process of a sandbox: makes what lies on the host, starts the inside, removes everything at the end.

::

    runner ── keeper ──┬── janitor   own session; cleans up when the keeper is SIGKILLed
                       └── guard     makes the namespaces (PDEATHSIG: dies with the keeper)
                             └── init   PID 1 inside (PDEATHSIG: dies with the guard); the kernel ends the rest

The keeper stays in the host's namespaces and starts no thread. It reads one line of JSON (:class:`Launch`) and
then watches its standard input: end of file, SIGTERM, the death of the runner or of init end the sandbox.
What it prints are JSON lines: ``{"progress": …}``, ``{"ready": …}`` or ``{"error": …}``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from drill.target.sandbox import cgroups, kernel, leftovers
from drill.target.sandbox.cgroups import Cgroups
from drill.target.sandbox.spec import Launch
from drill.target.sandbox.topology import places

NAMESPACES = (
    kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWUTS | kernel.CLONE_NEWIPC
)
DOORS = ("prometheus", "alertmanager", "sink", "edge")
"""What is reachable from the host, each through one loopback port."""


@dataclass
class Inside:
    """What init inherits from the keeper."""

    sandbox: str
    launch: Launch
    directory: Path
    groups: Cgroups
    doors: dict[str, socket.socket]
    control: socket.socket
    guard_pidfd: int = -1

    def ports(self) -> dict[str, int]:
        """The loopback port of each door."""
        return {name: door.getsockname()[1] for name, door in self.doors.items()}


def say(**message: object) -> None:
    """Print one JSON line for the runner; a runner that has gone is no reason to fail."""
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(message).encode() + b"\n")


def main() -> None:
    """Run the keeper until the sandbox's end."""
    parser = argparse.ArgumentParser(prog="drill-sandbox-keeper")
    parser.add_argument("--id", required=True)
    parser.add_argument("--detach", action="store_true")
    options = parser.parse_args()
    launch = Launch.from_json(_read_line(0))
    runner = None if options.detach else os.pidfd_open(os.getppid())
    kernel.name_process("drill-keeper")
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    wake = _wake_on(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    try:
        directory, lock = leftovers.make_runtime_directory(options.id)
    except OSError as error:
        say(error=f"cannot make a runtime directory: {error}")
        sys.exit(1)
    _log_to(directory / "keeper.log")
    code = _keep(options.id, launch, directory, _Watched(0 if runner else -1, runner or -1, wake, lock))
    sys.exit(code)


@dataclass(frozen=True)
class _Watched:
    stdin: int
    runner: int
    wake: int
    lock: int


def _keep(sandbox: str, launch: Launch, directory: Path, watched: _Watched) -> int:
    groups = Cgroups()
    try:
        groups = cgroups.create(sandbox, [each.name for each in places()])
        leftovers.write_bases(directory, groups.bases.values())
        janitor = _start_janitor(directory)
        inside = Inside(sandbox, launch, directory, groups, _open_doors(), _control_socket(directory))
        _write_about(inside)
        guard = _start_guard(inside, watched.lock)
        _close_all(inside)
        _wait_for_end(watched, guard)
        _end(guard, janitor)
    except OSError as error:
        say(error=f"the sandbox cannot be started: {error}")
        return 1
    finally:
        left = cgroups.remove(groups.bases.values()) if groups.bases else []
        leftovers.remove_runtime(directory)
    return 5 if left else 0


def _write_about(inside: Inside) -> None:
    """What somebody who attaches later must know."""
    about = {"keeper": os.getpid(), "doors": inside.ports(), "spec": inside.launch.spec.to_json()}
    (inside.directory / "about.json").write_text(json.dumps(about))


def _read_line(fd: int) -> str:
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(fd, 65536)
        if not piece:
            break
        line += piece
    return line.decode()


def _wake_on(*signals: signal.Signals) -> int:
    """Turn signals into bytes on a pipe; return the end to watch."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in signals:
        signal.signal(number, lambda *_: None)
    return reader


def _log_to(path: Path) -> None:
    log = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    os.dup2(log, 2)
    os.close(log)


def _open_doors() -> dict[str, socket.socket]:
    """Listening sockets in the host's network namespace; they stay there whoever holds them."""
    doors = {}
    for name in DOORS:
        doors[name] = socket.create_server(("127.0.0.1", 0), backlog=64)
    return doors


def _control_socket(directory: Path) -> socket.socket:
    control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    control.bind(str(directory / leftovers.CONTROL))
    control.listen(64)
    return control


def _close_all(inside: Inside) -> None:
    for door in [*inside.doors.values(), inside.control]:
        door.close()


def _start_janitor(directory: Path) -> int:
    """Fork the process that cleans up behind a SIGKILLed keeper."""
    keeper = os.pidfd_open(os.getpid())
    pid = os.fork()
    if pid:
        os.close(keeper)
        return pid
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        kernel.name_process("drill-janitor")
        kernel.close_all_but({keeper})
        select.select([keeper], [], [])
        leftovers.remove_runtime(directory)
    finally:
        os._exit(0)


def _start_guard(inside: Inside, lock: int) -> int:
    """Fork the process that makes the namespaces and is init's parent."""
    keeper = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.close(lock)  # the lock is the keeper's life, not its children's
        _guard(inside, keeper)
    except OSError as error:
        hint = _why_no_namespaces(error)
        say(error=f"namespaces cannot be made: {error}{hint}")
    finally:
        os._exit(1)


def _guard(inside: Inside, keeper: int) -> NoReturn:
    kernel.name_process("drill-guard")
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    uid, gid = os.getuid(), os.getgid()
    if uid != 0:
        kernel.unshare(kernel.CLONE_NEWUSER | NAMESPACES)
        kernel.map_root(uid, gid)
    else:
        kernel.unshare(NAMESPACES)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # after unshare: a change of credentials clears it
    if os.getppid() != keeper:
        os._exit(1)  # the keeper died before the kernel was told
    inside.guard_pidfd = os.pidfd_open(os.getpid())
    pid = os.fork()
    if pid == 0:
        from drill.target.sandbox.init import run

        run(inside)
    _close_all(inside)
    _, status = os.waitpid(pid, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _why_no_namespaces(error: OSError) -> str:
    if os.getuid() == 0:
        return "; as root this needs CAP_SYS_ADMIN, which containers usually lack"
    return (
        f"; this user needs user namespaces (kernel.unprivileged_userns_clone, user.max_user_namespaces): {error}"
    )


def _wait_for_end(watched: _Watched, guard: int) -> None:
    """Block until something ends the sandbox."""
    inside = os.pidfd_open(guard)
    poller = select.poll()
    for fd in (watched.stdin, watched.runner, watched.wake, inside):
        if fd >= 0:
            poller.register(fd, select.POLLIN | select.POLLHUP)
    while True:
        for fd, _ in poller.poll():
            if fd != watched.stdin or not os.read(fd, 4096):
                return


def _end(guard: int, janitor: int) -> None:
    """Kill the inside and wait until the kernel has ended every process in it."""
    for pid in (guard, janitor):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)  # init too: the keeper is the subreaper
        except ChildProcessError:
            return
        if not pid:
            time.sleep(0.005)


if __name__ == "__main__":
    main()
