"""The first call at a cluster's API server, sent before the rest of drill is loaded, which goes on meanwhile.

Reads of drill.toml only which kubeconfig's context is meant. Says nothing: whoever asks in earnest finds the same
mistake and explains it. Loads none of ``cli``'s other modules, which is the point of it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drill.cli.configfile import find_file
from drill.cli.settings import RunSettings
from drill.core.errors import DrillError

if TYPE_CHECKING:
    from drill.target.kubernetes.access import Access
    from drill.target.kubernetes.api import Api

WAIT_S = 0.05
"""A server nearby has answered by then; loading the rest would only take turns with its answer."""
_early: dict[Access, Api] = {}


def reach(settings: RunSettings) -> None:
    """Begin to look at the namespace that *settings* name; the sandbox has none. Never raises for what is wrong."""
    if settings.target.partition(":")[0] == "sandbox":
        return
    from drill.target.kubernetes import paths
    from drill.target.kubernetes.access import Access
    from drill.target.kubernetes.api import Api

    with suppress(DrillError, OSError, ValueError):
        said = _context(settings.target)
        if said.get("kubeconfig"):
            return  # its path is drill.toml's matter
        access = Access(str(said.get("kubernetes", settings.target)), "", settings.as_user)
        api = Api(access)
        namespace = settings.namespace or str(said.get("namespace", "")) or api.namespace
        api.begin(paths.namespace(namespace), WAIT_S)
        _early[access] = api


def taken(access: Access) -> Api | None:
    """Return the API server that was reached as *access* already, once."""
    return _early.pop(access, None)


def _context(name: str) -> dict[str, Any]:
    """What drill.toml says of the context, unchecked."""
    import tomllib

    file = find_file(os.environ, Path.cwd())
    contexts = tomllib.loads(file.read_text()).get("contexts", {}) if file else {}
    said = contexts.get(name, {}) if isinstance(contexts, dict) else {}
    return said if isinstance(said, dict) else {}
