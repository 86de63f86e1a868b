"""All runs below an output directory, in an sqlite index that is only a cache.

The runs' own files are the truth: the index is brought up to date whenever it is opened, made anew when it is
damaged, and kept in memory when it cannot be written. A run without ``report.json`` is judged from its journal.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from drill.core.clock import parse_rfc3339
from drill.journal.journal import read_journal
from drill.plan.model import Plan
from drill.report.build import build
from drill.report.model import Report
from drill.verify import judge

FILE = ".index.sqlite"
VERSION = 1
"""``user_version`` of the index; another one is made anew."""
TABLES = """
CREATE TABLE runs (
    name TEXT PRIMARY KEY, stamp TEXT NOT NULL, scenario TEXT NOT NULL, service TEXT NOT NULL,
    target TEXT NOT NULL, verdict TEXT NOT NULL, exit_code INTEGER NOT NULL, started_at REAL NOT NULL,
    finished_at REAL, fast_forward REAL NOT NULL, sha256 TEXT NOT NULL, report TEXT NOT NULL
);
CREATE INDEX by_scenario ON runs (scenario, service, started_at);
"""


@dataclass(frozen=True)
class PastRun:
    """One run. ``name`` is its directory's below the output directory; times are Unix seconds."""

    name: str
    started_at: float
    report: Report

    @property
    def subject(self) -> tuple[str, str]:
        """What was drilled: scenario and service."""
        return self.report.scenario, self.report.service


class Index:
    """The index of the runs below *out*. Opening it reads what is new; close it, or use ``with``."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.unreadable: list[str] = []
        self._db = _open(out)
        self._refresh()

    def runs(self) -> Sequence[PastRun]:
        """Return all runs that have a report, oldest first."""
        rows = self._db.execute("SELECT name, started_at, report FROM runs ORDER BY started_at, name")
        return [PastRun(name, at, Report.model_validate_json(text)) for name, at, text in rows]

    def close(self) -> None:
        """Close the index; closing twice is harmless."""
        self._db.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _refresh(self) -> None:
        known = dict(self._db.execute("SELECT name, stamp FROM runs"))
        there = {path.name: path for path in _run_dirs(self.out)}
        gone = [(name,) for name in known if name not in there]
        with self._db:
            self._db.executemany("DELETE FROM runs WHERE name = ?", gone)
            for name, path in sorted(there.items()):
                stamp = _stamp(path)
                if known.get(name) != stamp:
                    self._read(name, path, stamp)

    def _read(self, name: str, path: Path, stamp: str) -> None:
        self._db.execute("DELETE FROM runs WHERE name = ?", (name,))
        report = read_report(path)
        if report is None:
            self.unreadable.append(name)
            return
        started = parse_rfc3339(report.started_at) if report.started_at else 0.0
        finished = parse_rfc3339(report.finished_at) if report.finished_at else None
        row = (
            name, stamp, report.scenario, report.service, report.target, report.verdict, report.exit_code, started,
            finished, report.windows.fast_forward, report.source_sha256, report.model_dump_json(by_alias=True),
        )  # fmt: skip
        self._db.execute(f"INSERT INTO runs VALUES ({', '.join('?' * len(row))})", row)  # nosec B608 - only question marks


def _open(out: Path) -> sqlite3.Connection:
    if not out.is_dir():
        return _fresh(":memory:")
    file = out / FILE
    for _ in range(2):
        with contextlib.suppress(sqlite3.Error):
            return _usable(file)
        with contextlib.suppress(OSError):
            file.unlink()
    return _fresh(":memory:")


def _usable(file: Path) -> sqlite3.Connection:
    """Open *file*, made anew where it is of another version. Raises sqlite3.Error when it cannot be used."""
    db = sqlite3.connect(file, timeout=10)
    try:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, VERSION):
            raise sqlite3.DatabaseError("another version")
        if version == 0:
            db.executescript("BEGIN IMMEDIATE;" + TABLES + f"PRAGMA user_version = {VERSION}; COMMIT;")
        db.execute("SELECT count(*) FROM runs").fetchone()
    except BaseException:
        db.close()
        raise
    return db


def _fresh(where: str) -> sqlite3.Connection:
    db = sqlite3.connect(where)
    db.executescript(TABLES)
    return db


def _run_dirs(out: Path) -> Iterator[Path]:
    if out.is_dir():
        for path in out.iterdir():
            if (path / "journal.jsonl").is_file():
                yield path


def _stamp(path: Path) -> str:
    """Changes whenever the report, or without one the journal, does."""
    for name in ("report.json", "journal.jsonl"):
        with contextlib.suppress(OSError):
            stat = (path / name).stat()
            return f"{name} {stat.st_mtime_ns} {stat.st_size}"
    return ""


def read_report(path: Path) -> Report | None:
    """Return a run's report: its ``report.json``, else judged anew from plan and journal; None for neither."""
    with contextlib.suppress(OSError, ValidationError):
        return Report.model_validate_json((path / "report.json").read_bytes())
    try:
        plan = Plan.model_validate_json((path / "plan.json").read_bytes())
        journal = read_journal(path / "journal.jsonl")
    except (OSError, ValidationError):
        return None
    return build(plan, journal.events, judge(plan, journal.events)) if journal.events else None
