"""`drill schedule`: a drill's schedule for whoever keeps the time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from drill.cli.options import complete_drills, moment

FORMS = ("k8s", "systemd", "crontab", "github", "ics")
EPILOG = """\b
Examples:
  drill schedule monthly-smoke --as crontab
  drill schedule q1-checkout --as ics > game-day.ics
  drill schedule monthly-smoke --as systemd --to ~/.config/systemd/user
  drill schedule monthly-smoke --as k8s --image registry/drill:0.1 | kubectl apply -f -"""


@click.command(epilog=EPILOG)
@click.argument("file", shell_complete=complete_drills)
@click.option("--as", "form", type=click.Choice(FORMS), required=True, help="Who keeps the time.")
@click.option("--path", metavar="PATH", help="Where the scheduler finds the drill file.")
@click.option("--image", default="drill:latest", show_default=True, help="Image of the CronJob.")
@click.option("--namespace", default="drill", show_default=True, help="Namespace of the CronJob.")
@click.option("--at", metavar="TIME", callback=moment, help="Write it as of this time instead of now.")
@click.option(
    "--to", type=click.Path(path_type=Path, file_okay=False), help="Write files there, not to the screen."
)
def command(file: str, form: str, to: Path | None, **options: Any) -> int:
    """Write FILE's schedule as Kubernetes CronJob, systemd timer, crontab line, GitHub workflow, or calendar.

    drill has no daemon. What is written starts `drill gameday run --if-due`, which looks at the schedule itself;
    a run that was missed is reported by `drill gameday status`, never made up for.
    """
    from drill.cli.console import Console

    console = Console()
    files = _files(file, form, options)
    if to is None:
        for number, (name, text) in enumerate(files.items()):
            if len(files) > 1:
                console.data(("\n" if number else "") + f"# ==> {name} <==")
            console.data(text.rstrip("\n") if form != "ics" else text.replace("\r\n", "\n").rstrip("\n"))
        return 0
    _write(files, to, console)
    return 0


def _files(file: str, form: str, options: Any) -> dict[str, str]:
    """Return what is to be written, by file name. Raises UsageError, ProblemsFound."""
    from datetime import UTC, datetime, timedelta

    from drill.cli.occasion import load_drill
    from drill.core.errors import UsageError
    from drill.gameday import artifacts, ics

    loaded = load_drill(file)
    drill = loaded.drill
    assert drill is not None
    if drill.schedule is None:
        raise UsageError(
            f"{drill.metadata.name} has no schedule", hint="schedule: {cron: 0 10 * * 2, timezone: UTC}"
        )
    now = options["at"] or datetime.now(UTC)
    here = str(loaded.path.resolve()) if form in ("crontab", "systemd") else file  # they start elsewhere
    path = options["path"] or here
    wanted = artifacts.Wanted(drill, drill.schedule, path, now, options["image"], options["namespace"])
    match form:
        case "k8s":
            return {f"{wanted.unit}.yaml": artifacts.k8s(wanted, loaded.document.text)}
        case "systemd":
            return artifacts.systemd(wanted)
        case "crontab":
            return {f"{wanted.unit}.crontab": artifacts.crontab(wanted)}
        case "github":
            return {f"{wanted.unit}.yml": artifacts.github(wanted)}
        case _:
            lasts = timedelta(hours=1) * max(1, len(drill.scenarios) // 2)
            try:
                return {f"{wanted.unit}.ics": ics.calendar(drill, drill.schedule, now, lasts)}
            except ValueError as error:
                raise UsageError(str(error)) from None


def _write(files: dict[str, str], to: Path, console: Any) -> None:
    from drill.core.errors import UsageError

    try:
        to.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (to / name).write_text(text, newline="")
            console.say(str(to / name))
    except OSError as error:
        raise UsageError(f"{to} cannot be written: {error.strerror or error}") from None
