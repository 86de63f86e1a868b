"""Where ``drill.toml`` is looked for. Apart from what is in it, because finding it must cost next to nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from drill.core.errors import UsageError

FILE = "drill.toml"
VARIABLE = "DRILL_CONFIG"


def find_file(environ: Mapping[str, str], cwd: Path) -> Path | None:
    """Return the file in force: $DRILL_CONFIG, else in *cwd* or a parent, else the user's; None: there is none.

    Raises UsageError when $DRILL_CONFIG names a file that is not there.
    """
    import platformdirs

    if named := environ.get(VARIABLE):
        path = Path(named).expanduser()
        if not path.is_file():
            raise UsageError(
                f"${VARIABLE} names {named}, and that is no file", hint=f"unset {VARIABLE}, or correct it"
            )
        return path
    folders = (cwd, *cwd.parents, Path(platformdirs.user_config_path("drill")))
    return next((folder / FILE for folder in folders if (folder / FILE).is_file()), None)
