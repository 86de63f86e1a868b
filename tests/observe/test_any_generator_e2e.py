"""Rules that no Sloth wrote are enough: history, errors and traffic come from the PromQL of the alert itself."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from drill.alerting.rulefile import Group, Rule
from drill.observe.live import healthy, live_rules
from drill.observe.observer import Observer
from e2e.alert_path.rig import Generation, Rig, RigSpec, ratio
from e2e.alert_path.servers import generation

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
BY_HAND = Rule(
    alert="ShopBurns",
    # with a regular expression whose backslash must survive being read and asked again
    expr=f"({ratio('5s')}) > (14.4 * 0.01) and ({ratio('10s')}) > (14.4 * 0.01)".replace('"5.."', r'"5\\d{2}"'),
    labels={"severity": "page"},
)
OTHER = Rule(alert="ShopGone", expr='up{job="edge"} == 0', labels={"severity": "page"})
SLO = "shop-ShopBurns"


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    servers = generation("debian")
    if not isinstance(servers, Generation):
        pytest.skip(servers)
    running = Rig(servers, RigSpec(rules=lambda _: [Group(name="hand", interval_s=1, rules=(BY_HAND, OTHER))]))
    try:
        running.start()
        yield running
    finally:
        running.close()


def test_an_slo_nobody_records_is_measured_from_its_rule(rig: Rig) -> None:
    observer = Observer(rig.endpoints)
    try:
        assert observer.sli() == []
        found = live_rules(observer)
        assert [alert.sloth_id for alert in found.alerts] == [SLO]
        assert found.unread == ("ShopGone",)
        observer.watch(found.alerts)
        (before,) = observer.sli()
        assert (before.sloth_id, before.error_ratio, before.rates) == (SLO, 0.0, {"5s": 0.0})
        assert before.requests_per_second == pytest.approx(20, rel=0.4)
        assert observer.history_s([SLO]) >= 4
        assert healthy(observer, found.alerts)[SLO].error_ratio == 0.0
        rig.shop.failing.add("shop-0")
        time.sleep(8)
        (during,) = observer.sli()
        assert during.error_ratio > 0.9
        assert during.rates == {"5s": pytest.approx(during.error_ratio / 0.01)}
    finally:
        rig.shop.failing.clear()
        observer.close()


def test_without_traffic_it_is_said_as_none_and_without_the_metric_as_unknown(rig: Rig) -> None:
    observer = Observer(rig.endpoints)
    try:
        observer.watch(live_rules(observer).alerts)
        rig.shop.rate = 0.0
        time.sleep(8)
        (idle,) = observer.sli()
        assert (idle.requests_per_second, idle.error_ratio, idle.rates) == (0.0, 0.0, {})
        rig.shop.scrape_down = True
        time.sleep(8)
        assert observer.sli() == []
    finally:
        rig.shop.rate, rig.shop.scrape_down = 20.0, False
        observer.close()
