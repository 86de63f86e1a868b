"""`drill demo` on the command line: what is asked for before anything is touched."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from drill.cli.app import main

# No server answers on port 1: whoever asked one would hear of it.
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: here, context: {cluster: c, user: u}}]
current-context: here
"""


@pytest.fixture(autouse=True)
def _kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").write_text(KUBECONFIG)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))


@pytest.mark.parametrize("what", ["deploy", "remove"])
def test_the_current_context_alone_is_never_touched(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", what, "--yes"]) == 2
    assert "--context" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["deploy", "remove"])
def test_without_a_person_to_ask_yes_must_be_said(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", what, "--context", "here"]) == 2
    assert "--yes" in capsys.readouterr().err


def test_an_unknown_context_is_named_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "deploy", "--context", "her", "--yes"]) == 2
    said = capsys.readouterr().err
    assert "'her'" in said
    assert "here" in said


@pytest.mark.parametrize(
    "options", [["--namespace", "Shop"], ["--namespace", "monitoring"], ["--node-selector", "basket:a=b"]]
)
def test_bad_options_are_answered_before_the_server_is_asked(options: list[str]) -> None:
    assert main(["demo", "deploy", "--context", "here", "--yes", *options]) == 2


def test_all_objects_are_printed_for_whoever_applies_them_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "generate", "--out", "-", "--namespace", "bazaar", "--real-time"]) == 0
    objects = list(yaml.safe_load_all(capsys.readouterr().out))
    assert {one["metadata"]["name"] for one in objects if one["kind"] == "Namespace"} == {"bazaar", "monitoring"}
    shop = next(one for one in objects if one["metadata"]["name"] == "bazaar")
    assert shop["metadata"]["annotations"]["drill.dev/fast-forward"] == "1"


def test_a_folder_that_is_not_current_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "generate", "--out", str(tmp_path / "demo")]) == 0
    assert main(["demo", "generate", "--out", str(tmp_path / "demo"), "--check"]) == 0
    (tmp_path / "demo/kustomization.yaml").write_text("resources: []\n")
    capsys.readouterr()
    assert main(["demo", "generate", "--out", str(tmp_path / "demo"), "--check"]) == 1
    assert "kustomization.yaml differs" in capsys.readouterr().err
