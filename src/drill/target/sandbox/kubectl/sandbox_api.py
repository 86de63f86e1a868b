"""What the verbs ask of one sandbox, and the names they may mean."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drill.core.errors import Unavailable
from drill.target.sandbox.client import ask
from drill.target.sandbox.kubectl.objects import NAMESPACE
from drill.target.sandbox.kubectl.words import Line, Refused, selector

Json = dict[str, Any]
ASK_S = 60.0


class Api:
    """The control socket of a sandbox."""

    def __init__(self, control: Path) -> None:
        self._control = control

    def ask(self, message: Json) -> Json:
        """Ask one thing. Raises Refused with the sandbox's words."""
        try:
            return ask(self._control, message, ASK_S)
        except Unavailable as error:
            raise Refused(str(error)) from error

    def look(self) -> Json:
        """Everything there is."""
        return self.ask({"do": "workloads"})

    def complain(self, text: str) -> None:
        """Print a line that is no data."""
        sys.stderr.write(f"{text}\n")

    def check_namespace(self, line: Line, kind: str) -> None:
        """Refuse namespaces that are not there."""
        namespace = line.flag("namespace")
        if namespace not in ("", NAMESPACE) and kind != "nodes":
            raise Refused(f'namespaces "{namespace}" not found; the sandbox has one: {NAMESPACE}')

    def deployment(self, words: Sequence[str]) -> str:
        """Read ``deploy/checkout`` or ``deployment checkout``. Raises Refused."""
        from drill.target.sandbox.kubectl.looking import kind_of

        parts = [part for word in words for part in word.split("/")]
        if len(parts) != 2 or kind_of(parts[0]) != "deployments":
            raise Refused("say which, like deploy/checkout")
        if parts[1] not in self.look()["deployments"]:
            raise Refused(
                f'deployments.apps "{parts[1]}" not found', kind_of_error="Error from server (NotFound): "
            )
        return parts[1]

    def pods(self, words: Sequence[str], chosen: str = "", everything: bool = False) -> list[str]:
        """The pods that names (``pod/x``, ``x``, ``deploy/x``) or the selector *chosen* mean. Raises Refused."""
        told = self.look()["deployments"]
        every = {pod["name"]: pod for each in told.values() for pod in each["pods"]}
        if chosen:
            labels = selector(chosen)
            return [name for name, pod in every.items() if labels.items() <= {"app": pod["app"]}.items()]
        if not words:
            if everything:
                return list(every)
            raise Refused("say which pod, or use -l app=SERVICE")
        return [self._pod(word, every, told) for word in words]

    def _pod(self, word: str, every: Json, told: Json) -> str:
        from drill.target.sandbox.kubectl.looking import kind_of

        kind, slash, name = word.partition("/")
        name = name if slash else word
        if slash and kind_of(kind) == "deployments" and name in told:
            serving = [one["name"] for one in told[name]["pods"] if one["app"] == name]
            if serving:
                return str(serving[0])
        if name not in every:
            raise Refused(f'pods "{name}" not found', kind_of_error="Error from server (NotFound): ")
        return name
