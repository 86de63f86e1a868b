"""Plays the runner of one fault: ``python -m bench.leaks.runner SANDBOX``, with an action as JSON on stdin.

Says ``ready``; does the action at ``go``; says ``applied`` or ``failed …``; undoes at ``release`` and says so.
Then it waits to be killed, its lease being renewed the way `drill run` does it.
"""

from __future__ import annotations

import sys

from drill.core.actions import ACTION, undo_of
from drill.core.errors import DrillError
from drill.target.sandbox import Sandbox


def main() -> None:
    action = ACTION.validate_json(sys.stdin.readline())
    sandbox = Sandbox.attach(sys.argv[1])
    print("ready", flush=True)
    for line in sys.stdin:
        try:
            sandbox.execute(action if line.strip() == "go" else undo_of(action))
            print("applied" if line.strip() == "go" else "released", flush=True)
        except DrillError as error:
            print(f"failed {error}", flush=True)


if __name__ == "__main__":
    main()
