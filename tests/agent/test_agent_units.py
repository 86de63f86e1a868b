"""The agent's pure parts: the spec, the delay line, the rules, Envoy's configuration. No I/O."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drill.agent.delay_line import DelayLine, Shape, WanderingDelay
from drill.agent.errors import CannotApply
from drill.agent.fault import Site
from drill.agent.http_envoy import _body, envoy_config
from drill.agent.kinds import fault_for
from drill.agent.nft import Selection, table_name
from drill.agent.spec import Http, Packet, parse_spec
from drill.core import actions

SITE = Site("i", ttl=2, deadline=9, lease=5)


@pytest.mark.parametrize(
    "fault",
    [
        actions.PacketFault(backend="nft", port=80, drop="reject", peers=("10.0.0.1",), exempt=("10.0.0.2",)),
        actions.PacketFault(backend="nfqueue", port=80, delay_ms=10, jitter_ms=2.5),
        actions.HttpFault(port=80, abort_percent=25),
        actions.CpuFault(workers=2),
        actions.MemoryFault(size_bytes=1 << 20, oom=True),
        actions.DiskFault(path="/data", leave_bytes=5),
        actions.PauseFault(),
    ],
    ids=lambda fault: str(fault.kind),
)
def test_every_fault_record_of_core_is_understood_with_all_its_fields(fault: Any) -> None:
    parsed = parse_spec(fault.model_dump_json())
    assert {"kind": fault.kind, **vars(parsed)} == fault.model_dump()
    assert fault_for(parsed, SITE).backend


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[]", "kind is none of"),
        ('{"kind": "earthquake"}', "kind is none of"),
        ('{"kind": "pause", "hard": true}', "unknown fields: hard"),
        ('{"kind": "packet", "backend": "nft"}', "port"),
        ('{"kind": "packet", "backend": "magic", "port": 80}', "'magic' is none of"),
        ('{"kind": "packet", "backend": "nft", "port": 0}', "not 1 to 65535"),
        ('{"kind": "packet", "backend": "nft", "port": true}', "no int"),
        ('{"kind": "packet", "backend": "nft", "port": 80, "loss_percent": 101}', "not 0 to 100"),
        ('{"kind": "packet", "backend": "nft", "port": 80, "delay_ms": NaN}', "no float"),
        ('{"kind": "packet", "backend": "nft", "port": 80, "delay_ms": -1}', "negative"),
        (
            '{"kind": "packet", "backend": "nft", "port": 80, "peers": ["10.0.0.1; flush ruleset"]}',
            "no IPv4 address",
        ),
        ('{"kind": "packet", "backend": "nft", "port": 80, "exempt": ["::1"]}', "no IPv4 address"),
        ('{"kind": "packet", "backend": "nft", "port": 80, "drop": "explode"}', "none of"),
        ('{"kind": "http", "port": 80, "status": 99}', "200 to 599"),
        ('{"kind": "cpu", "workers": 0}', "workers"),
        ('{"kind": "disk", "path": "data"}', "not absolute"),
        ('{"kind": "memory", "size_bytes": "1G"}', "no int"),
    ],
)
def test_a_wrong_spec_is_refused_by_name(text: str, words: str) -> None:
    with pytest.raises(CannotApply, match=words):
        parse_spec(text)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"backend": "nft"}, "needs drop"),
        ({"backend": "nft", "drop": "drop", "delay_ms": 5}, "not delay"),
        ({"backend": "netem"}, "needs a delay"),
        ({"backend": "netem", "reorder_percent": 5, "loss_percent": 1}, "reordering needs a delay"),
        ({"backend": "netem", "drop": "drop"}, "does not reject"),
        ({"backend": "nfqueue", "duplicate_percent": 5, "delay_ms": 1}, "cannot duplicate"),
        ({"backend": "nfqueue", "reorder_percent": 5, "loss_percent": 1}, "reordering needs a delay"),
        ({"backend": "nfqueue"}, "needs a delay"),
        ({"backend": "htb"}, "needs a rate"),
        ({"backend": "htb", "rate_bit": 8000, "delay_ms": 1}, "nothing else"),
    ],
)
def test_a_backend_refuses_what_it_cannot_do_before_it_touches_anything(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(CannotApply, match=words):
        fault_for(Packet(port=80, **fields), SITE).prepare()


def test_selection_of_packets_by_direction_and_side() -> None:
    selection = Selection(80, peers=("10.0.0.1",), exempt=("10.0.0.9",))
    arriving = selection.rules(arriving=True, verdict="drop").splitlines()
    leaving = selection.rules(arriving=False, verdict="drop").splitlines()
    assert arriving == ['iifname "lo" accept', "ip saddr @exempt accept", "tcp dport @ports ip saddr @peers drop"]
    assert leaving == ['oifname "lo" accept', "ip daddr @exempt accept", "tcp sport @ports ip daddr @peers drop"]
    egress = Selection(80, direction="egress")
    assert egress.rules(arriving=False, verdict="drop").splitlines()[-1] == "tcp dport @ports drop"
    assert egress.rules(arriving=True, verdict="drop").splitlines()[-1] == "tcp sport @ports drop"


@given(st.text(max_size=80), st.text(max_size=80))
def test_table_names_are_plain_and_tell_injections_apart(one: str, other: str) -> None:
    name = table_name(one)
    assert name.startswith("drill_")
    assert name.replace("_", "").isascii()
    assert name.replace("_", "").isalnum()
    assert (name == table_name(other)) == (one == other)


def test_plain_delay_releases_in_order_and_in_batches() -> None:
    line = DelayLine(Shape(delay=0.1), random.Random(1).random)
    for packet, now in enumerate((0.0, 0.00001, 0.05)):
        assert line.put(now, packet) is None
    assert line.next_due() == pytest.approx(0.1)
    assert line.due(0.0999) == []
    assert line.due(0.1) == [(1, True)]  # 0 and 1: one verdict
    assert line.due(1.0) == [(2, True)]
    assert line.next_due() is None


@given(st.integers(0, 10_000), st.floats(0, 0.5), st.floats(0, 0.5))
def test_jitter_never_reorders_and_stays_within_its_bounds(seed: int, delay: float, jitter: float) -> None:
    rng = random.Random(seed)
    wander, now, last = WanderingDelay(Shape(delay=delay, jitter=jitter), rng.random), 0.0, 0.0
    for _ in range(200):
        now += rng.expovariate(200)
        added = wander.at(now)
        assert max(0.0, delay - jitter) - 1e-9 <= added <= delay + min(jitter, delay) + 1e-9
        assert now + added >= last
        last = now + added


def test_jitter_keeps_the_mean_where_the_naive_way_drifts_to_the_maximum() -> None:
    rng = random.Random(5)
    wander = WanderingDelay(Shape(delay=0.1, jitter=0.05), rng.random)
    added = [wander.at(i / 2000) for i in range(400_000)]
    assert sum(added) / len(added) == pytest.approx(0.1, rel=0.03)
    assert max(added) - min(added) > 0.08


def test_lost_packets_leave_in_their_turn_and_are_the_share_asked_for() -> None:
    line = DelayLine(Shape(delay=0.01, loss=0.3), random.Random(2).random)
    lost = 0
    for packet in range(5000):
        assert line.put(float(packet), packet) is None
        ((out, lives),) = line.due(packet + 0.5)
        assert out == packet
        lost += not lives
    assert lost / 5000 == pytest.approx(0.3, abs=0.03)


def test_reordered_packets_leave_at_once() -> None:
    line = DelayLine(Shape(delay=1, reorder=1), random.Random(3).random)
    assert line.put(0.0, 7) is True
    assert line.next_due() is None


def test_envoy_gets_the_share_the_status_and_no_file() -> None:
    spec = Http(port=80, abort_percent=12.5, status=500, delay_percent=100, delay_ms=350)
    text = json.dumps(envoy_config(spec, 19000, "drill-x"))
    assert '"abort": {"http_status": 500, "percentage": {"numerator": 125000, "denominator": "MILLION"}}' in text
    assert '"fixed_delay": "0.350s"' in text
    assert '"pipe": {"path": "@drill-x"}' in text
    assert "abort" not in json.dumps(envoy_config(Http(port=80, delay_percent=5, delay_ms=1), 1, "x"))


def test_chunked_and_plain_answers_of_the_admin_interface() -> None:
    assert _body(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nLIVE\n\r\n0\r\n\r\n") == "LIVE"
    assert _body(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nLIVE\n") == "LIVE"
    assert _body(b"") == ""
