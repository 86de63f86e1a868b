"""`drill predict`: what every alert does in a scenario, or when one fires from numbers alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drill.cli.options import complete_scenarios, format_option, plan_options, settings_from
from drill.core.units import format_duration, format_ratio, parse_duration, parse_ratio

if TYPE_CHECKING:
    from drill.alerting.burnmath import Forecast
    from drill.cli.predicting import Predicted
    from drill.plan.model import PredictedAlert

SCENARIO_EPILOG = """\b
Examples:
  drill predict latency-spike --service checkout
  drill predict latency-spike --service checkout --real-time --history 30d
  drill predict high-error-rate --service shop --rules rules.yaml --alertmanager alertmanager.yaml
  drill predict high-error-rate --service shop --prometheus http://localhost:9090 \\
      --alertmanager http://localhost:9093   # the rules they have loaded
  drill predict high-error-rate --service shop --context prod     # the same, from drill.toml
  drill predict burn --help                  # numbers only, no scenario"""

EPILOG = """\b
Example:
  drill predict burn --objective 99.9 --factor 14.4 --long 1h --short 5m \\
      --error-ratio 5% --duration 25m --format json"""


class Unit(click.ParamType):  # type: ignore[type-arg]
    """A number with a unit, parsed by one of the functions of drill.core.units."""

    def __init__(self, name: str, parse: Callable[[str], float]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds or a fraction of 1; the parser's own words say what is wrong."""
        if isinstance(value, float):
            return value
        try:
            return self._parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _percentage(text: str) -> float:
    value = parse_ratio(text if text.rstrip().endswith("%") else f"{text}%")
    if not 0 < value < 1:
        raise ValueError(f"'{text}' is not an objective: it lies between 0 and 100, like 99.9")
    return value


DURATION, RATIO, OBJECTIVE = (
    Unit("DURATION", parse_duration),
    Unit("PERCENT", parse_ratio),
    Unit("PERCENT", _percentage),
)


class Subjects(click.Group):
    """``burn`` is a command; any other first word is a scenario's name or file."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the hidden command's name before a scenario."""
        first = args[0] if args else ""
        if first and first not in self.commands and first not in ("--help", "-h"):
            args = ["scenario", *args]
        return super().parse_args(ctx, args)


@click.group(cls=Subjects, epilog=SCENARIO_EPILOG, subcommand_metavar="SCENARIO|FILE [OPTIONS] | burn [OPTIONS]")
def command() -> None:
    """Say when alerts fire, at what price, and why not. Nothing is touched.

    With a scenario: every alert its faults touch, by the rules of the sandbox, of --rules, or of servers
    (`drill predict scenario --help` has the options). With `burn`: one alert from numbers alone.
    """


@command.command("scenario", epilog=SCENARIO_EPILOG)
@click.argument("scenario", metavar="SCENARIO|FILE", shell_complete=complete_scenarios)
@plan_options
@click.option(
    "--rules",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Your rule files (Prometheus or PrometheusRule), recordings included; windows are as in them.",
)
@click.option("--prometheus", metavar="URL", help="A Prometheus: its loaded rules and what it measures now count.")
@click.option(
    "--alertmanager",
    "alertmanagers",
    multiple=True,
    metavar="FILE|URL",
    help="Where receivers and group times come from: a configuration with --rules, every peer with --prometheus.",
)
@click.option("--history", "history_s", type=DURATION, help="Age of the series when the drill starts.")
@click.option("--scrape", "scrape_s", type=DURATION, help="Scrape interval.")
@click.option(
    "--baseline", type=RATIO, help="Share of bad requests before it; measured with --prometheus or a context."
)
@click.option(
    "--traffic", type=click.FloatRange(0), default=1.0, show_default=True, help="Traffic during / before it."
)
@click.option(
    "--replicas",
    type=click.IntRange(1, 1000),
    default=4,
    show_default=True,
    help="Replicas of services that only your rules know.",
)
@format_option("text", "json")
def scenario_(scenario: str, format_: str, **options: Any) -> int:
    """Predict every alert that SCENARIO's faults touch: whether, when and at what price it fires.

    firing and delivery count from the start of the fault's effect, resolution from its end. Exits 0.
    """
    import json

    from drill.cli.console import Console
    from drill.cli.predicting import Assumptions, predict

    peers, files = _urls_and_files(options.pop("alertmanagers"), options)
    names = ("rules", "prometheus", "history_s", "scrape_s", "baseline", "traffic", "replicas")
    said = {name: options.pop(name) for name in names}
    given = Assumptions(**said, alertmanagers=peers, alertmanager=files[0] if files else None)
    found = predict(scenario, settings_from(options), given)
    console = Console(machine=format_ == "json")
    console.data(json.dumps(_scenario_answer(found)) if format_ == "json" else _scenario_text(found))
    return 0


def _urls_and_files(said: Sequence[str], options: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[Path, ...]]:
    """Tell addresses of peers from a configuration's file. Raises UsageError where they do not fit the rest."""
    from drill.core.errors import UsageError

    urls = tuple(one for one in said if one.startswith(("http://", "https://")))
    files = tuple(Path(one) for one in said if one not in urls)
    if options["rules"] and options["prometheus"]:
        raise UsageError(
            "--rules and --prometheus exclude each other", hint="rules come from files or from a server"
        )
    if urls and not options["prometheus"]:
        raise UsageError("--alertmanager URL goes with --prometheus", hint="give the Prometheus that sends to it")
    if files and not options["rules"]:
        raise UsageError("--alertmanager goes with --rules", hint="give the rule files whose alerts it routes")
    if len(files) > 1:
        raise UsageError("--rules takes one Alertmanager configuration", hint="all peers of a cluster share it")
    return urls, files


def _scenario_answer(found: Predicted) -> dict[str, Any]:
    from drill.plan.compile import all_predicted

    plan = found.plan
    return {
        "scenario": plan.scenario,
        "target": plan.target,
        "fast_forward": plan.fast_forward,
        "history_s": round(plan.history_s, 3),
        "fault_s": [min(one.at_s for one in plan.injections), plan.end_s],
        "alerts": [_alert_answer(alert) for alert in all_predicted(plan)],
        "no_burn_rate_alerts": list(found.unread),
        "notes": list(found.notes),
    }


def _alert_answer(alert: PredictedAlert) -> dict[str, Any]:
    return {
        "alertname": alert.labels.get("alertname", ""),
        "sloth_id": alert.sloth_id,
        "severity": alert.severity,
        "labels": alert.labels,
        "windows_s": [alert.long_s, alert.short_s],
        "factor": alert.factor,
        "receivers": list(alert.receivers),
        "may_fire": alert.may_fire,
        "error_ratio": list(alert.error_ratio),
        "fires": alert.fires,
        "crossing_s": None if alert.crossing_s is None else _finite(alert.crossing_s),
        "firing_s": _pair(alert.firing_s),
        "delivered_s": _pair(alert.delivered_s),
        "resolved_s": _pair(alert.resolved_s),
        "budget_percent": round(alert.budget * 100, 6),
        "price_percent": round(alert.price * 100, 6),
        "why": alert.why,
    }


def _scenario_text(found: Predicted) -> str:
    from drill.cli.plan_text import prediction_lines, price_line, timeline, windows_line
    from drill.plan.compile import all_predicted

    plan = found.plan
    lines = [
        f"{plan.scenario}: {plan.title}",
        f"  {windows_line(plan)}",
        *(f"  {note}" for note in found.notes),
        "",
    ]
    alerts = all_predicted(plan)
    for alert in alerts:
        about = f"{alert.labels.get('alertname', '')} ({alert.sloth_id} {alert.severity})".replace(" )", ")")
        lines += [about, *(f"  {line}" for line in prediction_lines(alert))]
        if alert.fires:
            lines.append(f"  {price_line(alert)}")
    if not alerts:
        lines.append("no alert watches what these faults change")
    lines += ["", "Timeline", *(f"  {line}" for line in timeline(plan))]
    if found.unread:
        lines += ["", f"no burn-rate alerts, not predicted: {', '.join(found.unread)}"]
    return "\n".join(lines)


@command.command(epilog=EPILOG)
@click.option("--objective", type=OBJECTIVE, required=True, help="The SLO, in percent: 99.9.")
@click.option(
    "--factor", type=click.FloatRange(0, min_open=True), required=True, help="The burn-rate threshold: 14.4."
)
@click.option("--long", "long_s", type=DURATION, required=True, help="The long window: 1h.")
@click.option("--short", "short_s", type=DURATION, required=True, help="The short window: 5m.")
@click.option("--error-ratio", type=RATIO, required=True, help="Share of bad requests during the fault: 5%.")
@click.option("--duration", "duration_s", type=DURATION, required=True, help="How long the fault lasts.")
@click.option("--baseline", type=RATIO, default="0%", show_default=True, help="Share of bad requests before it.")
@click.option(
    "--traffic", type=click.FloatRange(0), default=1.0, show_default=True, help="Traffic during / before it."
)
@click.option("--history", "history_s", type=DURATION, default="30d", show_default=True, help="Age of the series.")
@click.option("--scrape", "scrape_s", type=DURATION, default="30s", show_default=True, help="Scrape interval.")
@click.option(
    "--interval", "interval_s", type=DURATION, default="30s", show_default=True, help="Evaluation interval."
)
@click.option("--for", "for_s", type=DURATION, default="0s", show_default=True, help="The rule's `for`.")
@click.option(
    "--keep-firing-for", "keep_firing_for_s", type=DURATION, default="0s", show_default=True, help="As in the rule."
)
@click.option("--chained", is_flag=True, help="Alert and recording rules are in different groups.")
@click.option(
    "--group-wait", "group_wait_s", type=DURATION, default="30s", show_default=True, help="As in the route."
)
@click.option(
    "--group-interval", "group_interval_s", type=DURATION, default="5m", show_default=True, help="As in the route."
)
@format_option("text", "json")
def burn(format_: str, group_wait_s: float, group_interval_s: float, **numbers: Any) -> int:
    """Say whether and when a multi-window burn-rate alert fires and resolves, and at what price.

    firing and delivery count from the fault's start, resolution from its end. Exits 0 whether it fires or not.
    """
    from drill.alerting.burnmath import delivered_s
    from drill.cli.console import Console

    found = _forecast(numbers)
    delivered = delivered_s(found.firing_s, group_wait_s, group_interval_s) if found.firing_s else None
    answer = _answer(found, delivered)
    console = Console(machine=format_ == "json")
    if format_ == "json":
        import json

        console.data(json.dumps(answer))
    else:
        console.data(_text(answer))
    return 0


def _forecast(numbers: dict[str, Any]) -> Forecast:
    from drill.alerting.burnmath import BurnCondition, Disturbance, forecast

    ratio = numbers.pop("error_ratio")
    names = ("duration_s", "baseline", "traffic", "history_s")
    disturbance = Disturbance(error_ratio=(ratio, ratio), **{name: numbers.pop(name) for name in names})
    return forecast(BurnCondition(**numbers), disturbance)


def _answer(found: Forecast, delivered: tuple[float, float] | None) -> dict[str, Any]:
    return {
        "fires": found.fires,
        "crossing_s": _finite(found.crossing_s),
        "firing_s": _pair(found.firing_s),
        "delivered_s": _pair(delivered),
        "resolved_s": _pair(found.resolved_s),
        "budget_percent": round(found.budget * 100, 6),
        "price_percent": round(found.price * 100, 6),
        "why": found.why,
    }


def _pair(interval: tuple[float, float] | None) -> list[float | None] | None:
    return [_finite(edge) for edge in interval] if interval else None


def _finite(seconds: float) -> float | None:
    """JSON knows no infinity: never is null."""
    return round(seconds, 3) if math.isfinite(seconds) else None


def _text(answer: dict[str, Any]) -> str:
    lines = ["fires" if answer["fires"] else "does not fire for certain" if answer["firing_s"] else "does not fire"]
    if answer["why"]:
        lines.append(f"  {answer['why']}")
    for name, of in (("firing_s", "start"), ("delivered_s", "start"), ("resolved_s", "end")):
        if answer[name]:
            low, high = answer[name]
            until = "never" if high is None else format_duration(high)
            lines.append(f"  {name.removesuffix('_s'):<9} {format_duration(low)} to {until} after the fault's {of}")
    lines.append(
        f"  budget    {format_ratio(answer['budget_percent'] / 100)} of the period's budget is burnt by the fault"
    )
    lines.append(f"  price     {format_ratio(answer['price_percent'] / 100)} is burnt before it can fire")
    return "\n".join(lines)
