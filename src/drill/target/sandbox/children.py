"""Processes of init: forked from it (they share its imported modules), or started as programs; all reaped here.

Init is PID 1, so it also reaps orphans. It has no threads: a fork copies a consistent state.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import subprocess
import traceback
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TypeVar

from drill.agent.holder import read_stream
from drill.target.sandbox import kernel

T = TypeVar("T")


def fork(main: Callable[[], None], log: Path, keep: Iterable[int] = ()) -> int:
    """Fork a child that runs *main*, writes to *log*, and has no file descriptor of init's but *keep*."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        _forget_parent()
        out = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, number in ((null, 0), (out, 1), (out, 2)):
            os.dup2(source, number)
        kernel.close_all_but({0, 1, 2, *keep})
        main()
        code = 0
    except BaseException:  # whatever it was: say it, and never run on as a second init
        traceback.print_exc()
    finally:
        os._exit(code)


def _forget_parent() -> None:
    gc.freeze()  # what was init's is never collected here: no finaliser of its loop runs twice
    asyncio._set_running_loop(None)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def in_callback(function: Callable[[], T]) -> Awaitable[T]:
    """Run *function* outside of any task, as a fork wants it: the child then has no current task either."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def call() -> None:
        try:
            result = function()
        except Exception as error:
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(result)

    loop.call_soon(call)
    return future


class Children:
    """Who waits for which process."""

    def __init__(self) -> None:
        self._on_exit: dict[int, Callable[[int], None]] = {}
        self._popen: dict[int, subprocess.Popen[bytes]] = {}

    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """Reap from now on whenever a child ends."""
        loop.add_signal_handler(signal.SIGCHLD, self.reap)

    def watch(self, pid: int, on_exit: Callable[[int], None]) -> None:
        """Call *on_exit* with the exit code (negative: the signal) when *pid* ends."""
        self._on_exit[pid] = on_exit

    def exit_of(self, pid: int) -> asyncio.Future[int]:
        """A future of *pid*'s exit code."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.watch(pid, lambda code: None if future.done() else future.set_result(code))
        return future

    async def told_by(
        self, main: Callable[[int], None], log: Path, within_s: float, keep: Iterable[int] = ()
    ) -> bytes:
        """Fork *main*, which writes to the descriptor it is given, and return what it wrote until its end.

        Raises TimeoutError after *within_s* seconds; the child is killed then.
        """
        reader_fd, writer_fd = os.pipe()

        def start() -> tuple[int, asyncio.Future[int]]:
            pid = fork(lambda: main(writer_fd), log, keep=(*keep, writer_fd))
            return pid, self.exit_of(pid)  # here, before anybody can reap it

        try:
            pid, ended = await in_callback(start)
        finally:
            os.close(writer_fd)
        reader = await read_stream(reader_fd)
        try:
            async with asyncio.timeout(within_s):
                text = await reader.read()
                await ended
        except TimeoutError:
            kill([pid])
            raise
        return text

    def adopt(self, process: subprocess.Popen[bytes]) -> asyncio.Future[int]:
        """Reap a started program here; its own ``wait`` must not be used."""
        self._popen[process.pid] = process
        return self.exit_of(process.pid)

    def reap(self) -> None:
        """Collect every child that has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            process = self._popen.pop(pid, None)
            if process is not None:
                process.returncode = code
            callback = self._on_exit.pop(pid, None)
            if callback is not None:
                callback(code)


def kill(pids: Iterable[int], number: signal.Signals = signal.SIGKILL) -> None:
    """Signal each of *pids*; those already gone are fine."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
