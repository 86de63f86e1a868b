"""The process that runs one Chaos Toolkit activity: ``python -m drill.target.activities.child PARENT``.

The call comes in on standard input as JSON, the answer goes out as one JSON line; whatever the activity prints goes
to standard error. It dies with its parent. Owns the secrets' only appearance as text: they are read here, given to
the activity, and taken out of everything that leaves.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from drill.core.activities import Call, HttpProvider, ProcessProvider, SecretSource
from drill.core.redact import HIDDEN, is_secret_name
from drill.target.sandbox import kernel

LARGEST = 1 << 20
"""An answer longer than this (bytes of JSON) is not carried any further."""
LEAST = 4
"""A secret shorter than this is not searched for in answers: it would be found everywhere."""
OWN = {"not", "changed", "gone"}
"""Tolerances that are drill's own; the last two need the answer from before and are judged by the runner."""

Secrets = dict[str, dict[str, str]]


def main() -> int:
    """Run the activity that stands on standard input; return 0 whatever it did: the answer says it."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        return 1
    answer = os.dup(1)
    os.dup2(2, 1)
    call = Call.model_validate_json(sys.stdin.buffer.read())
    said = json.dumps(run(call), default=repr)
    if len(said) > LARGEST:
        said = json.dumps({"error": f"it answered more than {LARGEST >> 20} MiB"})
    with os.fdopen(answer, "w", encoding="utf-8") as out:
        out.write(said + "\n")
    return 0


def run(call: Call) -> dict[str, Any]:
    """Run *call*; return ``{"output": …, "good": bool}``, or ``{"error": text}``. Secrets are masked in both."""
    hidden: list[str] = []
    try:
        secrets = {
            group: {name: read_secret(source) for name, source in entries.items()}
            for group, entries in call.surroundings.secrets.items()
        }
        hidden = [value for entries in secrets.values() for value in entries.values()]
        answer = _run(call, secrets, hidden)
    except BaseException as error:  # an activity may raise anything, SystemExit too
        answer = {"error": str(error) or type(error).__name__}
    masked: dict[str, Any] = mask(answer, hidden)
    return masked


def read_secret(source: SecretSource) -> str:
    """Return the secret that *source* names. Raises ValueError when it is not there."""
    if source.env:
        if source.env not in os.environ:
            raise ValueError(f"the environment has no variable {source.env}, where a secret should be")
        return os.environ[source.env]
    try:
        return Path(source.file).expanduser().read_text().strip()
    except OSError as error:
        raise ValueError(f"the file {source.file} with a secret cannot be read: {error.strerror}") from None


def _as_utf8(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _run(call: Call, secrets: Secrets, hidden: list[str]) -> dict[str, Any]:
    from chaoslib.activity import ensure_activity_is_valid, run_activity
    from chaoslib.configuration import load_configuration
    from chaoslib.provider import process

    process.decode_bytes = _as_utf8  # it guesses, and takes a few ASCII characters for UTF-16
    _set_context(call.surroundings.context)
    configuration = load_configuration(dict(call.surroundings.configuration))
    hidden += [str(value) for name, value in configuration.items() if is_secret_name(name)]
    activity = as_chaos_toolkit(call)
    ensure_activity_is_valid(activity)
    output = run_activity(activity, configuration, secrets)
    return {"output": output, "good": is_good(call, output, configuration, secrets)}


def _set_context(context: str) -> None:
    """Point Kubernetes clients at *context*, or at nothing: the current context alone is never touched."""
    if context:
        os.environ["KUBERNETES_CONTEXT"] = context
    else:
        os.environ["KUBECONFIG"] = os.devnull
        for name in ("KUBERNETES_CONTEXT", "KUBERNETES_HOST", "CHAOSTOOLKIT_IN_POD"):
            os.environ.pop(name, None)


def as_chaos_toolkit(call: Call) -> dict[str, Any]:
    """Return the activity as chaoslib wants it."""
    activity = call.activity
    provider = activity.provider.model_dump(mode="json", exclude_none=True)
    if isinstance(activity.provider, HttpProvider):
        provider.setdefault("timeout", activity.timeout_s)  # requests would wait for ever
    if not provider["secrets"]:
        del provider["secrets"]
    found: dict[str, Any] = {"type": "action", "name": activity.name or "activity", "provider": provider}
    if activity.tolerance is not None:
        found |= {"type": "probe", "tolerance": activity.tolerance}
    return found


def is_good(call: Call, output: Any, configuration: dict[str, Any], secrets: Secrets) -> bool:
    """True when *output* lies within the tolerance; without one, when it does not say that something failed.

    chaoslib itself takes a program's exit status and an HTTP error for success.
    """
    tolerance = call.activity.tolerance
    if tolerance is not None:
        return _within(tolerance, output, configuration, secrets)
    if isinstance(call.activity.provider, HttpProvider):
        return bool(output["status"] < 400)
    if isinstance(call.activity.provider, ProcessProvider):
        return bool(output["status"] == 0)
    return output is not False


def _within(tolerance: Any, output: Any, configuration: dict[str, Any], secrets: Secrets) -> bool:
    from chaoslib import substitute
    from chaoslib.hypothesis import within_tolerance

    kind = tolerance.get("type") if isinstance(tolerance, dict) else None
    if kind == "not":
        return not _within(tolerance["tolerance"], output, configuration, secrets)
    if kind in OWN:
        return True  # the runner compares with the answer from before
    if isinstance(tolerance, str):
        tolerance = substitute(tolerance, configuration, secrets)
    return bool(within_tolerance(tolerance, output, configuration=configuration, secrets=secrets))


def mask(value: Any, hidden: list[str]) -> Any:
    """Return *value* with every one of *hidden* in its texts replaced by ``***``."""
    if isinstance(value, str):
        for secret in hidden:
            if len(secret) >= LEAST:
                value = value.replace(secret, HIDDEN)
        return value
    if isinstance(value, dict):
        return {mask(key, hidden): mask(item, hidden) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [mask(item, hidden) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else mask(repr(value), hidden)


if __name__ == "__main__":
    sys.exit(main())
