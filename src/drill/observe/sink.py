"""The notification sink, a webhook receiver that keeps what it got: ``GET /notifications?since=<Unix seconds>``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drill.core.observations import Notification
from drill.observe.http import Server, ServerOptions


class Sink:
    """One sink. Its answer is a JSON list (or ``{"notifications": [...]}``) of Notification records."""

    def __init__(self, url: str, options: ServerOptions | None = None) -> None:
        self.server = Server("the notification sink", url, options)

    def notifications(self, since: float) -> Sequence[Notification]:
        """Return what arrived at or after *since* (Unix seconds), oldest first. Raises Unavailable."""
        found = self.server.call(lambda: _read(self.server.get("/notifications", {"since": f"{since:.3f}"})))
        return sorted((one for one in found if one.at >= since), key=lambda one: one.at)

    def close(self) -> None:
        """Close the session; closing twice is harmless."""
        self.server.close()


def _read(answer: Any) -> Sequence[Notification]:
    items = answer["notifications"] if isinstance(answer, dict) else answer
    return [Notification.model_validate(item) for item in items]
