"""A drill that belongs to a Chaos Toolkit experiment: ``python -m drill.chaostoolkit.held ARGUMENTS``.

The command line of drill, and one thing more: when standard input ends because the experiment's process died, the
run is aborted, its undo included. Nobody would be left to read the alerts.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from drill.cli.app import main


def _watch() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_watch, name="drill-watch-chaos", daemon=True).start()
    sys.exit(main())
