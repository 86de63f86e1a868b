"""Secrets planted everywhere a person may leave one never come out: not in the journal, a report, a log or an error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drill.alerting.routing import for_sandbox
from drill.core.errors import Unavailable
from drill.core.facts import Endpoints
from drill.core.observations import AlertmanagerAlert, AlertSpan, Notification
from drill.journal import events as e
from drill.journal.journal import Journal
from drill.observe.http import Server, ServerOptions
from drill.report.write import write_all
from verify.journals import GOOD, journal, plan

PLANTED = [f"planted{number:02d}secret" for number in range(20)]
URL = f"http://user:{PLANTED[0]}@127.0.0.1:1/prom"
SLACK = f"https://hooks.slack.com/services/T0/B0/{PLANTED[1]}"
LABELS = {"alertname": "A", "token": PLANTED[2], "url": f"https://x/?access_token={PLANTED[3]}", "severity": "page"}


def hostile() -> Iterator[e.Event]:
    """A good run's events, and then every kind of text with a secret in it."""
    for event in journal(GOOD):
        if isinstance(event, e.RunStarted):
            yield event.with_(endpoints=Endpoints(prometheus=URL, alertmanagers=(URL,), sink=SLACK))
        else:
            yield event
    held = AlertmanagerAlert(labels=LABELS, receivers=(f"slack {SLACK}",), state="active", starts_at=1, ends_at=2)
    yield e.AlertmanagerSeen(alerts=(held,))
    yield e.AlertsSeen(start=0, end=1, spans=(AlertSpan(labels=LABELS, state="firing", start=0, end=1, open=True),))
    yield e.NotificationsSeen(
        notifications=(Notification(at=1, receiver=f"Bearer {PLANTED[4]}", status="firing", labels=LABELS),)
    )
    yield e.EvidenceLost(source="prometheus", error=f"401: Authorization: Bearer {PLANTED[5]} refused at {URL}")
    yield e.AbortRequested(by="user", reason=f"password={PLANTED[6]}")


def test_journal_and_reports_hold_none(tmp_path: Path) -> None:
    heard: list[str] = []
    with Journal(tmp_path / "journal.jsonl") as written:
        written.subscribe(lambda event: heard.append(event.model_dump_json()))
        for event in hostile():
            written.append(event)
        write_all(tmp_path, plan(), written.events)
    texts = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(texts) >= {"journal.jsonl", "report.json", "report.md", "report.html", "junit.xml"}
    for name, text in [*texts.items(), *(("listener", text) for text in heard)]:
        assert [secret for secret in PLANTED if secret in text] == [], name
    assert "***" in texts["journal.jsonl"]


def test_errors_of_servers_hold_none() -> None:
    options = ServerOptions(bearer_token=PLANTED[7], headers={"X-Api-Key": PLANTED[8]}, retries=0)
    with pytest.raises(Unavailable) as caught:
        Server("Prometheus", URL, options).get("/api/v1/query", {"query": "up"})
    assert [secret for secret in PLANTED if secret in f"{caught.value} {caught.value.hint} {caught.value!r}"] == []


CONFIG = f"""
global:
  smtp_auth_password: {PLANTED[9]}
  slack_api_url: {SLACK}
  opsgenie_api_key: {PLANTED[10]}
route: {{receiver: team}}
receivers:
  - name: team
    pagerduty_configs: [{{routing_key: {PLANTED[11]}}}]
    webhook_configs: [{{url: "https://x/hook?token={PLANTED[12]}", http_config: {{authorization: {{credentials: {PLANTED[13]}}}}}}}]
"""  # fmt: skip


def test_the_sandbox_gets_routes_and_no_credentials() -> None:
    made = for_sandbox(CONFIG, "http://127.0.0.1:1", 60)
    assert [secret for secret in PLANTED if secret in made] == []
    assert "receiver: team" in made


def test_what_the_command_line_prints_holds_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A mistake in a file is shown with its line: the line may hold a password."""
    from drill.cli.app import main
    from drill.cli.console import Console

    scenario = tmp_path / "s.yaml"
    scenario.write_text(f"apiVersion: drill/v1\npassword: {PLANTED[14]}\nurl: https://u:{PLANTED[15]}@h/\n")
    assert main(["validate", str(scenario)]) == 2
    console = Console()
    console.say(f"token={PLANTED[16]}")
    console.warn(f"Bearer {PLANTED[17]}")
    console.data(json.dumps({"api_key": PLANTED[18]}))
    out, err = capsys.readouterr()
    assert [secret for secret in PLANTED if secret in out + err] == []
    assert "password" in out + err


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "..", ".", "", "a/b", "a\\b", "a\0b", "x" * 5000, "-rf", "$(id)"]
)
def test_no_name_leads_out_of_its_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str) -> None:
    """Names of scenarios, runs and sandboxes are looked up among what is there, never joined to a path."""
    from drill.cli.app import main

    for command in (["plan", "--", name], ["report", "--out", str(tmp_path), "--", name], ["recover", "--out", str(tmp_path), "--", name],
                    ["sandbox", "down", "--", name]):  # fmt: skip
        if name == "" and command[0] in ("recover", "sandbox", "report"):
            continue  # no name was given: the command's own default
        assert main(command) == 2, command
    said: Any = capsys.readouterr()
    assert "Traceback" not in said.err
    assert "root:" not in said.err + said.out


ACTIVITY = """
apiVersion: drill/v1
kind: Scenario
metadata: {{name: planted, owner: sre}}
hypothesis: h
injections:
  - id: one
    fault: chaostoolkit
    target: {{service: checkout, pods: 1}}
    with:
      action: {{provider: {{type: http, url: "https://u:{0}@h/", headers: {{Authorization: "Bearer {1}"}}}}}}
      undo: {{provider: {{type: process, path: x, arguments: ["--token={2}"]}}}}
      probe: {{provider: {{type: http, url: "http://h/", arguments: {{password: {3}}}}}, tolerance: 200}}
      configuration: {{api_key: {4}}}
      secrets: {{group: {{name: {5}}}}}
    for: 5m
expect: {{alerts: [{{match: {{slo: checkout-availability, severity: page}}, error_ratio: [20%, 90%]}}]}}
"""


def test_secrets_written_into_activities_are_refused_and_not_repeated(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from drill.cli.app import main

    scenario = tmp_path / "planted.yaml"
    scenario.write_text(ACTIVITY.format(*PLANTED))
    for command in (["validate"], ["plan"], ["run", "--allow-activities", "--out", str(tmp_path / "out")]):
        assert main([*command[:1], str(scenario), *command[1:]]) == 2
    out, err = capsys.readouterr()
    assert [secret for secret in PLANTED if secret in out + err] == []
    assert (out + err).count("looks like a secret") == 5 * 3
    assert (out + err).count("a secret itself never stands in a scenario") == 3
    assert not (tmp_path / "out").exists()


def test_secrets_of_an_experiment_do_not_reach_the_scenario(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from drill.cli.app import main

    experiment = tmp_path / "e.json"
    provider = {"type": "http", "url": f"https://u:{PLANTED[0]}@h/", "headers": {"X-Api-Key": PLANTED[1]}}
    activity = {"type": "action", "name": "a", "provider": provider, "pauses": {"after": 1}}
    secrets = {"group": {"name": PLANTED[2]}, "flat": PLANTED[3]}
    experiment.write_text(
        json.dumps({"title": f"token={PLANTED[4]}", "method": [activity], "secrets": secrets}, indent=1)
    )
    main(["import", "chaostoolkit", str(experiment), "-o", str(tmp_path / "s.yaml")])
    out, err = capsys.readouterr()
    said = out + err + (tmp_path / "s.yaml").read_text()
    assert [secret for secret in PLANTED[:4] if secret in said] == []
