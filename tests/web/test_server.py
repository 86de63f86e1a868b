"""The server itself, over real sockets on 127.0.0.1: who is let in, what every answer carries, and how it ends."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.cookies import SimpleCookie
from urllib.parse import urlsplit

import pytest

from drill.training.commands import FacilitatorCommand
from drill.web import Served, serve
from drill.web.access import HEADERS
from web.scripted import ScriptedStage


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Visitor:
    """A program that asks as a browser would, or not."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.port is not None
        self.port, self.path, self.token = parts.port, parts.path, parts.fragment
        self.host = f"127.0.0.1:{parts.port}"
        self.cookie = ""

    def ask(self, method: str, path: str, body: object = None, **headers: str | None) -> Answer:
        """One request to *path* below the door; headers given as None are left out."""
        return self.ask_at(method, self.path + path, body, **headers)

    def ask_at(self, method: str, path: str, body: object = None, **headers: str | None) -> Answer:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        wanted: dict[str, str | None] = {"Host": self.host}
        if method == "POST":
            wanted |= {"Origin": f"http://{self.host}", "Content-Type": "application/json"}
        if self.cookie:
            wanted["Cookie"] = self.cookie
        wanted |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        try:
            line.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in wanted.items():
                if value is not None:
                    line.putheader(name, value)
            if data is not None:
                line.putheader("Content-Length", str(len(data)))
            line.endheaders(data)
            response = line.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            line.close()

    def enter(self, token: object = None, **headers: str | None) -> Answer:
        answer = self.ask("POST", "enter", {"token": token or self.token}, **headers)
        found = SimpleCookie(answer.headers.get("Set-Cookie", ""))
        self.cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in found.items())
        return answer

    def stream(self) -> Iterator[tuple[str, str]]:
        """The events of the session, as (name, data), until the server ends them."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        line.request("GET", f"{self.path}events", headers={"Host": self.host, "Cookie": self.cookie})
        response = line.getresponse()
        assert response.status == 200, response.read()
        name = ""
        try:
            while raw := response.readline():
                field, _, value = raw.decode().rstrip("\n").partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    yield name, value
        finally:
            line.close()


@pytest.fixture
def stage() -> ScriptedStage:
    stage = ScriptedStage()
    stage.advance(120)
    return stage


@pytest.fixture(autouse=True)
def _quick_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server notices its end when the stage's wait is over: let that be soon."""
    monkeypatch.setattr("drill.web.feed.ASK_S", 0.1)


@pytest.fixture
def served(stage: ScriptedStage) -> Iterator[Served]:
    with serve(stage) as served:
        yield served


@pytest.fixture
def trainee(served: Served) -> Visitor:
    return Visitor(served.trainee_url)


@pytest.fixture
def facilitator(served: Served) -> Visitor:
    return Visitor(served.facilitator_url)


def test_it_listens_on_loopback_only(served: Served) -> None:
    """Another address of this machine does not answer."""
    with socket.socket() as probe:
        probe.settimeout(1)
        assert probe.connect_ex(("127.0.0.1", served.port)) == 0
    own = socket.gethostbyname_ex(socket.gethostname())[2]
    for address in (one for one in own if not one.startswith("127.")):
        with socket.socket() as probe:
            probe.settimeout(1)
            assert probe.connect_ex((address, served.port)) != 0


def test_the_page_is_empty_until_somebody_enters(trainee: Visitor) -> None:
    """The shell holds no data; views, texts and commands need the cookie."""
    page = trainee.ask("GET", "")
    assert page.status == 200
    assert b"checkout-latency" not in page.body
    for method, path in (("GET", "events"), ("GET", "prose/runbook"), ("POST", "do")):
        assert trainee.ask(method, path, {"do": "acknowledge"} if method == "POST" else None).status == 401
    assert trainee.enter().status == 200
    assert trainee.ask("GET", "prose/runbook").status == 200


def test_every_answer_keeps_the_page_to_itself(trainee: Visitor) -> None:
    """Policy, no sniffing, no frame, no referrer, no cache: on pages, files, refusals and mistakes."""
    trainee.enter()
    asked = [
        trainee.ask("GET", ""), trainee.ask("GET", "assets/app.css"), trainee.ask("GET", "prose/runbook"),
        trainee.ask("POST", "do", {"do": "note", "text": "x"}), trainee.ask("POST", "do", b"{"),
        trainee.ask("GET", "nothing"), trainee.ask_at("GET", "/"), trainee.ask("GET", "", Host="evil.example"),
        trainee.ask("PUT", "do", b""),
    ]  # fmt: skip
    assert [one.status for one in asked] == [200, 200, 200, 200, 400, 404, 404, 403, 403]
    for one in asked:
        for name, value in HEADERS.items():
            assert one.headers[name] == value


def test_the_cookie_is_for_this_page_alone(trainee: Visitor) -> None:
    """Out of reach of scripts, of other sites, and of other servers on this machine (another path, not another port)."""
    cookie = SimpleCookie(trainee.enter().headers["Set-Cookie"])["drill"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Strict"
    assert cookie["path"] == trainee.path
    assert len(trainee.path) == 18
    assert cookie.value != trainee.token


@pytest.mark.parametrize("token", ["wrong", 7, None, ["x"], {"a": 1}])
def test_a_wrong_token_opens_nothing(trainee: Visitor, token: object) -> None:
    """No cookie comes back."""
    answer = trainee.ask("POST", "enter", {"token": token})
    assert answer.status == 403
    assert "Set-Cookie" not in answer.headers


def test_the_other_roles_token_opens_nothing(trainee: Visitor, facilitator: Visitor) -> None:
    """The trainee's token at the facilitator's door, and the cookie too."""
    assert facilitator.enter(trainee.token).status == 403
    trainee.enter()
    facilitator.cookie = trainee.cookie
    assert facilitator.ask("GET", "events").status == 401
    assert facilitator.ask("POST", "do", {"do": "pause"}).status == 401


def test_a_trainee_cannot_do_what_the_facilitator_can(trainee: Visitor, stage: ScriptedStage) -> None:
    """Inside, by the right door, with a command of the other role: refused, and the stage never hears of it."""
    trainee.enter()
    for command in ({"do": "pause"}, {"do": "abort", "reason": "x"}, {"do": "whisper", "text": "x"}):
        assert trainee.ask("POST", "do", command).status == 400
    assert stage.done == []


@pytest.mark.parametrize("path", ["", "events", "assets/app.css"])
def test_dns_rebinding_is_refused(trainee: Visitor, path: str) -> None:
    """A name that is not this machine's own gets nothing, with cookie and all."""
    trainee.enter()
    assert trainee.ask("GET", path, Host=f"evil.example:{trainee.port}").status == 403
    assert trainee.ask("GET", path, Host=None).status in (400, 403)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Origin": None},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_another_page_changes_nothing(
    trainee: Visitor, stage: ScriptedStage, headers: dict[str, str | None]
) -> None:
    """With the cookie, but from elsewhere: refused before the stage hears of it."""
    trainee.enter()
    assert trainee.ask("POST", "do", {"do": "acknowledge"}, **headers).status == 403
    assert trainee.enter(**headers).status == 403
    assert stage.done == []


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_what_a_plain_form_can_send_is_no_command(trainee: Visitor, stage: ScriptedStage, kind: str) -> None:
    """Only JSON is read."""
    trainee.enter()
    assert trainee.ask("POST", "do", {"do": "acknowledge"}, Content_Type=kind).status == 415
    assert stage.done == []


@pytest.mark.parametrize(
    "path",
    ["assets/../server.py", "assets/..%2fserver.py", "assets/%2e%2e/server.py", "assets/app.css/", "assets/", "prose/session",
     "prose/__class__", "assets//etc/passwd", "assets/..%5cserver.py", "%00"],
)  # fmt: skip
def test_only_known_files_are_given_out(trainee: Visitor, path: str) -> None:
    """Files are looked up by name in what was read at the start; there is no path to leave."""
    trainee.enter()
    assert trainee.ask("GET", path).status == 404


def test_a_long_body_is_refused(trainee: Visitor, stage: ScriptedStage) -> None:
    """Nobody fills the memory."""
    trainee.enter()
    assert trainee.ask("POST", "do", {"do": "note", "text": "x" * 200_000}).status == 413
    assert stage.done == []


def test_events_bring_every_change(trainee: Visitor, stage: ScriptedStage) -> None:
    """The newest view at once, then whatever changes."""
    trainee.enter()
    events = trainee.stream()
    assert next(events)[0] == "view"
    assert trainee.ask("POST", "do", {"do": "acknowledge"}).status == 200
    for name, data in events:
        if name == "view" and json.loads(data)["phase"] == "acknowledged":
            break
    events.close()  # type: ignore[attr-defined]


def test_the_end_brings_the_last_view_and_a_goodbye(stage: ScriptedStage) -> None:
    """Whoever looks when it ends sees how it ended, and the threads are gone."""
    before = threading.active_count()
    with serve(stage) as served:
        trainee = Visitor(served.trainee_url)
        trainee.enter()
        events = trainee.stream()
        next(events)
        got: list[tuple[str, str]] = []
        reader = threading.Thread(target=lambda: got.extend(events))
        reader.start()
        stage.facilitator_does(_abort())
    reader.join(5)
    assert not reader.is_alive()
    views = [json.loads(data) for name, data in got if name == "view"]
    assert views[-1]["phase"] == "over"
    assert got[-1][0] == "end"
    deadline = time.monotonic() + 3
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", served.port)) != 0


def _abort() -> FacilitatorCommand:
    from drill.training.commands import Abort

    return Abort(reason="the test is over")


def test_a_stage_that_stumbles_leaves_no_page_that_looks_alive(
    stage: ScriptedStage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The beat says that what is shown is old; when the stage is well again, views come again."""
    monkeypatch.setattr("drill.web.server.BEAT_S", 0.2)
    with serve(stage) as served:
        trainee = Visitor(served.trainee_url)
        trainee.enter()
        events = trainee.stream()
        assert next(events)[0] == "view"
        with monkeypatch.context() as broken:
            broken.setattr(stage, "trainee_view", lambda: 1 / 0)
            stage.advance(1)
            assert any(event == ("beat", "stuck") for event in events)
        assert "cannot say what is going on" in caplog.text
        assert any(name == "view" for name, _ in events)
        events.close()  # type: ignore[attr-defined]


def test_a_port_that_is_taken_is_an_error_and_leaves_nothing(stage: ScriptedStage, served: Served) -> None:
    """OSError, as promised."""
    before = threading.active_count()
    with pytest.raises(OSError, match="address already in use"), serve(stage, port=served.port):
        pass
    assert threading.active_count() <= before


def test_too_many_pages_are_refused(served: Served, trainee: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that is opened again and again does not eat the machine."""
    monkeypatch.setattr("drill.web.server.MOST_PAGES", 2)
    trainee.enter()
    open_pages = [trainee.stream() for _ in range(2)]
    for page in open_pages:
        next(page)
    assert trainee.ask("GET", "events").status == 503
    for page in open_pages:
        page.close()  # type: ignore[attr-defined]


def test_nobody_looks_nothing_is_rendered(stage: ScriptedStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drill runs beside it: views are made for the roles that have a page open."""
    made: list[str] = []
    for role in ("trainee", "facilitator"):
        view = getattr(stage, f"{role}_view")
        monkeypatch.setattr(stage, f"{role}_view", lambda view=view, role=role: made.append(role) or view())
    with serve(stage) as served:
        stage.advance(1)
        time.sleep(0.5)
        assert made == []
        trainee = Visitor(served.trainee_url)
        trainee.enter()
        events = trainee.stream()
        next(events)
        stage.advance(1)
        next(events)
        events.close()  # type: ignore[attr-defined]
    assert set(made) == {"trainee"}
