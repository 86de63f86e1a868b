"""The first API call is under way before the rest of drill is loaded, its answer is used, and it never gets in the way."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from drill.cli import reaching
from drill.cli.settings import RunSettings
from drill.target.kubernetes.access import Access
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.failures import NotThere
from drill.target.kubernetes.objects import Thing
from k8s.api_server import kubeconfig, ok, serving, silence, status

SHOP = {"metadata": {"name": "shop", "labels": {"drill.dev/allowed": "true"}}}
LATE = """
import sys
from drill.cli import reaching
from drill.cli.settings import RunSettings
reaching.reach(RunSettings(target="there"))
print(*sorted(name for name in sys.modules if name.startswith("drill.")))
"""


@pytest.fixture(autouse=True)
def _no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    monkeypatch.delenv("DRILL_CONFIG", raising=False)
    reaching._early.clear()


def test_the_answer_is_used_once_and_then_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(ok(SHOP)) as server:
        monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path, server.url))
        reaching.reach(RunSettings(target="there", namespace="shop"))
        api = reaching.taken(Access("there"))
        assert api is not None
        assert api.get("/api/v1/namespaces/shop", Thing).name == "shop"
        assert server.asked == ["GET /api/v1/namespaces/shop"]
        api.get("/api/v1/namespaces/shop", Thing)
        assert len(server.asked) == 2
        assert reaching.taken(Access("there")) is None, "a connection is given away once"
        api.close()


def test_what_went_wrong_is_raised_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(status(404, "not found")) as server:
        monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path, server.url))
        reaching.reach(RunSettings(target="there", namespace="nowhere"))
        api = reaching.taken(Access("there"))
        assert api is not None
        with pytest.raises(NotThere):
            api.get("/api/v1/namespaces/nowhere", Thing)


def test_drill_toml_says_which_context_and_namespace_are_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "drill.toml").write_text('[contexts.prod]\nkubernetes = "there"\nnamespace = "bank"\n')
    with serving(ok(SHOP)) as server:
        monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path, server.url))
        reaching.reach(RunSettings(target="prod"))
        assert server.asked == ["GET /api/v1/namespaces/bank"]
        assert isinstance(reaching.taken(Access("there")), Api)


@pytest.mark.parametrize(
    ("target", "toml"),
    [("sandbox", ""), ("sandbox:kept", ""), ("elsewhere", ""), ("there", "["), ("there", "contexts = 3")],
)
def test_what_cannot_be_understood_is_left_to_whoever_explains_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, toml: str
) -> None:
    (tmp_path / "drill.toml").write_text(toml)
    with serving(ok(SHOP)) as server:
        monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path, server.url))
        reaching.reach(RunSettings(target=target))
        assert [one for one in server.asked if toml != "contexts = 3"] == []


def test_a_server_that_does_not_answer_keeps_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the caller, who goes on loading, nor the end of the process."""
    with serving(silence) as server:
        environment = {"KUBECONFIG": kubeconfig(tmp_path, server.url), "PATH": "/usr/bin:/bin"}
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", LATE], env=environment, capture_output=True, text=True, timeout=60, check=True
        )
        assert time.monotonic() - began < 15, "it waited for the server"
    loaded = set(done.stdout.split())
    assert "drill.target.kubernetes.api" in loaded
    assert not {
        name for name in loaded if name.startswith(("drill.plan", "drill.engine", "drill.report", "drill.faults"))
    }
    assert "drill.cli.cluster" not in loaded
