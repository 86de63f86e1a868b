"""drill.toml: found where it should be, read whole, its mistakes told with their place, its secrets never in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from drill.cli.config import Context, context, context_names, find_context, find_file
from drill.core.errors import ProblemsFound, UsageError
from drill.core.problems import render
from drill.observe.http import Server

WHOLE = """
[contexts.prod]
description = "the shop in Europe"
kubernetes = "prod-eu-1"
kubeconfig = "kube/config"
namespace = "shop"
fast_forward = 2
rules = ["prometheus/*.yaml"]
traffic = { "checkout-availability" = 'sum(rate(requests_total[{window}]))' }

[contexts.prod.prometheus]
url = "https://mimir.example/prometheus/"
headers = { X-Scope-OrgID = "shop", X-Api-Key = { env = "API_KEY" } }
params = { dedup = "false" }
bearer_token_file = "token"
tls_config = { ca_file = "ca.pem", cert_file = "me.pem", key_file = "me.key", server_name = "mimir.internal" }
proxy_url = { file = "proxy" }
connect_timeout = "1s"
timeout = "1500ms"
retries = 3

[[contexts.prod.alertmanagers]]
url = "http://am-0:9093"
basic_auth = { username = "drill", password_file = "password" }
[[contexts.prod.alertmanagers]]
url = "http://am-1:9093"
basic_auth = { username = "drill", password_env = "AM_PASSWORD" }

[contexts.prod.sink]
url = "http://sink:9099"
bearer_token_env = "SINK_TOKEN"
"""
ENVIRON = {"API_KEY": "key-from-env", "AM_PASSWORD": "s3cond-pw", "SINK_TOKEN": "sink-token"}
FILES = {
    "token": "t0ken\n", "password": "f1rst-pw\n", "proxy": "http://joe:pw@proxy:3128\n", "ca.pem": "", "me.pem": "",
    "me.key": "", "kube/config": "", "prometheus/b.yaml": "", "prometheus/a.yaml": "",
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a configuration folder of the user's beside it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user-config"))
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def write(folder: Path, text: str = WHOLE) -> Path:
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    file = folder / "drill.toml"
    file.write_text(text)
    return file


def problems(folder: Path, text: str, name: str = "prod") -> list[str]:
    write(folder, text)
    with pytest.raises(ProblemsFound) as found:
        context(name, ENVIRON, folder)
    return [render(problem).replace(f"{folder}/", "") for problem in found.value.problems]


def whole(folder: Path) -> Context:
    write(folder)
    return context("prod", ENVIRON, folder)


def test_every_option_of_a_server_reaches_the_observer(home: Path) -> None:
    found = whole(home)
    asked = found.options.prometheus
    assert asked.headers == {"X-Scope-OrgID": "shop", "X-Api-Key": "key-from-env"}
    assert asked.params == {"dedup": "false"}
    assert asked.bearer_token_file == str(home / "token")
    assert (asked.ca_file, asked.cert_file, asked.key_file) == tuple(
        str(home / name) for name in ("ca.pem", "me.pem", "me.key")
    )
    assert (asked.server_name, asked.proxy) == ("mimir.internal", "http://joe:pw@proxy:3128")
    assert (asked.timeout, asked.retries) == ((1.0, 1.5), 3)
    assert found.options.sink.bearer_token == "sink-token"
    assert found.options.traffic == {"checkout-availability": "sum(rate(requests_total[{window}]))"}


def test_every_peer_has_its_own_way_to_log_in(home: Path) -> None:
    peers = whole(home).options.alertmanager_peers
    assert {url: peer.basic_auth for url, peer in peers.items()} == {
        "http://am-0:9093": ("drill", "f1rst-pw"),
        "http://am-1:9093": ("drill", "s3cond-pw"),
    }


def test_the_rest_of_a_context_is_told_too(home: Path) -> None:
    found = whole(home)
    assert (found.kubernetes, found.namespace, found.fast_forward) == ("prod-eu-1", "shop", 2)
    assert found.kubeconfig == home / "kube/config"
    assert found.rules == (home / "prometheus/a.yaml", home / "prometheus/b.yaml")
    assert found.endpoints.alertmanagers == ("http://am-0:9093", "http://am-1:9093")
    assert found.lacks == ()


def test_no_secret_shows_in_what_is_printed_of_a_context(home: Path) -> None:
    found = whole(home)
    shown = f"{found!r} {found.options!r} {Server('Prometheus', 'http://x', found.options.prometheus).redact('pw')}"
    for secret in ("key-from-env", "t0ken", "f1rst-pw", "s3cond-pw", "sink-token", "joe:pw"):
        assert secret not in shown


def test_the_target_supplies_the_urls_a_context_leaves_out(home: Path) -> None:
    write(home, '[contexts.k]\nkubernetes = "kind"\n[[contexts.k.alertmanagers]]\nheaders = { A = "b" }\n')
    found = context("k", {}, home)
    assert found.lacks == ("prometheus", "alertmanagers")
    there = found.reach("http://127.0.0.1:1", ["http://127.0.0.1:2"], "http://127.0.0.1:3")
    assert (there.prometheus, there.alertmanagers) == ("http://127.0.0.1:1", ("http://127.0.0.1:2",))
    assert found.options.alertmanager.headers == {"A": "b"}
    with pytest.raises(UsageError, match="names no Prometheus"):
        found.reach()


def test_what_a_context_names_is_not_replaced_by_a_port_forward(home: Path) -> None:
    there = whole(home).reach("http://127.0.0.1:1", ["http://127.0.0.1:2"])
    assert there.prometheus == "https://mimir.example/prometheus/"
    assert there.alertmanagers == ("http://am-0:9093", "http://am-1:9093")


# ---- where it is found ----


def test_the_nearest_file_upwards_is_in_force(home: Path) -> None:
    outer = write(home)
    deep = home / "a" / "b"
    deep.mkdir(parents=True)
    assert find_file({}, deep) == outer
    inner = deep.parent / "drill.toml"
    inner.write_text("")
    assert find_file({}, deep) == inner


def test_the_variable_names_another_file_and_must_be_right(home: Path) -> None:
    write(home)
    other = home / "other.toml"
    other.write_text("")
    assert find_file({"DRILL_CONFIG": str(other)}, home) == other
    with pytest.raises(UsageError, match="DRILL_CONFIG"):
        find_file({"DRILL_CONFIG": str(home / "gone.toml")}, home)


def test_the_users_own_file_comes_last(home: Path) -> None:
    assert find_file({}, home) is None
    own = home.parent / "user-config" / "drill" / "drill.toml"
    own.parent.mkdir(parents=True)
    own.write_text('[contexts.mine]\nkubernetes = "x"\n')
    assert find_file({}, home) == own
    assert context_names({}, home) == ("mine",)


def test_an_unknown_context_is_answered_with_the_nearest_name(home: Path) -> None:
    write(home)
    assert find_context("prdo", ENVIRON, home) is None
    with pytest.raises(UsageError) as found:
        context("prdo", ENVIRON, home)
    assert found.value.hint == "did you mean 'prod'?"


def test_without_any_file_it_says_what_to_write(home: Path) -> None:
    with pytest.raises(UsageError) as found:
        context("prod", {}, home)
    assert found.value.hint == "write [contexts.prod] into a drill.toml"


# ---- mistakes ----

SERVER = '[contexts.prod.prometheus]\nurl = "http://p:9090"\n'
MISTAKES = {
    "a misspelt key": (SERVER + 'bearer_token_fil = "x"', "drill.toml:3:1: unknown key", "'bearer_token_file'?"),
    "no web address": ('[contexts.prod.prometheus]\nurl = "p:9090"', "drill.toml:2:7: 'p:9090' is not", "http://host:port"),
    "a list that is none": (SERVER + '[contexts.prod.alertmanagers]\nurl = "x"', "drill.toml:3:16: expected a list", "[[name]]"),
    "one rule file": ('[contexts.prod]\nkubernetes = "k"\nrules = "a.yaml"', "drill.toml:3:9:", 'write a list: ["a.yaml"]'),
    "a duration": (SERVER + 'timeout = "5 parsecs"', "drill.toml:3:11: '5 parsecs' is not a duration", "400ms"),
    "two logins": (SERVER + 'bearer_token_file = "token"\nbearer_token_env = "API_KEY"', "drill.toml:1:16:", "exclude each other"),
    "a user without a password": (SERVER + 'basic_auth.username = "joe"', "drill.toml:3:1:", "'password_file'"),
    "a key without certificate": (SERVER + 'tls_config.key_file = "me.key"', "drill.toml:3:1:", "'cert_file'"),
    "nothing to ask": ('[contexts.prod]\nnamespace = "x"', "drill.toml:1:11: this context names neither", ""),
    "PromQL": (SERVER + "[contexts.prod.traffic]\na = 'sum('", "drill.toml:4:5: not PromQL", ""),
    "a name of drill's own": (SERVER + '[contexts.sandbox]\nkubernetes = "x"', "drill.toml:3:11: no context may be", "own sandbox"),
    "one peer twice": (SERVER + '[[contexts.prod.alertmanagers]]\nurl = "http://a"\n[[contexts.prod.alertmanagers]]\nurl = "http://a"', "drill.toml:5:17:", "named twice"),
    "a file that is gone": (SERVER + 'bearer_token_file = "gone"', "drill.toml:3:21: the file gone is not there", ""),
    "a variable that is not set": (SERVER + 'bearer_token_env = "GONE"', "drill.toml:3:20:", "GONE is not set"),
    "a certificate that is gone": (SERVER + 'tls_config = { ca_file = "x.pem" }', "drill.toml:3:26: the file x.pem", ""),
    "rule files that are not there": (SERVER + '[contexts.prod]\nrules = ["no/*.yaml"]', "drill.toml:4:10: no file is called", ""),
}  # fmt: skip


@pytest.mark.parametrize(("text", "place", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_place_and_cure(home: Path, text: str, place: str, said: str) -> None:
    found = problems(home, text)
    assert len(found) == 1
    assert place in found[0]
    assert said in found[0]


def test_all_mistakes_are_told_at_once_in_the_files_order(home: Path) -> None:
    found = problems(home, '[contexts.prod.prometheus]\nretries = 40\nurl = "x"\nulr = 1\n[other]\n')
    assert [text.split(": ")[0] for text in found] == [f"drill.toml:{at}" for at in ("2:11", "3:7", "4:1", "5:2")]


SECRETS = {
    "a password in the address": '[contexts.prod.prometheus]\nurl = "https://joe:hunter2@p"',
    "an authorization header": SERVER + 'headers = { Authorization = "hunter2" }',
    "a password in place of its file": SERVER + 'basic_auth = { username = "joe", password = "hunter2" }',
    "a proxy with a password": SERVER + 'proxy_url = "http://joe:hunter2@proxy"',
}


@pytest.mark.parametrize("text", SECRETS.values(), ids=SECRETS)
def test_a_secret_in_the_file_is_refused_and_not_shown(home: Path, text: str) -> None:
    found = problems(home, text)
    assert found
    assert "hunter2" not in "\n".join(found)


def test_a_mistake_in_another_context_is_not_overlooked(home: Path) -> None:
    assert (
        "drill.toml:4:1: unknown key 'x'" in problems(home, SERVER + '[contexts.other]\nx = 1\nkubernetes = "k"')[0]
    )
