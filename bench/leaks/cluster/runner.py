"""Plays the runner of one fault in the cluster, with the rights of drill's own account and with lease and intent.

Reads what it is to do as JSON from the first line of stdin; says ``ready`` with pod and helpers; does the fault at
``go``, says ``applied`` or ``failed …``; undoes it at ``release`` and says so. Then it waits to be killed.
"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import dataclass
from typing import Any

from bench.leaks import faultset

from drill.core.actions import HoldFault, KillReplica, is_deed, undo_of
from drill.core.errors import DrillError
from drill.core.facts import Endpoints
from drill.target.kubernetes.access import Access
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.helpers import Helpers
from drill.target.kubernetes.leases import leases
from drill.target.kubernetes.planned import Timing
from drill.target.kubernetes.podspec import HelperSettings
from drill.target.kubernetes.target import KubernetesTarget

TIMING = Timing(
    scrape_interval_s=1, evaluation_interval_s=1, group_wait_s=1, group_interval_s=5, history_s=60, fast_forward=60
)
NOWHERE = Endpoints(prometheus="http://127.0.0.1:9", alertmanagers=())


@dataclass(frozen=True)
class Order:
    """What the runner is to do."""

    context: str
    kubeconfig: str
    as_user: str
    namespace: str
    service: str
    fault: str
    injection: str
    seed: str
    image: str


def main() -> None:
    order = Order(**json.loads(sys.stdin.readline()))
    api = Api(Access(order.context, order.kubeconfig, order.as_user))
    helpers = Helpers(api, HelperSettings(image=order.image), run=order.injection)
    makes = None if faultset.asks_only_an_api(order.fault) else lambda: helpers
    target = KubernetesTarget(api, order.namespace, NOWHERE, TIMING, makes, concerned=(order.service,))
    with leases(api, order.namespace, [order.service], order.injection, lambda why: say("lost", why=why)):
        facts = target.facts()
        try:
            chosen = faultset.action(
                order.fault, order.injection, f"{order.service}-0", facts, random.Random(order.seed)
            )
        except LookupError as error:
            say("cannot", why=str(error))
            return
        undo = undo_of(chosen)
        target.begin(order.injection, [(chosen, undo)])
        pod = target.view(order.service).ref(f"{order.service}-0").name if isinstance(chosen, HoldFault) else ""
        mode = chosen.mode if isinstance(chosen, KillReplica) else chosen.do
        say("ready", pod=pod, helpers=sorted(helpers.names), mode=mode)
        for line in sys.stdin:
            action = chosen if line.strip() == "go" else undo
            try:
                target.execute(action)
                if not is_deed(action):
                    target.settled(order.injection)
                say("applied" if action is chosen else "released")
            except DrillError as error:
                say("failed", why=str(error))


def say(word: str, **more: Any) -> None:
    """Print one line."""
    print(json.dumps({"said": word, **more}), flush=True)


if __name__ == "__main__":
    main()
