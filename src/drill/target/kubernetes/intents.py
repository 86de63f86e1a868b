"""What a run is about to do, written on the Service it does it to: enough to undo it from any machine.

One annotation for each injection of each run, ``drill.dev/intent-<hash>``, holding the undo as JSON. It is written
before the first deed and removed when the undo was done and looked at; whoever finds one knows what to do.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Mapping

from pydantic import ValidationError

from drill.core.actions import Action
from drill.core.values import Value
from drill.target.kubernetes import marks, objects, paths
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.failures import NotThere
from drill.target.kubernetes.ports import PodRef


class Intent(Value):
    """One injection of one run: its undos, and for what is held inside pods, which pods those were."""

    run: str
    injection: str
    host: str = ""
    undo: tuple[Action, ...]
    pods: dict[str, PodRef] = {}

    @property
    def key(self) -> str:
        """The annotation's key."""
        return marks.INTENT + hashlib.sha256(f"{self.run}/{self.injection}".encode()).hexdigest()[:16]


def intent(run: str, injection: str, undo: Iterable[Action], pods: Mapping[str, PodRef]) -> Intent:
    """Make an intent of this machine's."""
    return Intent(run=run, injection=injection, host=platform.node(), undo=tuple(undo), pods=dict(pods))


def write(api: Api, namespace: str, service: str, intended: Intent) -> None:
    """Annotate the Service. Raises ApiFailed: then nothing may be done."""
    _annotate(api, namespace, service, {intended.key: intended.model_dump_json()})


def remove(api: Api, namespace: str, service: str, key: str) -> None:
    """Take the annotation away; one that is not there, or a Service that is gone, is no failure."""
    try:
        _annotate(api, namespace, service, {key: None})
    except NotThere:
        return


def _annotate(api: Api, namespace: str, service: str, annotations: Mapping[str, str | None]) -> None:
    api.patch(paths.one("Service", namespace, service), {"metadata": {"annotations": dict(annotations)}})


class Found(Value):
    """An annotation as it was found; ``intent`` is None when it cannot be read, ``why`` then says why."""

    namespace: str
    service: str
    key: str
    intent: Intent | None = None
    why: str = ""


def found_on(service: objects.Service) -> list[Found]:
    """Return the intents that stand on *service*."""
    found = []
    for key, text in service.metadata.annotations.items():
        if not key.startswith(marks.INTENT):
            continue
        place = {"namespace": service.metadata.namespace, "service": service.name, "key": key}
        try:
            found.append(Found(**place, intent=Intent.model_validate_json(text)))
        except ValidationError as error:
            found.append(Found(**place, why=f"it cannot be read: {error.errors()[0]['msg']}"))
    return found
