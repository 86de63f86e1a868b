"""The parts of a postmortem that only people can write: in ``people.md`` beside the run, never in a report file.

Reports are made anew from the journal again and again; this file is only ever written by people, and by
:func:`begin` where there is none yet, with what is known before they come. What stands under one of the known
headings is theirs, word for word.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path

FILE = "people.md"
ROLES = "Roles"
OPEN_PARTS = (
    (ROLES, "Who had which role: incident commander, operations, communication, scribe, facilitator?"),
    ("What surprised us", "What did nobody expect, in the system, in the alerts, among the people?"),
    ("What went well", "What helped, and should be kept?"),
    ("Decisions", "Who decided what, when, knowing what at that time?"),
    ("Lessons", "What do we do differently from now on?"),
)
"""Title and question of each part."""
MAX_BYTES = 2**20
_HEADING = re.compile(r"^## (.+?)\s*$", re.MULTILINE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


def read_people(run_dir: Path) -> dict[str, str]:
    """Return what people wrote under each known heading; parts without a word are left out.

    What stands above the first heading, or under one that is not known, counts as notes of people as well and is
    returned under its own heading (``Notes`` without one): nothing they wrote is dropped.
    """
    try:
        with (run_dir / FILE).open("rb") as file:
            text = file.read(MAX_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return {}
    return parts_of(text)


def parts_of(text: str) -> dict[str, str]:
    """The same, of a text."""
    pieces = _HEADING.split(_COMMENT.sub("", text.replace("\r\n", "\n")))
    top = re.sub(r"\A\s*# .*", "", pieces[0])
    found = {"Notes": top.strip()}
    for title, body in zip(pieces[1::2], pieces[2::2], strict=True):
        found[title] = f"{found[title]}\n\n{body.strip()}".strip() if title in found else body.strip()
    order = {title: number for number, (title, _) in enumerate(OPEN_PARTS)}
    kept = sorted(((title, body) for title, body in found.items() if body), key=lambda one: order.get(one[0], 99))
    return dict(kept)


def template(run: str, written: Mapping[str, str]) -> str:
    """The file to edit: every part with its question as a comment, and what is *written* already."""
    lines = [f"# Postmortem of {run}: the people's part", ""]
    questions = dict(OPEN_PARTS)
    for title in dict.fromkeys([*questions, *written]):
        lines += [f"## {title}", ""]
        if title in questions:
            lines += [f"<!-- {questions[title]} -->", ""]
        if title in written:
            lines += [written[title], ""]
    return "\n".join(lines)


def begin(run_dir: Path, known: Mapping[str, str]) -> None:
    """Write the file with what is *known* already, by heading; one that is there is left alone. Raises OSError."""
    with contextlib.suppress(FileExistsError), (run_dir / FILE).open("x", encoding="utf-8") as file:
        file.write(template(run_dir.name, known))
