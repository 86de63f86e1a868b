"""Directories of runs and game days below ``--out``: named by UTC time, never one that exists."""

from __future__ import annotations

import time
from pathlib import Path

from drill.core.errors import UsageError

MOST_A_SECOND = 99


def new_folder(out: Path, name: str) -> Path:
    """Make and return ``<UTC time>-<name>`` below *out*. Raises UsageError when that cannot be written."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    for suffix in ("", *(f"-{number}" for number in range(2, MOST_A_SECOND + 1))):
        folder = out / f"{stamp}-{name}{suffix}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise UsageError(f"cannot write to {out}: {error.strerror}", hint="choose another --out") from None
        return folder
    raise UsageError(f"too many of {name} were started in one second below {out}")
