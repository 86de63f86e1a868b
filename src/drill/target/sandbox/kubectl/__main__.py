"""Runs one command: ``python -m drill.target.sandbox.kubectl get pods``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from drill.target.sandbox import leftovers
from drill.target.sandbox.kubectl import changing, looking
from drill.target.sandbox.kubectl.sandbox_api import Api
from drill.target.sandbox.kubectl.words import Refused, split
from drill.target.sandbox.shell import VARIABLE

Verb = Callable[[Api, Sequence[str]], "str | tuple[str, int]"]
VERBS: dict[str, Verb] = {
    "get": looking.get, "describe": looking.describe, "logs": looking.logs, "top": looking.top,
    "exec": changing.exec_, "rollout": changing.rollout, "scale": changing.scale, "label": changing.label,
    "delete": changing.delete, "set": changing.set_, "patch": changing.patch, "cordon": changing.cordon,
    "uncordon": changing.cordon,
}  # fmt: skip


def main(words: Sequence[str]) -> int:
    """Run *words*; return the exit code."""
    sandbox = os.environ.get(VARIABLE, "")
    directory = leftovers.runtime_directory(sandbox) if sandbox else None
    try:
        if directory is None:
            raise Refused(f"the sandbox {sandbox or '(none)'} is gone; this kubectl talks to nothing else")
        text, code = _run(Api(directory / leftovers.CONTROL), sandbox, words)
    except Refused as error:
        sys.stderr.write(f"{error.kind_of_error}{error}\n")
        return 1
    except ValueError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(text)
    return code


def _run(api: Api, sandbox: str, words: Sequence[str]) -> tuple[str, int]:
    rest = list(words)
    before: list[str] = []
    while rest and rest[0].startswith("-"):  # kubectl -n default get pods
        before.append(rest.pop(0))
        if before[-1] in ("-n", "--namespace", "--context") and rest:
            before.append(rest.pop(0))
    if not rest or rest[0] in ("help", "options"):
        return f"kubectl of the sandbox {sandbox}. It knows: {', '.join(VERBS)}\n", 0
    verb, *operands = rest
    if verb == "config" and operands[:1] == ["current-context"]:
        return f"sandbox:{sandbox}\n", 0
    if verb == "version":
        return f"the kubectl of drill's sandbox {sandbox}: no Kubernetes behind it\n", 0
    if verb not in VERBS:
        raise Refused(f'the sandbox\'s kubectl does not know "{verb}"; it knows: {", ".join(VERBS)}')
    split(before, {}, verb)
    end = operands.index("--") if "--" in operands else len(operands)
    sub = 1 if verb in ("rollout", "set") else 0
    done = VERBS[verb](api, [*operands[:sub], *before, *operands[sub:end], *operands[end:]])
    return done if isinstance(done, tuple) else (done, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
