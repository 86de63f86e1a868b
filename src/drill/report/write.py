"""Writing a run's report files, each whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from drill.journal.events import AnyEvent
from drill.plan.model import Plan
from drill.report.build import Beside, build
from drill.report.html import to_html
from drill.report.junit import to_junit
from drill.report.markdown import to_markdown
from drill.report.model import Report
from drill.report.people import read_people
from drill.runbook.records import read
from drill.verify import judge


def write_all(
    run_dir: Path, plan: Plan, events: Sequence[AnyEvent], closed: Mapping[str, str] | None = None
) -> Report:
    """Judge the run and write ``report.json``, ``report.md``, ``report.html`` and ``junit.xml`` into *run_dir*.

    Runbook steps and the people's parts that lie there are taken in; *closed* maps the title of an action item to
    the later run that closes it. A reader sees an old file or the new one, never half of one. Raises OSError when a
    file cannot be written.
    """
    beside = Beside(read(run_dir), read_people(run_dir), closed or {})
    report = build(plan, events, judge(plan, events), beside)
    files = {
        "report.json": report.to_json(),
        "report.md": to_markdown(report),
        "report.html": to_html(report),
        "junit.xml": to_junit([report]),
    }
    for name, text in files.items():
        write_whole(run_dir / name, text)
    return report


def write_whole(path: Path, text: str) -> None:
    """Write *text* beside *path*, sync it, then put it in its place. Raises OSError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("w", encoding="utf-8", newline="\n", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
