"""From a context's name to a connection: kubeconfig or the pod's own ServiceAccount. Never the current context.

Owns what is read of kubeconfigs and whose rights are used. Refuses to guess: a context is named or there is none.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drill.core.errors import UsageError
from drill.core.problems import did_you_mean

if TYPE_CHECKING:
    from kubernetes.client.configuration import Configuration

IN_CLUSTER = "in-cluster"
"""The context's name that means: the cluster this process runs in, as the pod's ServiceAccount."""
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True)
class Access:
    """Which cluster, as whom.

    ``kubeconfig`` empty: $KUBECONFIG or ~/.kube/config. ``as_user``: ``system:serviceaccount:NAMESPACE:NAME`` to
    act with the rights of a ServiceAccount instead of one's own.
    """

    context: str
    kubeconfig: str = ""
    as_user: str = ""

    @property
    def files(self) -> str:
        """The kubeconfig files, joined as $KUBECONFIG joins them."""
        return self.kubeconfig or os.environ.get("KUBECONFIG", "") or str(Path("~/.kube/config").expanduser())


@dataclass(frozen=True)
class Login:
    """A connection's settings and the namespace the context names (empty: none)."""

    configuration: Configuration
    namespace: str


def login(access: Access) -> Login:
    """Read what is needed to connect; asks no server (an exec plugin of the kubeconfig may). Raises UsageError."""
    from kubernetes.client.configuration import Configuration

    configuration = type.__call__(Configuration)
    namespace = _in_cluster(configuration) if access.context == IN_CLUSTER else _from_file(access, configuration)
    configuration.retries = False  # the retries are ours: they know what may be repeated
    configuration.connection_pool_maxsize = 64
    return Login(configuration, namespace)


def contexts(access: Access) -> Sequence[str]:
    """Return the names of the contexts in the kubeconfig, none when it cannot be read."""
    from kubernetes.config import ConfigException
    from kubernetes.config.kube_config import KubeConfigMerger
    from yaml import YAMLError

    try:
        merged = KubeConfigMerger(access.files).config
        return [str(one["name"]) for one in merged["contexts"]] if merged is not None else ()
    except (ConfigException, YAMLError, OSError, ValueError, TypeError, KeyError, AttributeError):
        return ()


def _in_cluster(configuration: Configuration) -> str:
    from kubernetes.config import ConfigException
    from kubernetes.config.incluster_config import load_incluster_config

    try:
        load_incluster_config(client_configuration=configuration)
    except ConfigException as error:
        raise UsageError(
            f"context '{IN_CLUSTER}' is for drill in a pod of the cluster, and this is none: {error}",
            hint="name a context of your kubeconfig",
        ) from None
    try:
        return NAMESPACE_FILE.read_text().strip()
    except OSError:
        return ""


def _from_file(access: Access, configuration: Configuration) -> str:
    from kubernetes.config import ConfigException
    from kubernetes.config.kube_config import _get_kube_config_loader

    known = contexts(access)
    if access.context not in known:
        hint = did_you_mean(access.context, known) or f"known: {', '.join(known) or 'none'}"
        raise UsageError(f"no context '{access.context}' in {access.files}", hint=hint)
    try:
        loader = _get_kube_config_loader(filename=access.files, active_context=access.context, persist_config=False)
        loader.load_and_set(configuration)
    except (ConfigException, OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"context '{access.context}' of {access.files} cannot be used: {_first_line(error)}",
            hint="does `kubectl --context` work with it?",
        ) from None
    current: Any = loader.current_context
    return str((current.get("context") or {}).get("namespace") or "")


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
