"""The facilitator's door to a session: a unix socket of mode 0600 that wants a token. JSON, one line each way.

``opened`` keeps the door while a session goes on; ``RemoteStage`` is the other side.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import secrets
import socket
import socketserver
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from drill.cli.state import state_dir
from drill.core.errors import Unavailable, UsageError
from drill.training.commands import FACILITATOR_COMMAND, Answer, FacilitatorCommand
from drill.training.stage import Stage
from drill.training.views import FacilitatorView

LONGEST_WAIT_S = 20.0
ANSWER_S = 60.0
MAX_LINE = 1 << 20
Message = dict[str, Any]


@dataclass(frozen=True)
class Address:
    """Where a session is reached; whoever can read the file it stands in may lead the session."""

    session: str
    path: Path
    token: str
    pid: int
    page: str = ""
    """The facilitator's web page; empty when there is none. Like the token it is told to nobody else."""


def _folder() -> Path:
    folder = state_dir() / "training"
    folder.mkdir(exist_ok=True, mode=0o700)
    return folder


@contextlib.contextmanager
def opened(stage: Stage, session: str, page: str = "") -> Iterator[Address]:
    """Keep the door open until the block is left; *page* is the address of the facilitator's web page."""
    name = secrets.token_hex(4)
    path, card = _folder() / f"{name}.sock", _folder() / f"{name}.json"
    address = Address(session, path, secrets.token_hex(16), os.getpid(), page)
    before = os.umask(0o177)
    try:
        server = _Server(str(path), stage, address.token)
    finally:
        os.umask(before)
    fd = os.open(card, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump({**vars(address), "path": str(path)}, file)
    threading.Thread(target=server.serve_forever, args=(0.2,), name="drill-door", daemon=True).start()
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()
        for each in (path, card):
            each.unlink(missing_ok=True)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, path: str, stage: Stage, token: str) -> None:
        self.stage, self.token = stage, token
        super().__init__(path, _Visitor)


class _Visitor(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            asked = json.loads(self.rfile.readline(MAX_LINE))
            self.wfile.write(json.dumps(self._answer(asked)).encode() + b"\n")

    def _answer(self, asked: Message) -> Message:
        if not hmac.compare_digest(str(asked.get("token", "")), self.server.token):
            return {"error": "this is not the key to this session"}
        stage = self.server.stage
        match asked.get("ask"):
            case "view":
                return {"view": stage.facilitator_view().model_dump(mode="json")}
            case "wait":
                wait_s = min(LONGEST_WAIT_S, float(asked.get("timeout_s", 0)))
                return {"version": stage.wait_for_change(int(asked.get("version", 0)), wait_s)}
            case "do":
                try:
                    command = FACILITATOR_COMMAND.validate_python(asked.get("command"))
                except ValidationError as error:
                    return {"error": error.errors()[0]["msg"]}
                return {"answer": stage.facilitator_does(command).model_dump(mode="json")}
        return {"error": "unknown question"}


class RemoteStage:
    """The facilitator's half of a stage in another process. Methods raise Unavailable once it is gone."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def facilitator_view(self) -> FacilitatorView:
        """Everything, now."""
        return FacilitatorView.model_validate(self._ask({"ask": "view"})["view"])

    def facilitator_does(self, command: FacilitatorCommand) -> Answer:
        """Do something."""
        return Answer.model_validate(self._ask({"ask": "do", "command": command.model_dump(mode="json")})["answer"])

    def wait_for_change(self, version: int, timeout_s: float) -> int:
        """Wait for a version above *version*, at most *timeout_s*; return the version."""
        return int(self._ask({"ask": "wait", "version": version, "timeout_s": timeout_s})["version"])

    def _ask(self, message: Message) -> Message:
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(ANSWER_S)
                sock.connect(str(self._address.path))
                sock.sendall(json.dumps({**message, "token": self._address.token}).encode() + b"\n")
                with sock.makefile("rb") as lines:
                    answer: Message = json.loads(lines.readline() or b"{}")
        except (OSError, ValueError) as error:
            raise Unavailable(f"the session {self._address.session} does not answer: {error}") from error
        if "error" in answer or not answer:
            raise Unavailable(str(answer.get("error", "the session has ended")))
        return answer


def sessions() -> Sequence[Address]:
    """Return the sessions of this user that go on, newest last; files of dead ones are removed."""
    found = []
    for card in sorted(_folder().glob("*.json"), key=lambda path: path.stat().st_mtime):
        try:
            told = json.loads(card.read_text())
            address = Address(
                told["session"], Path(told["path"]), told["token"], int(told["pid"]), told.get("page", "")
            )
            os.kill(address.pid, 0)
        except (OSError, ValueError, KeyError):
            card.unlink(missing_ok=True)
            card.with_suffix(".sock").unlink(missing_ok=True)
            continue
        found.append(address)
    return found


def session(name: str) -> Address:
    """Return the session called *name*, or ``last``. Raises UsageError."""
    known = sessions()
    if known and name == "last":
        return known[-1]
    for address in known:
        if address.session == name or address.session.startswith(name):
            return address
    there = ", ".join(one.session for one in known) or "none goes on now"
    raise UsageError(f"there is no training '{name}' to lead", hint=f"sessions: {there}")
