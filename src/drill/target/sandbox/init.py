"""PID 1 inside: mounts, network, servers, replicas; then it supervises and answers until it is killed.

Prometheus is started first, because its first scrape comes 5 s after its start: everything else happens
meanwhile. Init has no threads, so that a fork is safe at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from drill.target.sandbox import children, kernel, network, routes, servers, topology
from drill.target.sandbox.children import Children
from drill.target.sandbox.topology import places

if TYPE_CHECKING:
    from drill.target.sandbox.keeper import Inside
    from drill.target.sandbox.supervisor import Container
    from drill.target.sandbox.world import World

READY_S = 75.0
_STEP_S = 0.05
PRIORITY = -10
"""Nice value of all inside, where allowed: a busy host must not look like a slow service, nor delay an alert."""


def run(inside: Inside) -> NoReturn:
    """Be init. Never returns: when it ends, the kernel ends every process of the sandbox."""
    from drill.target.sandbox.keeper import say

    try:
        _become_init(inside)
        place = _mount(inside.directory)
        pids = servers.start_all(inside, place)
        say(progress="network")
        home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        netns = network.build(inside.launch.ip, home)
        say(progress="services")
        asyncio.run(_live(_assemble(inside, place, home, netns), pids))
    except BaseException as error:
        traceback.print_exc()
        say(error=f"the sandbox's init failed: {error}")
    finally:
        os._exit(1)


def _become_init(inside: Inside) -> None:
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if select.select([inside.guard_pidfd], [], [], 0)[0]:
        os._exit(1)  # the guard died before the kernel was told
    kernel.name_process("drill-init")
    with contextlib.suppress(OSError):  # without root: whatever the host's other work leaves
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    log = os.open(inside.directory / "init.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(log, 2)
    os.dup2(null, 0)
    doors = {door.fileno() for door in inside.doors.values()}
    kernel.close_all_but({0, 1, 2, inside.control.fileno(), *doors})


def _mount(directory: Path) -> Path:
    """Make this mount namespace private and put a tmpfs under everything the sandbox writes."""
    from drill.target.sandbox.world import mount_data

    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    place = directory / "run"
    safe = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("tmpfs", str(place), "tmpfs", safe, "mode=0755,size=512m")
    for each in places():
        data = place / "data" / each.name
        data.mkdir(parents=True)
        mount_data(data)
    (place / "logs").mkdir()
    hosts = place / "hosts"
    hosts.write_text(topology.hosts_file())
    with contextlib.suppress(OSError):  # a system without /etc/hosts: names are a comfort only
        kernel.mount(str(hosts), "/etc/hosts", flags=kernel.MS_BIND)
    with contextlib.suppress(OSError):
        socket.sethostname("drill-sandbox")
    return place


async def _live(world: World, pids: dict[str, int]) -> None:
    loop = asyncio.get_running_loop()
    world.processes.install(loop)
    ended = {name: world.processes.exit_of(pid) for name, pid in pids.items()}
    for name, future in ended.items():
        _watch(world, name, future)
    world.processes.reap()  # one that ended before anybody listened
    await children.in_callback(lambda: _start_all(world))
    from drill.target.sandbox.control import Control
    from drill.target.sandbox.keeper import say

    server = await asyncio.start_unix_server(Control(world).serve, sock=world.inside.control, limit=2**20)
    await _until_ready(world, ended)
    say(ready=world.inside.ports())
    for door in world.inside.doors.values():
        door.close()  # the forwarder's alone from here on
    del server
    await asyncio.Event().wait()


def _assemble(inside: Inside, place: Path, home: int, netns: dict[str, int]) -> World:
    from drill.target.sandbox import service  # aiohttp: imported once here, shared by every process forked
    from drill.target.sandbox.agents import Agents
    from drill.target.sandbox.supervisor import Supervisor
    from drill.target.sandbox.world import World

    log = inside.directory / "init.log"
    endpoints = place / "endpoints.json"

    def run_replica(container: Container) -> None:
        replica = container.place
        service.run(replica, place / "data" / replica.name, endpoints, container.revision.template)

    processes = Children()
    delay = inside.launch.spec.restart_delay_s
    supervisor = Supervisor(inside.groups, processes, run_replica, log, place / "logs", delay)
    agents = Agents(processes, inside.groups, str(place), 2)
    return World(inside, place, log, home, netns, processes, supervisor, agents)


def _start_all(world: World) -> None:
    """Fork every process of the sandbox; outside of any task."""
    from drill.target.sandbox import edge, forwarder, sink

    inside = world.inside
    spec = inside.launch.spec
    routes.write(world.endpoints_file, world.endpoints)
    doors = [(inside.doors[name], address) for name, address in door_addresses().items()]
    _helper(world, "forwarder", lambda: forwarder.run(doors), keep={door.fileno() for door, _ in doors})
    _helper(world, "sink", sink.run)
    for each in places():
        world.supervisor.add(each, world.netns[each.name])
    world.supervisor.watch_memory()
    rates = {service.name: spec.rate(service.name) for service in topology.SERVICES}

    def users() -> None:
        kernel.enter_netns(world.edge_netns)
        edge.run(world.endpoints_file, rates, spec.seed)

    _helper(world, "edge", users, keep={world.edge_netns})


def door_addresses() -> dict[str, tuple[str, int]]:
    """Where the forwarder carries the connections of each door."""
    return {
        "prometheus": ("127.0.0.1", topology.PROMETHEUS_PORT),
        "alertmanager": ("127.0.0.1", topology.ALERTMANAGER_PORT),
        "sink": ("127.0.0.1", topology.SINK_PORT),
        "edge": (topology.EDGE_ADDRESS, topology.ENTRANCE_PORT),
    }


def _helper(world: World, name: str, main: Callable[[], None], keep: Iterable[int] = ()) -> None:
    def named() -> None:
        kernel.name_process(name)
        main()

    pid = children.fork(named, world.log, keep)
    _watch(world, name, world.processes.exit_of(pid))


def _watch(world: World, name: str, ended: asyncio.Future[int]) -> None:
    """A server or helper that ends is not restarted: evidence of a patched-up server would be worth nothing."""
    ended.add_done_callback(lambda future: world.supervisor.say(f"{name} ended ({future.result()})"))


async def _until_ready(world: World, servers: dict[str, asyncio.Future[int]]) -> None:
    """Wait for steady traffic seen by Prometheus, then tell the runner."""
    from drill.target.sandbox.keeper import say

    say(progress="waiting for the first sample")
    deadline = time.monotonic() + READY_S
    while not (await _has_samples() and await _answers(topology.ALERTMANAGER_PORT)):
        for name, ended in servers.items():
            if ended.done():
                raise OSError(f"{name} ended at once: {last_line(world.inside.directory / f'{name}.log')}")
        if time.monotonic() > deadline:
            raise OSError(f"no sample was stored within {READY_S:g} s")
        await asyncio.sleep(_STEP_S)
    world.ready = True


async def _has_samples() -> bool:
    """True when Prometheus has a sample of answered requests of every service."""
    from drill.target.sandbox import httpwire

    query = 'count(count%20by(service)(http_request_duration_seconds_count{code="200"}>0))'
    address = ("127.0.0.1", topology.PROMETHEUS_PORT)
    try:
        answer = await httpwire.get(address, f"/api/v1/query?query={query}", 2.0, keep=True)
        result = json.loads(answer.body)["data"]["result"]
    except (OSError, ValueError, KeyError):
        return False
    return bool(result) and int(result[0]["value"][1]) == len(topology.SERVICES)


async def _answers(port: int) -> bool:
    from drill.target.sandbox import httpwire

    try:
        return (await httpwire.get(("127.0.0.1", port), "/-/ready", 2.0)).status == 200
    except OSError:
        return False


def last_line(log: Path) -> str:
    """The last line of *log*, for a message."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return "no log"
    return lines[-1][:400] if lines else "it said nothing"
