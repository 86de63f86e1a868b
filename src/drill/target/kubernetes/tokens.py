"""Acting as a ServiceAccount: a token that the API server hands out for it, renewed before it ends.

Unlike impersonation headers a token also works for streams, and shows exactly what the account itself may do.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from drill.core.errors import UsageError
from drill.target.kubernetes import paths
from drill.target.kubernetes.access import Access
from drill.target.kubernetes.failures import NotThere

if TYPE_CHECKING:
    from kubernetes.client.configuration import Configuration

    from drill.target.kubernetes.pace import Pace

LIFE_S = 4 * 3600
"""Longer than any drill (two hours by default): a run whose login ends in the middle cannot undo."""
PREFIX = "system:serviceaccount:"


def become(configuration: Configuration, access: Access, pace: Pace) -> None:
    """Change *configuration* so that it logs in as the ServiceAccount. Raises UsageError, ApiFailed."""
    from drill.target.kubernetes.api import Api

    namespace, _, name = access.as_user.removeprefix(PREFIX).partition(":")
    if not access.as_user.startswith(PREFIX) or not namespace or not name:
        raise UsageError(
            f"--as {access.as_user}: only ServiceAccounts",
            hint=f"write {PREFIX}NAMESPACE:NAME, as `kubectl --as` does",
        )
    own = Api(Access(access.context, access.kubeconfig), pace=pace)
    path = paths.one("ServiceAccount", namespace, name, "token")
    renew_at = 0.0

    def renew(config: Any) -> None:
        nonlocal renew_at
        if time.monotonic() < renew_at:
            return
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": LIFE_S},
        }
        try:
            answer = json.loads(own.raw("POST", path, body))
        except NotThere as error:
            raise UsageError(
                f"{access.context} has no ServiceAccount {namespace}/{name}",
                hint=f"`drill k8s install --context {access.context}` makes the one that drills run as",
            ) from error
        config.api_key = {"authorization": f"Bearer {answer['status']['token']}"}
        renew_at = time.monotonic() + LIFE_S / 2

    renew(configuration)
    settings: Any = configuration  # the package does not say that a hook is a function
    settings.refresh_api_key_hook = renew
    configuration.cert_file = configuration.key_file = None
