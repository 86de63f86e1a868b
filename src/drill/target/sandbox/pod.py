"""The sandbox's programs as containers: ``python -m drill.target.sandbox.pod service NAME | edge | sink``.

Owns what is different in a pod: endpoints come from the cluster's names, and an order to end is obeyed after the
time that others need to notice. What the programs do is the sandbox's own code.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path

from drill.target.sandbox import edge, routes, service, sink
from drill.target.sandbox.deployments import Template
from drill.target.sandbox.topology import BY_NAME, SERVE_PORT, SERVICES

EVERY_S = 0.5
"""How old the list of endpoints may be."""
DRAIN_S = 2.0
"""A pod that is told to end serves on until nobody has its address any more."""
_GONE = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))

Endpoints = dict[str, list[str]]
Look = Callable[[str], list[str] | None]


def addresses(name: str) -> list[str] | None:
    """The ready replicas behind the headless Service *name*; None when the name server cannot say."""
    try:
        found = socket.getaddrinfo(name, SERVE_PORT, socket.AF_INET, socket.SOCK_STREAM)
    except socket.gaierror as error:
        return [] if error.errno in _GONE else None
    return sorted({str(sockaddr[0]) for *_, sockaddr in found})


async def look_up(names: Iterable[str], before: Endpoints, look: Look = addresses) -> Endpoints:
    """Ask for all *names* at once; one that cannot be answered keeps what it had *before*."""
    asked = list(names)
    answers = await asyncio.gather(*(asyncio.to_thread(look, name) for name in asked))
    return {
        name: before.get(name, []) if found is None else found for name, found in zip(asked, answers, strict=True)
    }


async def follow(names: Sequence[str], file: Path) -> None:
    """Keep *file*, the list of endpoints, true; for ever."""
    known: Endpoints = {}
    while True:
        found = await look_up(names, known)
        if found != known:
            routes.write(file, found)
            known = found
        await asyncio.sleep(EVERY_S)


async def until_told(program: Coroutine[None, None, None], *others: Coroutine[None, None, None]) -> None:
    """Run *program* and *others* until SIGTERM or SIGINT, and a little longer; raise what one of them raises."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):  # process 1 of a container gets neither without a handler
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    tasks = [asyncio.ensure_future(each) for each in (program, *others, told.wait())]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    await asyncio.sleep(DRAIN_S)


def main(argv: Sequence[str] | None = None) -> None:
    """Be one program of the demo."""
    options = _parser().parse_args(argv)
    if options.program == "sink":
        asyncio.run(until_told(sink.live("0.0.0.0")))  # nosec B104 - the pod's own network
        return
    file = Path(options.run) / "endpoints.json"
    routes.write(file, {})
    asyncio.run(_with_endpoints(options, file))


async def _with_endpoints(options: argparse.Namespace, file: Path) -> None:
    if options.program == "edge":
        rates = {each.name: each.rate * options.load for each in SERVICES}
        await until_told(edge.live(file, rates, options.seed), follow([*rates], file))
        return
    own = BY_NAME[options.name]
    program = service.live(own, socket.gethostname(), Path(options.data), file, Template())
    await until_told(program, *([follow(own.calls, file)] if own.calls else []))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="drill.target.sandbox.pod", description="One program of the demo.")
    parser.add_argument("--run", default="/run/demo", metavar="DIR", help="folder for the list of endpoints")
    programs = parser.add_subparsers(dest="program", required=True)
    replica = programs.add_parser("service", help="a replica of a demo service")
    replica.add_argument("name", choices=[*BY_NAME])
    replica.add_argument("--data", default="/data", metavar="DIR", help="its file system")
    users = programs.add_parser("edge", help="the users: load, and what they got")
    users.add_argument("--load", type=float, default=1.0, metavar="X", help="times the usual number of requests")
    users.add_argument("--seed", type=int, default=0)
    programs.add_parser("sink", help="keeps all notifications")
    return parser


if __name__ == "__main__":
    main()
