"""A scheduled game day of three scenarios in real sandboxes: announced, killed in the middle, resumed, reported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from drill.gameday.events import Step
from drill.gameday.journal import game_days, read_progress
from drill.history.index import Index

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(290)]

ROOT = Path(__file__).parents[2]
WITHIN_S = 240.0
DRILL = """\
apiVersion: drill/v1
kind: Drill
metadata: {{name: crashing, title: A day with a crash, owner: sre}}
goal: Find out whether a game day survives its own runner.
hypothesis: Both pages are proven although the runner is killed.
scenarios:
  - {{scenario: pod-kill, with: {{service: checkout}}}}
  - {{scenario: latency-spike, with: {{service: checkout}}}}
  - {{scenario: dependency-down, with: {{service: checkout, dependency: payment}}}}
roles: {{ic: required, scribe: optional}}
participants:
  - {{name: Ada of checkout, role: ic}}
  - {{name: newest colleague, role: scribe}}
prerequisites: {{people_confirmed: true}}
schedule: {{cron: "{cron}", timezone: Europe/Berlin}}
announcements:
  announce_in_sandbox: true
  slack: {{webhook: {{env: E2E_HOOK}}}}
  pagerduty: {{routing_key: {{file: key}}, url: "{url}"}}
"""


@pytest.fixture
def told() -> Iterator[tuple[str, list[tuple[str, dict]]]]:
    """A webhook that records: its address, and what it was told."""
    heard: list[tuple[str, dict]] = []

    class Recorder(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append((self.path, json.loads(body)))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", heard
    server.shutdown()
    thread.join()
    server.server_close()


def gameday(*args: str, url: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "drill", "gameday", *args]
    environment = {**os.environ, "E2E_HOOK": f"{url}/slack"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def second_fault_in_place(out: Path) -> bool:
    for folder in game_days(out):
        steps = read_progress(folder).steps
        if len(steps) == 3 and steps[1].run:
            journal = out / steps[1].run / "journal.jsonl"
            return journal.is_file() and b'"injection-effective"' in journal.read_bytes()
    return False


def test_a_game_day_survives_the_death_of_its_runner(tmp_path: Path, told: tuple[str, list]) -> None:
    url, heard = told
    begun = time.monotonic()
    file, out = tmp_path / "crashing.yaml", tmp_path / "runs"
    now = datetime.now(ZoneInfo("Europe/Berlin"))
    file.write_text(DRILL.format(url=url, cron=f"{now.minute} {now.hour} * * *"))
    (tmp_path / "key").write_text("routing-key\n")
    run = ("run", str(file), "--yes", "--if-due", "10m", "--out", str(out))

    first = gameday(*run, url=url)
    while not second_fault_in_place(out):
        assert first.poll() is None, first.communicate()[0]
        time.sleep(0.1)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=10)

    (folder,) = game_days(out)
    before = read_progress(folder)
    assert [step.state for step in before.steps] == ["finished", "interrupted", "waiting"]
    status = gameday("status", str(file), "--out", str(out), url=url)
    assert "interrupted" in status.communicate(timeout=30)[0]
    assert status.returncode == 1

    second = gameday("resume", str(file), "--out", str(out), url=url)
    said, _ = second.communicate(timeout=180)
    after = read_progress(folder)
    assert after.finished is not None, said
    one, two, three = after.steps
    # What the runs themselves prove is other tests' matter: a busy machine may make a page late.
    assert {one.state, two.state, three.state} == {"finished"}
    verdicts = [one.verdict, two.verdict, three.verdict]
    assert set(verdicts) <= {"pass", "fail"}, said
    verdict = "pass" if set(verdicts) == {"pass"} else "fail"
    assert (after.finished.verdict, second.returncode) == (verdict, int(verdict == "fail")), said
    assert (one.attempts, one.run) == (1, before.steps[0].run)
    assert (two.attempts, two.earlier_runs) == (2, (before.steps[1].run,))
    assert (three.attempts, three.earlier_runs) == (1, ())
    assert two.recovered, "the interrupted fault's undo is on record"
    assert b'"recovered"' in (out / before.steps[1].run / "journal.jsonl").read_bytes()

    assert [path for path, _ in heard] == ["/slack", "/v2/change/enqueue"] * 2
    assert heard[0][1]["text"].startswith("[DRILL] A day with a crash begins on sandbox")
    assert verdict.upper() in heard[2][1]["text"]
    assert heard[1][1]["routing_key"] == "routing-key"
    assert "routing-key" not in (folder / "gameday.jsonl").read_text() + said

    report = json.loads((folder / "report.json").read_text())
    assert (report["verdict"], report["resumed"]) == (verdict, 1)
    planned = datetime.fromisoformat(report["scheduled_for"]).astimezone(now.tzinfo)
    assert (planned.hour, planned.minute) == (now.hour, now.minute)
    assert report["people"] == [["Ada of checkout", "ic"], ["newest colleague", "scribe"]]
    for step in report["steps"]:
        assert (folder / step["report"]).resolve().is_file()
    with Index(out) as index:
        found = {run.name: run.report.verdict for run in index.runs()}
    assert [found[step.run] for step in after.steps] == verdicts
    assert found[before.steps[1].run] != "pass"
    for step in after.steps:
        assert "- ic: Ada of checkout" in (out / step.run / "report.md").read_text()

    again = gameday(*run, url=url)
    assert "was held already" in again.communicate(timeout=60)[0]
    assert (again.returncode, len(heard)) == (0, 4)
    _covered(out, after.steps)
    assert time.monotonic() - begun < WITHIN_S


def _covered(out: Path, steps: Sequence[Step]) -> None:
    """The matrix after it shows what each run found about the alert it demanded."""
    command = [sys.executable, "-m", "drill", "coverage", "--out", str(out)]
    done = subprocess.run([*command, "--format", "json"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    matrix = json.loads(done.stdout)
    assert set(matrix["scenarios"]) == {"pod-kill checkout", "latency-spike checkout", "dependency-down checkout"}
    page = next(one for one in matrix["rules"] if one["alertname"] == "CheckoutLatencyBudgetBurn")
    (cell,) = [one for one in page["cells"] if one["scenario"] == "latency-spike" and one["state"] != "fired"]
    assert cell["run"] == steps[1].run
    demanded = json.loads((out / steps[1].run / "report.json").read_text())["alerts"][0]["verdict"]
    assert (cell["state"] == "proven") == (demanded == "ON_TIME"), (cell, demanded)
    done = subprocess.run([*command, "--format", "html"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    (out / "coverage.html").write_text(done.stdout)
    assert all(step.run in done.stdout for step in steps)
