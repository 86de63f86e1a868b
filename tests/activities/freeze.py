"""A driver of the tests' own: stops, continues and looks at a replica's processes in a sandbox, by their names.

``python freeze.py stop|continue|look SANDBOX REPLICA``; ``look`` prints the processes' states.
"""

import os
import signal
import sys
from pathlib import Path


def processes(sandbox: str, replica: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            named = (folder / "comm").read_text().strip() == replica[:15]
            if named and sandbox.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def main(what: str, sandbox: str, replica: str) -> None:
    found = processes(sandbox, replica)
    for pid in found:
        if what == "stop":
            os.kill(pid, signal.SIGSTOP)
        elif what == "continue":
            os.kill(pid, signal.SIGCONT)
        else:
            print(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0])
    if what == "stop" and not found:
        sys.exit(f"no process of {replica}")


if __name__ == "__main__":
    main(*sys.argv[1:])
