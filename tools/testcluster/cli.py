"""The command line: ``up``, ``down``, ``status``, ``kubeconfig``, ``load-image``, ``smoke``, ``build``, ``tools``.

Owns arguments and exit codes: 0 done, 1 failed, 2 usage, 4 this machine lacks what is needed (tests skip on it).
Answers go to standard output, the steps to standard error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from testcluster import images, lifecycle, smoke, status, uml
from testcluster.lifecycle import Options
from testcluster.steps import Failed, Missing, Steps

EXIT_FAILED, EXIT_MISSING = 1, 4


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    top = argparse.ArgumentParser(
        prog="testcluster", description="A real kind cluster on one machine, no registry."
    )
    top.add_argument("-q", "--quiet", action="store_true", help="say nothing but failures and answers")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("--name", default="drill", help="name of the cluster; its context is kind-NAME")
    up = commands.add_parser("up", parents=[named], help="build what is missing and start the cluster")
    up.add_argument("--no-netem-node", action="store_true", help="leave the user-mode-linux worker out")
    up.add_argument("--no-export", action="store_true", help="leave your kubeconfig alone (see `kubeconfig`)")
    up.add_argument("--image", help="node image, where a Docker that already runs is used")
    commands.add_parser("down", parents=[named], help="remove the cluster and every trace of it")
    commands.add_parser("status", parents=[named], help="what runs, and how much memory it takes")
    commands.add_parser("kubeconfig", parents=[named], help="print the path of the cluster's own kubeconfig")
    load = commands.add_parser("load-image", parents=[named], help="load image archives into every node")
    load.add_argument("archive", nargs="+", type=Path, help="file in the format of `docker save`")
    commands.add_parser("smoke", parents=[named], help="prove that the running cluster works")
    execute = commands.add_parser(
        "node-exec", parents=[named], help="run a shell line on the user-mode-linux worker"
    )
    execute.add_argument("script")
    built = commands.add_parser("images", parents=[named], help="build drill's images; print their archives")
    built.add_argument("--tag", default="", help="tag of drill's image [default: drill's version]")
    built.add_argument("--load", action="store_true", help="load what is new into the running cluster instead")
    commands.add_parser("build", help="build everything into the cache, start nothing")
    commands.add_parser("tools", help="build Prometheus, promtool, Alertmanager, amtool; print where they are")
    commands.add_parser("sloth", help="build Sloth, the SLO generator; print where it is")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = parser().parse_args(argv)
    steps = Steps(quiet=arguments.quiet)
    try:
        _dispatch(arguments, steps)
    except Missing as missing:
        print(f"testcluster: {missing}", file=sys.stderr)
        return EXIT_MISSING
    except Failed as failed:
        print(f"testcluster: {failed}", file=sys.stderr)
        return EXIT_FAILED
    return 0


def _dispatch(arguments: argparse.Namespace, steps: Steps) -> None:
    match arguments.command:
        case "tools":
            for program, path in lifecycle.tools(steps).items():
                print(f"DRILL_{program.upper()}={path}")
        case "sloth":
            print(f"DRILL_SLOTH={lifecycle.sloth(steps)}")
        case "build":
            print(lifecycle.build(steps)[1].archive)
        case "images":
            _images(arguments, steps)
        case "up":
            print(lifecycle.up(_options(arguments), steps).kubeconfig)
        case "down":
            lifecycle.down(Options(name=arguments.name), steps)
        case _:
            _on_running(arguments, steps)


def _images(arguments: argparse.Namespace, steps: Steps) -> None:
    if arguments.load:
        cluster = lifecycle.find(Options(name=arguments.name), Steps(quiet=True))
        lifecycle.load_drill(cluster, arguments.tag, steps)
        return
    for image in lifecycle.drill_images(arguments.tag, steps):
        print(f"{image.ref} {images.whole(lifecycle.cache(), image, steps)}")


def _on_running(arguments: argparse.Namespace, steps: Steps) -> None:
    cluster = lifecycle.find(Options(name=arguments.name), Steps(quiet=True))
    match arguments.command:
        case "status":
            print(status.describe(cluster))
        case "kubeconfig":
            print(cluster.kubeconfig)
        case "load-image":
            for archive in arguments.archive:
                lifecycle.load(cluster, archive, steps)
        case "node-exec":
            print(uml.execute(cluster, arguments.script), end="")
        case "smoke":
            lifecycle.load(cluster, lifecycle.smoke_archive(Steps(quiet=True)), steps)
            smoke.run(cluster, steps)


def _options(arguments: argparse.Namespace) -> Options:
    return Options(arguments.name, not arguments.no_netem_node, not arguments.no_export, arguments.image)
