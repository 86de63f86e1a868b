"""The parts of the sandbox that are text and arithmetic."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from drill.core.facts import ABILITIES
from drill.target.sandbox import (
    agents,
    appendlog,
    config,
    httpwire,
    init,
    network,
    prober,
    routes,
    servers,
    sink,
    supervisor,
    topology,
)
from drill.target.sandbox.cgroups import Cgroups
from drill.target.sandbox.planned import read_abilities
from drill.target.sandbox.spec import Launch, SandboxSpec

SPEC = SandboxSpec(rules="groups: []\n", alertmanager="route: {receiver: log}\n", scrape_interval_s=0.5)
LAUNCH = Launch(SPEC, prometheus="/opt/prometheus", alertmanager="/opt/alertmanager", ip="/sbin/ip")


def test_every_replica_has_its_own_address_inside_the_bridge() -> None:
    addresses = [place.address for place in topology.places()]
    assert len(addresses) == len(set(addresses)) == 15
    assert all(address.startswith("10.231.") for address in addresses)
    assert not {topology.HOST_ADDRESS, topology.EDGE_ADDRESS} & set(addresses)
    assert topology.place("payment-2") == topology.Place("payment", 2)
    assert topology.place("payment-3") is None


def test_a_call_graph_names_only_services_that_exist() -> None:
    assert topology.BY_NAME["checkout"].calls == ("payment", "cart", "catalog")
    assert all(name in topology.BY_NAME for service in topology.SERVICES for name in service.calls)


def test_the_hosts_file_names_every_replica() -> None:
    lines = dict(reversed(line.split(maxsplit=1)) for line in topology.hosts_file().splitlines())
    assert lines["cart-1"] == "10.231.4.2"
    assert lines["localhost"] == "127.0.0.1"


def test_a_spec_survives_the_way_to_the_keeper() -> None:
    launch = Launch.from_json(LAUNCH.to_json())
    assert launch == LAUNCH
    assert "\n" not in LAUNCH.to_json()
    assert SandboxSpec("", "", rates={"cart": 3.0}).rate("cart") == 3.0
    assert SandboxSpec("", "", rates={"cart": 3.0}).rate("checkout") == 20.0


def test_prometheus_scrapes_edge_and_each_replica_by_its_name(tmp_path: Path) -> None:
    document = json.loads(config.prometheus_config(SPEC, "/run"))
    jobs = {job["job_name"]: job for job in document["scrape_configs"]}
    assert set(jobs) == {"edge", *topology.BY_NAME}
    assert jobs["payment"]["file_sd_configs"][0]["files"] == ["/run/targets/payment.json"]
    config.write_targets(tmp_path, "payment", [topology.Place("payment", 1), topology.Place("payment", 5)])
    assert json.loads((tmp_path / "targets/payment.json").read_text()) == [
        {"targets": ["10.231.2.2:9100"], "labels": {"instance": "payment-1"}},
        {"targets": ["10.231.2.6:9100"], "labels": {"instance": "payment-5"}},
    ]
    assert document["global"] == {
        "scrape_interval": "500ms",
        "scrape_timeout": "500ms",
        "evaluation_interval": "1s",
    }
    assert document["rule_files"] == ["/run/rules.yml"]


def test_only_prometheus_3_gets_the_flag_that_makes_discovery_quick() -> None:
    flag = "--scrape.discovery-reload-interval=100ms"
    assert flag not in config.prometheus_command(LAUNCH, "/run")
    assert flag in config.prometheus_command(Launch(SPEC, "p", "a", "i", quick_discovery=True), "/run")
    assert "--cluster.listen-address=" in config.alertmanager_command(LAUNCH, "/run")


@pytest.mark.parametrize(("factor", "seconds"), [(60.0, 5.0), (1.0, 60.0), (4.0, 15.0)])
def test_alerts_are_sent_again_as_often_as_fast_forward_asks(factor: float, seconds: float) -> None:
    assert config.resend_delay_s(SandboxSpec("", "", fast_forward=factor)) == seconds


def test_the_network_is_one_bridge_and_a_veth_pair_for_each_pod() -> None:
    batch = network.bridge_batch({addr: f"/proc/1/fd/{i}" for i, addr in enumerate(network.pods().values(), 10)})
    lines = batch.splitlines()
    assert len([line for line in lines if "type veth" in line]) == 16
    peer = "peer name eth0 address 02:00:0a:e7:01:01 netns /proc/1/fd/11"
    assert f"link add pod1-1 type veth {peer}" in lines  # a new pod there has the same: nobody's table is stale
    assert all(len(line.split()[2]) <= 15 for line in lines if line.startswith("link add"))  # IFNAMSIZ
    assert network.pod_batch("10.231.1.1").splitlines()[1] == "addr add 10.231.1.1/16 dev eth0"


def test_restarts_back_off_to_a_cap_and_start_over_after_a_healthy_life() -> None:
    delays = [supervisor.next_delay(1.0, 0.0, 0.5)]
    for _ in range(5):
        delays.append(supervisor.next_delay(1.0, delays[-1], 0.5))
    assert delays == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert supervisor.next_delay(1.0, 8.0, supervisor.HEALTHY_S) == 1.0


def test_routes_take_turns_and_follow_the_file(tmp_path: Path) -> None:
    file = tmp_path / "endpoints.json"
    routes.write(file, {"cart": ["a", "b", "c"]})
    chooser = routes.Routes(file, seed="x")
    assert sorted(chooser.pick("cart") or "" for _ in range(6)) == ["a", "a", "b", "b", "c", "c"]
    assert chooser.pick("nobody") is None
    routes.write(file, {"cart": ["a"]})
    assert {chooser.pick("cart") for _ in range(3)} == {"a"}
    routes.write(file, {"cart": []})
    assert chooser.pick("cart") is None


def test_the_journal_rotates_only_after_a_write_that_succeeded(tmp_path: Path) -> None:
    log = appendlog.AppendLog(tmp_path / "journal.log")
    blocks = appendlog.ROTATE_AT // appendlog.BLOCK
    for number in range(blocks - 1):
        log.append(f"entry {number}")
    assert not (tmp_path / "journal.old").exists()
    log.append("the last of this file")
    assert (tmp_path / "journal.old").stat().st_size == appendlog.ROTATE_AT
    log.append("first of the next")
    assert (tmp_path / "journal.log").stat().st_size == appendlog.BLOCK


def test_a_block_that_was_written_in_part_is_taken_back_and_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = appendlog.AppendLog(tmp_path / "journal.log")
    log.append("whole")
    really = appendlog.os.write
    with monkeypatch.context() as patched:
        patched.setattr(appendlog.os, "write", lambda fd, data: really(fd, data[:100]))
        with pytest.raises(OSError, match="full"):
            log.append("cut")
    assert (tmp_path / "journal.log").stat().st_size == appendlog.BLOCK
    log.append("whole again")
    assert (tmp_path / "journal.log").stat().st_size == 2 * appendlog.BLOCK


@pytest.mark.parametrize(("head", "status"), [(b"HTTP/1.1 200 OK\r\n", 200), (b"HTTP/1.0 503 x", 503)])
def test_a_status_line_is_read(head: bytes, status: int) -> None:
    assert httpwire.status_of(head) == status


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1", b"SSH-2.0 200 x", b"HTTP/1.1 abc x"])
def test_an_answer_without_a_status_is_a_broken_connection(head: bytes) -> None:
    with pytest.raises(ConnectionResetError):
        httpwire.status_of(head)


def test_a_shaped_transfer_is_measured_after_its_first_burst() -> None:
    burst = [(0.0, 100_000)]
    steady = [(0.1 * i, 100_000 + 4000 * i) for i in range(1, 11)]
    assert prober.rate_kbit(burst + steady, began=-0.01) == pytest.approx(320.0)  # 4 kB each 0.1 s
    assert prober.rate_kbit([(0.0, 1000), (0.1, 2000)], began=-0.1) == pytest.approx(80.0)
    assert prober.rate_kbit([], began=0.0) == 0.0


def test_a_webhook_becomes_one_notification_for_each_alert() -> None:
    alert = {"status": "firing", "labels": {"alertname": "A"}, "startsAt": "2026-01-02T03:04:05.5Z"}
    body = {"version": "4", "status": "firing", "alerts": [alert, {**alert, "status": "resolved"}]}
    first, second = sink.read_webhook(body, "pagerduty", at=7.0)
    assert first == {
        "at": 7.0,
        "receiver": "pagerduty",
        "status": "firing",
        "labels": {"alertname": "A"},
        "starts_at": 1767323045.5,
    }
    assert second["status"] == "resolved"
    with pytest.raises(KeyError):
        sink.read_webhook({"hello": 1}, "x", at=0.0)


def test_the_agents_command_names_namespace_process_and_every_cgroup() -> None:
    container = supervisor.Container(topology.Place("cart", 0), netns=33, pid=44)
    groups = Cgroups(1, {"cpu": Path("/cg/cpu/x"), "memory": Path("/cg/memory/x")})
    request = agents.HoldRequest.read(
        {"injection": "slow", "replica": "cart-0", "spec": "{}", "ttl": 10, "deadline": 60, "lease": 6}
    )
    command = agents.hold_command(request, container, groups, "/run/sandbox")
    assert command[2:5] == ["-m", "drill.agent", "hold"]
    assert command[command.index("--id") + 1] == "slow.cart-0"
    assert {"--ttl=10", "--deadline=60", "--lease=6"} <= set(command)
    assert command[command.index("--netns") + 1] == "/proc/1/fd/33"
    assert command[command.index("--root") + 1] == "/run/sandbox"
    given = [command[i + 1] for i, word in enumerate(command) if word == "--cgroup"]
    assert given == ["/cg/cpu/x/cart-0", "/cg/memory/x/cart-0"]


def test_what_the_agent_does_not_answer_is_missing() -> None:
    there = dict.fromkeys(ABILITIES, "")
    assert read_abilities(there) == {}
    assert read_abilities({**there, "netem": "no sch_netem"}) == {"netem": "no sch_netem"}
    assert set(read_abilities({})) == set(ABILITIES)


def test_a_servers_unpacked_files_are_found_beside_it(tmp_path: Path) -> None:
    (tmp_path / "usr/share/prometheus").mkdir(parents=True)
    assert servers.unpacked_share(str(tmp_path / "usr/bin/prometheus")) == tmp_path / "usr/share/prometheus"
    assert servers.unpacked_share("/usr/bin/prometheus") is None
    assert servers.unpacked_share(str(tmp_path / "other/bin/prometheus")) is None


def test_every_door_leads_somewhere() -> None:
    from drill.target.sandbox.keeper import DOORS

    assert set(init.door_addresses()) == set(DOORS)


def test_the_same_seed_gives_the_same_turn(tmp_path: Path) -> None:
    file = tmp_path / "endpoints.json"
    routes.write(file, {"cart": [str(number) for number in range(50)]})
    picks = {seed: routes.Routes(file, seed).pick("cart") for seed in ("1", "2", "3", "4", "5")}
    assert picks["1"] == routes.Routes(file, "1").pick("cart") == str(random.Random("1").randrange(50))
    assert len(set(picks.values())) > 1
