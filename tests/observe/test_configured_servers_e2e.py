"""A drill.toml is enough for servers that want a path, TLS with a client's certificate, a password, a tenant, a token.

The servers are real, of both generations; what they refuse is told without a secret.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drill.cli.app import main
from drill.cli.config import context
from drill.core.errors import Unavailable
from drill.observe.live import healthy, live_rules
from drill.observe.observer import Observer
from e2e.alert_path.rig import PAGE, SLO, Generation, Rig, RigSpec
from e2e.alert_path.servers import GENERATIONS, generation
from e2e.alert_path.table import sending
from observe.guarded import PASSWORD, GuardedRig, TenantProxy

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
TOKEN, TENANT = "tok-3141592", "shop-eu"


def servers(name: str) -> Generation:
    found = generation(name)
    if isinstance(found, str):
        pytest.skip(found)
    return found


def observer(folder: Path, text: str) -> Observer:
    (folder / "drill.toml").write_text(text)
    found = context("prod", {}, folder)
    return Observer(found.reach(), found.options)


def await_samples(seen: Observer) -> None:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        try:
            if seen.sli():
                return
        except Unavailable:
            pass
        time.sleep(0.2)
    pytest.fail("no SLI in 40 s")


@pytest.fixture(scope="module", params=GENERATIONS)
def guarded(request: pytest.FixtureRequest) -> Iterator[GuardedRig]:
    rig = GuardedRig(servers(request.param), RigSpec(sink=False))
    try:
        rig.start()
        await_samples(observer(rig.home, rig.section()))
        yield rig
    finally:
        rig.close()


def test_path_prefix_password_and_client_certificate_open_every_api(guarded: GuardedRig) -> None:
    """Queries (by the library), rules, targets, metrics, Alertmanager's status, alerts and probe: all are let in."""
    seen = observer(guarded.home, guarded.section())
    try:
        (rule,) = seen.rules()
        assert (rule.name, rule.health) == (PAGE["alertname"], "ok")
        assert {sample.sloth_id for sample in seen.sli()} == {SLO}
        assert [target.interval_s for target in seen.targets()] == [1.0]
        assert seen.notifier().queue_capacity > 0
        (status,) = seen.alertmanager_status()
        assert status.error == ""
        (probe,) = seen.probe_route(PAGE, 0.2)
        assert probe.receivers == ("pagerduty",)
        assert seen.history_s([SLO]) > 0
    finally:
        seen.close()


REFUSALS = {
    "wrong password": ({"password_file": "wrong"}, "answered 401", "basic_auth"),
    "certificate of another authority": ({"cert_file": "stranger.pem", "key_file": "stranger.key"}, "", "client's certificate"),
    "another name in the certificate": ({"server_name": "else.internal"}, "TLS handshake", "server_name"),
    "unknown authority": ({"ca_file": "stranger-ca.pem"}, "TLS handshake", "ca_file"),
    "wrong path": ({"prefix": "/somewhere"}, "answered 404", "path prefix"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "said", "hint"), REFUSALS.values(), ids=REFUSALS)
def test_who_is_not_let_in_is_told_why_without_a_secret(
    guarded: GuardedRig, changes: dict[str, str], said: str, hint: str
) -> None:
    seen = observer(guarded.home, guarded.section(**changes))
    try:
        with pytest.raises(Unavailable) as refused:
            seen.rules()
    finally:
        seen.close()
    shown = f"{refused.value} {refused.value.hint}"
    assert said in shown
    assert hint in shown
    assert PASSWORD not in shown


def test_the_environment_does_not_overrule_the_file(guarded: GuardedRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """requests would take these; what drill.toml says counts more. A .netrc is not read for a server with a login."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(guarded.home / "stranger-ca.pem"))
    (guarded.home / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(guarded.home / "netrc"))
    seen = observer(guarded.home, guarded.section())
    try:
        assert seen.rules()
        assert seen.sli()
    finally:
        seen.close()


@pytest.fixture(scope="module")
def tenant() -> Iterator[tuple[Rig, TenantProxy, TenantProxy]]:
    rig = Rig(servers("debian"), RigSpec(sink=False, prometheus=sending(
        alert_relabel_configs=[{"source_labels": ["severity"], "regex": "page", "target_label": "severity", "replacement": "ticket"}],
    )))  # fmt: skip
    proxies: list[TenantProxy] = []
    try:
        rig.start()
        upstreams = (rig.endpoints.prometheus, rig.endpoints.alertmanagers[0])
        proxies += [TenantProxy(upstream, TENANT, TOKEN) for upstream in upstreams]
        yield (rig, *proxies)
    finally:
        for proxy in proxies:
            proxy.close()
        rig.close()


def mimir(rig: Rig, prometheus: TenantProxy, alertmanager: TenantProxy, tenant: str = TENANT) -> str:
    (rig.home / "token").write_text(f"{TOKEN}\n")
    rest = f'headers = {{ X-Scope-OrgID = "{tenant}" }}\nbearer_token_file = "token"\n'
    return f"""
[contexts.prod.prometheus]
url = "{prometheus.url}/prometheus/"
params = {{ dedup = "false" }}
{rest}
[[contexts.prod.alertmanagers]]
url = "{alertmanager.url}"
{rest}"""


def test_tenant_token_and_extra_parameters_go_with_every_request(
    tenant: tuple[Rig, TenantProxy, TenantProxy],
) -> None:
    rig, prometheus, alertmanager = tenant
    seen = observer(rig.home, mimir(*tenant))
    try:
        assert seen.sli()
        assert seen.rules()
        assert not seen.alertmanager_status()[0].error
    finally:
        seen.close()
    paths = {path for path, _, _ in prometheus.asked}
    assert paths >= {"/prometheus/api/v1/query", "/prometheus/api/v1/rules"}
    assert all(parameters.get("dedup") == ["false"] for _, _, parameters in prometheus.asked)
    assert {who for _, who, _ in [*prometheus.asked, *alertmanager.asked]} == {TENANT}


def test_a_token_that_is_rotated_is_read_anew(tenant: tuple[Rig, TenantProxy, TenantProxy]) -> None:
    seen = observer(tenant[0].home, mimir(*tenant))
    try:
        (tenant[0].home / "token").write_text("old\n")
        with pytest.raises(Unavailable, match="answered 401"):
            seen.rules()
        (tenant[0].home / "token").write_text(TOKEN)
        assert seen.rules()
    finally:
        seen.close()


def test_the_wrong_tenant_is_told_with_what_the_server_says(tenant: tuple[Rig, TenantProxy, TenantProxy]) -> None:
    seen = observer(tenant[0].home, mimir(*tenant, tenant="another"))
    try:
        with pytest.raises(Unavailable, match=r"answered 403.*no org id") as refused:
            seen.rules()
    finally:
        seen.close()
    assert TOKEN not in str(refused.value)


def test_loaded_rules_routes_and_relabelling_are_what_a_plan_is_made_from(
    tenant: tuple[Rig, TenantProxy, TenantProxy],
) -> None:
    """As from files: the windows from the PromQL, the receiver after external labels and alert relabelling."""
    seen = observer(tenant[0].home, mimir(*tenant))
    try:
        found = live_rules(seen)
        (alert,) = found.alerts
        assert (alert.factor, alert.long_s, alert.short_s, alert.objective) == (14.4, 10.0, 5.0, 0.99)
        assert (alert.chained, alert.interval_s, found.scrape_interval_s) == (True, 1.0, 1.0)
        sent = found.outgoing.sent({"alertname": alert.alertname, **alert.labels})
        assert sent is not None
        assert (sent["cluster"], sent["severity"]) == ("blue", "ticket")
        assert found.rules.receivers_for(alert.labels) == ("log",)  # a ticket by then: no route for those
        assert found.group_times_s == (0.5, 1.0)
        assert found.notes == ()
        now = healthy(seen, found.alerts)[SLO]
        assert now.error_ratio == 0
        assert now.requests_per_second == pytest.approx(20, rel=0.3)
        assert now.history_s >= 4
    finally:
        seen.close()


def predict(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path, *args: str
) -> tuple[int, str, str]:
    monkeypatch.chdir(folder)
    code = main(["predict", "high-error-rate", "--service", "shop", "--set", "percent=100%", *args])
    out, err = capsys.readouterr()
    return code, out, err


def test_predict_with_a_context_uses_what_is_loaded_and_measured(
    tenant: tuple[Rig, TenantProxy, TenantProxy],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tenant[0].home / "drill.toml").write_text(mimir(*tenant))
    code, out, err = predict(capsys, monkeypatch, tenant[0].home, "--context", "prod", "--format", "json")
    assert code == 0, err
    answer = json.loads(out)
    (alert,) = answer["alerts"]
    assert (alert["alertname"], alert["fires"], alert["receivers"]) == (PAGE["alertname"], True, ["log"])
    assert alert["windows_s"] == [10, 5]
    assert 0 < answer["history_s"] < 120
    assert answer["notes"][0] == "as loaded at prod: 1 burn-rate alert, scraped every 1s"
    assert "requests/s" in answer["notes"][-1]


def test_predict_takes_addresses_without_a_file_too(
    tenant: tuple[Rig, TenantProxy, TenantProxy],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    ends = tenant[0].endpoints
    args = ("--prometheus", ends.prometheus, "--alertmanager", ends.alertmanagers[0])
    code, out, err = predict(capsys, monkeypatch, tmp_path, *args)
    assert code == 0, err
    assert f"ShopBudgetBurn ({SLO} page)" in out
    assert "→ log" in out


def test_a_server_that_is_not_there_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code, _, err = predict(capsys, monkeypatch, tmp_path, "--prometheus", "http://127.0.0.1:1")
    assert code == 3
    assert "refused the connection" in err
