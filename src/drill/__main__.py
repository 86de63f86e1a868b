"""``python -m drill`` and the console script."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    from drill.cli.app import main as run

    sys.exit(run())


if __name__ == "__main__":
    main()
