"""``python -m drill.agent``: reads the command line and hands over. Loads only what the command needs."""

from __future__ import annotations

import argparse
import json
import sys

APPLY_FAILED, LEFT = 3, 5


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="drill.agent", description="Hold one fault at one replica.")
    commands = parser.add_subparsers(dest="command", required=True)
    hold = commands.add_parser("hold", help="apply a fault and hold it while the lease is renewed on stdin")
    hold.add_argument("--id", required=True, help="the injection's id")
    hold.add_argument("--spec", required=True, help="the fault as JSON")
    for name in ("ttl", "deadline", "lease"):
        hold.add_argument(f"--{name}", type=_seconds, required=True, metavar="S")
    hold.add_argument("--shelter", action="append", default=[], metavar="PATH", help="cgroup the guard may live in")
    hold.add_argument("--envoy", default="", metavar="PATH")
    hold.add_argument("--stress-ng", default="", metavar="PATH")
    abilities = commands.add_parser("abilities", help="say which faults can be made here")
    abilities.add_argument("--envoy", default="", metavar="PATH")
    abilities.add_argument("--stress-ng", default="", metavar="PATH")
    snapshot = commands.add_parser("snapshot", help="print everything faults may change")
    clear = commands.add_parser("clear", help="remove everything of drill's")
    clear.add_argument("--id", default="", help="only the fault of this injection")
    clear.add_argument("--kind", default="", help="and only what a fault of this kind (of its spec) can leave")
    clear.add_argument("--oom-score", default="", help="the oom_score_adj the replica's processes should have")
    serve = commands.add_parser("serve", help="answer one runner about all pods of this node, on stdin and stdout")
    serve.add_argument(
        "--node-pid", type=int, default=1, metavar="PID", help="a process of the node itself; 0: only this pod"
    )
    stay = commands.add_parser("stay", help="be the first process of a helper pod")
    stay.add_argument("--idle", type=_seconds, required=True, metavar="S")
    stay.add_argument("--deadline", type=_seconds, required=True, metavar="S")
    for sub in (hold, abilities, snapshot, clear):
        sub.add_argument("--netns", default="", metavar="PATH", help="network namespace to enter")
        sub.add_argument("--pid", type=int, default=0, help="main process of the replica")
        sub.add_argument("--root", default="/", metavar="PATH", help="root through which --path is reached")
        sub.add_argument("--cgroup", action="append", default=[], nargs="+", metavar="PATH")
        sub.add_argument("--protect", action="append", default=[], metavar="PATH", help="do not fill its disk")
        if sub is not hold:
            sub.add_argument("--path", default="", help="the directory a disk fault fills")
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 10_000_000:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of seconds")
    return value


def _cgroups(options: argparse.Namespace) -> tuple[str, ...]:
    return tuple(path for group in options.cgroup for path in group)


def _hold(options: argparse.Namespace) -> int:
    from drill.agent.fault import Site
    from drill.agent.hold import hold

    site = Site(
        id=options.id,
        ttl=options.ttl,
        deadline=options.deadline,
        lease=options.lease,
        pid=options.pid,
        root=options.root,
        cgroups=_cgroups(options),
        envoy=options.envoy,
        stress_ng=options.stress_ng,
        shelter=tuple(options.shelter),
        protected=tuple(options.protect),
    )
    return hold(site, options.spec, options.netns)


def _abilities(options: argparse.Namespace) -> int:
    from drill.agent.abilities import Place, abilities

    place = Place(
        netns=options.netns,
        cgroups=_cgroups(options),
        pid=options.pid,
        root=options.root,
        path=options.path,
        envoy=options.envoy,
        stress_ng=options.stress_ng,
        protected=tuple(options.protect),
    )
    print(json.dumps(abilities(place)))
    return 0


def _enter(netns: str) -> None:
    from drill.agent.kernel import enter_namespace

    if netns:
        enter_namespace(netns)


def _snapshot(options: argparse.Namespace) -> int:
    from drill.agent.snapshot import snapshot

    _enter(options.netns)
    print(json.dumps(snapshot(options.pid, options.root, options.path, _cgroups(options)), indent=1))
    return 0


def _clear(options: argparse.Namespace) -> int:
    from drill.agent.clear import Only, clear

    removed, remains = clear(
        options.netns,
        pid=options.pid,
        root=options.root,
        path=options.path,
        directories=_cgroups(options),
        only=Only(options.id, options.kind, options.oom_score),
    )
    print(json.dumps({"removed": removed, "remains": remains}))
    return LEFT if remains else 0


def _serve(options: argparse.Namespace) -> int:
    from drill.agent.node.conductor import serve

    return serve(options.node_pid)


def _stay(options: argparse.Namespace) -> int:
    from drill.agent.node.stay import stay

    return stay(options.idle, options.deadline)


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    from drill.agent.commands import complete_path
    from drill.agent.errors import CannotApply

    options = _parser().parse_args(arguments)
    complete_path()
    commands = {
        "hold": _hold,
        "abilities": _abilities,
        "snapshot": _snapshot,
        "clear": _clear,
        "serve": _serve,
        "stay": _stay,
    }
    try:
        return commands[options.command](options)
    except (CannotApply, OSError) as error:
        print(f"drill.agent {options.command}: {error}", file=sys.stderr)
        return APPLY_FAILED


if __name__ == "__main__":
    sys.exit(main())
