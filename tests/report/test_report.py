"""The report says what the verdict found, in every form, and nothing in it can break out of its form."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest

from drill.core.errors import Unavailable
from drill.core.observations import RuleStatus
from drill.journal.events import AbortRequested, Event, Preflight, RunStarted
from drill.report import Report, build, write_all
from drill.report.charts import WIDE, chart
from drill.report.html import safe_link, to_html
from drill.report.json_schema import report_schema
from drill.report.junit import to_junit
from drill.report.markdown import code, escape, to_markdown
from drill.verify import judge
from verify.journals import END, GOOD, PAGE, STRANGER, T0, WATCHDOG, World, firing, journal, moved, plan
from verify.mutants import ALERT_MUTANTS, OUTCOME_MUTANTS

ROOT = Path(__file__).parents[2]
WORLDS: dict[str, World] = {
    "good": GOOD,
    **{name: world for name, (_, world) in ALERT_MUTANTS.items()},
    **{name: world for name, (_, _, world) in OUTCOME_MUTANTS.items()},
}


def report_of(world: World = GOOD) -> Report:
    events = journal(world)
    return build(plan(), events, judge(plan(), events))


def test_the_schema_in_the_tree_is_the_models() -> None:
    """``schemas/report.v1.json`` is exported from the model; write it anew when this fails."""
    committed = (ROOT / "schemas" / "report.v1.json").read_text()
    assert committed == report_schema(), "write drill.report.json_schema.report_schema() to schemas/report.v1.json"


@pytest.mark.parametrize("name", WORLDS)
def test_every_report_keeps_the_contract(name: str) -> None:
    """report.json of any run is valid by its schema, and rendering it raises nothing."""
    report = report_of(WORLDS[name])
    document = json.loads(report.to_json())
    jsonschema.validate(document, json.loads(report_schema()))
    assert Report.model_validate(document) == report
    assert report.headline in unescape(to_html(report)).replace("\N{NO-BREAK SPACE}", " ")
    assert to_markdown(report).startswith(f"# {report.verdict.upper()}: ")
    ElementTree.fromstring(to_junit([report]))


def test_an_expected_alert_that_no_rule_knows_is_reported_by_what_was_expected() -> None:
    report = report_of()
    unknown = report.alerts[0].model_copy(update={"labels": {}})
    page = to_html(report.model_copy(update={"alerts": (unknown,)}))
    assert "sloth_id=" in unescape(page)


@pytest.mark.parametrize("count", [0, 1, 3, 9, 40])
def test_a_journal_cut_anywhere_can_be_reported(count: int) -> None:
    """A run that died early still gets its report, never a pass."""
    events = journal()[:count]
    report = build(plan(), events, judge(plan(), events))
    jsonschema.validate(json.loads(report.to_json()), json.loads(report_schema()))
    assert report.verdict != "pass"
    assert f"<title>{report.verdict.upper()}: " in to_html(report)


def test_the_contract_has_the_fields_promised() -> None:
    """The names other programs rely on are there, with times in server time."""
    document = json.loads(report_of().to_json())
    assert document["schema"] == "drill.report/v1"
    assert document["verdict"] == "pass"
    assert document["reasons"] == []
    assert (document["scenario"], document["target"]) == ("latency-spike", "sandbox")
    assert document["windows"]["fast_forward"] == 60
    (injection,) = document["injections"]
    assert injection["targets"] == ["checkout-0", "checkout-1", "checkout-2"]
    assert injection["effect"]["measured"] == 403
    assert (injection["effect"]["expected"], injection["effect"]["unit"], injection["clean"]) == (400, "ms", True)
    (alert,) = document["alerts"]
    assert alert["predicted"] | {"basis": ""} == {
        "earliest": "2026-11-23T21:40:06.000Z", "latest": "2026-11-23T21:40:11.900Z", "basis": "",
        "after_s": [4.6, 10.5],
    }  # fmt: skip
    times = {name: alert[name][-6:-1] for name in ("pending_at", "firing_at", "delivered_at", "resolved_at")}
    assert times == {"pending_at": "7.300", "firing_at": "9.300", "delivered_at": "9.900", "resolved_at": "6.300"}
    assert document["budget"] == {"slo": "checkout-latency", "spent_percent": 1.12, "remaining_percent": 98.71}
    assert document["unexpected_alerts"] == []
    offsets = [row["offset_s"] for row in document["timeline"]]
    assert offsets == sorted(offsets)


def test_a_pass_is_told_in_one_sentence() -> None:
    """The on-call engineer reads one sentence with all four times, and which windows were tested."""
    report = report_of()
    assert report.headline == (
        "The page for checkout latency fired 7.9 s after users were slow, inside its predicted 4.6–10.5 s, "
        "reached pagerduty 0.6 s later and resolved 5.7 s after the fault ended."
    )
    first = to_markdown(report).splitlines()[:5]
    assert first[0] == "# PASS: Latency spike · checkout"
    assert report.headline in first[2]
    assert first[4].startswith("Tested in fast-forward ×60: page 14.4× over 1m and 5s")
    assert first[4].endswith("In production: 1h/5m, 6h/30m.")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fires after its interval", "fired too late: 28.6 s after users were slow, predicted 4.6–10.5 s"),
        ("never fires", "never fired, although users were slow"),
        ("is silenced", "nobody was told: suppressed by silence 0f3c"),
        ("is routed to another receiver", "nobody was told: went to slack instead of pagerduty"),
        ("resolves because traffic stopped", "its end is no recovery"),
        ("does not resolve", "did not resolve as it should"),
        ("there is no sink", "is not judged: there is no notification sink"),
        ("something else fires", "PaymentDown (payment, page) fired although nobody expected it"),
        ("somebody aborts", "ended before it could prove anything: aborted by user: Ctrl-C"),
        ("something is left behind", "run 'drill recover' now"),
    ],
)
def test_the_headline_names_the_trouble(name: str, words: str) -> None:
    """The most important thing is in the first sentence."""
    assert words in report_of(WORLDS[name]).headline


def test_action_items_go_to_the_owner_of_the_rule() -> None:
    """A late page is drafted for the team its rule names, due within a week; the dead runbook too."""
    rule = RuleStatus(name=PAGE["alertname"], labels={"team": "payments"}, annotations={}, query="1 > 0", health="ok",
                      last_evaluation=T0, interval_s=1)  # fmt: skip
    events = [
        event.with_(rules=(rule.with_(labels={}, annotations={"owner": "payments"}),))
        if isinstance(event, Preflight) else event
        for event in journal(moved(GOOD, PAGE, 30.0, 45.3))
    ]  # fmt: skip
    items = build(plan(), events, judge(plan(), events)).action_items
    assert [(item.owner, item.due) for item in items] == [("payments", "2026-11-30"), ("payments", "2026-12-07")]
    assert "fire in time" in items[0].title
    assert "runbook" in items[1].title


def test_a_clean_pass_asks_for_nothing() -> None:
    """No action item without a reason."""
    assert report_of().action_items == ()


def test_junit_counts_what_ci_needs() -> None:
    """A pass is green; a failing alert is a failure; an unknown is an error, never green."""

    def counts(world: World) -> tuple[str | None, ...]:
        root = ElementTree.fromstring(to_junit([report_of(world)]))
        return root.get("tests"), root.get("failures"), root.get("errors")

    assert counts(GOOD) == ("5", "0", "0")
    assert counts(ALERT_MUTANTS["fires after its interval"][1]) == ("5", "2", "0")
    assert counts(OUTCOME_MUTANTS["something else fires"][2]) == ("5", "2", "0")
    assert counts(OUTCOME_MUTANTS["something is left behind"][2]) == ("5", "2", "0")
    aborted = replace(GOOD, extra=((20.0, AbortRequested(by="user", reason="Ctrl-C")),))
    assert counts(aborted) == ("5", "0", "1")
    for name, (verdict, world) in ALERT_MUTANTS.items():
        assert sum(map(int, filter(None, counts(world)[1:]))) > 0, (name, verdict)


def test_files_are_written_whole(tmp_path: Path) -> None:
    """All four files are there, and no draft is left."""
    write_all(tmp_path, plan(), journal())
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "junit.xml",
        "report.html",
        "report.json",
        "report.md",
    ]
    before = (tmp_path / "report.html").read_bytes()
    write_all(tmp_path, plan(), journal())
    assert (tmp_path / "report.html").read_bytes() == before


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    """A broken target keeps its draft out of sight."""
    (tmp_path / "report.json").mkdir()
    with pytest.raises(OSError, match=r"report\.json"):
        write_all(tmp_path, plan(), journal())
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_samples_before_the_drawn_time_are_left_out() -> None:
    """They would be heaped up at the edge of the chart, as a line straight up."""
    report = report_of()
    (series,) = report.series
    early = series.model_copy(
        update={
            "offset_s": (-900.0, *series.offset_s),
            "error_ratio": (1.0, *series.error_ratio),
            "burn_rates": {name: (99.0, *values) for name, values in series.burn_rates.items()},
        }
    )
    before, after = (chart(one, WIDE) for one in (report, report.model_copy(update={"series": (early,)})))
    paths = [re.findall(r'd="(M[^"]*)"[^>]*class="curve', drawn) for drawn in (before, after)]
    assert len(paths[0]) > 1
    starts = [float(re.match(r"M(\S+)", path)[1]) for path in paths[1]]  # type: ignore[index]
    assert min(starts) > WIDE.left
    assert [len(path) for path in paths[0]] == [len(path) for path in paths[1]]


EVIL = "<script>alert('x')</script>"
EVIL_URL = "javascript:alert(1)//"


FREE_TEXT = {
    "headline", "windows_line", "scenario", "title", "hypothesis", "owner", "runbook", "source_sha256", "service",
    "target", "run_id", "drill_version", "fault", "backend", "why", "id", "text", "query", "check", "fix", "slo",
    "receiver", "expected_receiver", "basis", "unit", "problem", "replica", "severity",
}  # fmt: skip
TEXT_LISTS = {"reasons", "notes", "tags", "targets", "receivers", "differences"}


def poisoned(value: object, key: str = "") -> object:
    """*value* with a planted script in every field that may hold any text, keys of maps included."""
    if isinstance(value, dict):
        if key in ("labels", "match", "parameters", "raw"):
            return {"alertname": EVIL, EVIL: EVIL}
        return {name: poisoned(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        if key in TEXT_LISTS:
            return [EVIL, "a|b`c` [x](http://evil) *d*"]
        return [poisoned(inner, "") for inner in value]
    if key == "link":
        return EVIL_URL
    return EVIL if key in FREE_TEXT and isinstance(value, str) else value


def poisoned_report() -> Report:
    world = replace(GOOD, spans=(*GOOD.spans, firing(STRANGER, 20, 30), firing(WATCHDOG, 1, END - 10)), clean=False)
    report = report_of(world)
    items = [{"title": EVIL, "owner": EVIL, "due": "2026-12-01", "why": EVIL}]
    document = poisoned(json.loads(report.to_json()))
    assert isinstance(document, dict)
    return Report.model_validate({**document, "action_items": items})


class Elements(HTMLParser):
    """Collects the names of elements and the attributes that load or run something."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.active: list[tuple[str, str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        loads = ("src", "href", "xlink:href", "srcset", "action", "data")
        self.active += [(tag, name, value) for name, value in attrs if name in loads or name.startswith("on")]


@pytest.mark.parametrize(("until", "said"), [(30.3, "before the fault ended"), (46.3, "after the fault ended")])
def test_when_a_page_resolved_is_a_time_before_or_after_the_faults_end(until: float, said: str) -> None:
    page = to_html(report_of(moved(GOOD, PAGE, 9.3, until))).replace("\N{NO-BREAK SPACE}", " ")
    facts = page[page.index("<dt>Resolved") : page.index("<dt>Error budget")]
    assert said in facts
    assert re.search(r"<dd>\d+\.\d s</dd>", facts), facts


def test_a_planted_script_stays_text_in_html() -> None:
    """Whatever a file, a label or a server says, the page has no script, no handler and loads nothing."""
    page = to_html(poisoned_report())
    assert "&lt;script&gt;" in page
    parser = Elements()
    parser.feed(page)
    assert "script" not in parser.names
    assert parser.active == [("link", "href", "data:,")]
    assert not re.search(r"url\(|@import", page)


def test_a_planted_script_stays_text_in_markdown() -> None:
    """No HTML, no link and no table cell comes out of a value."""
    text = to_markdown(poisoned_report())
    outside_code = re.sub(r"(`+)(?:(?!\1).)*\1", "", text)
    assert "<" not in outside_code
    assert "javascript:" not in text
    assert not re.search(r"(?<!\\)\]\(", outside_code)


def test_a_planted_script_stays_text_in_junit() -> None:
    """XML's own escaping holds, and characters XML cannot hold are replaced."""
    report = poisoned_report().model_copy(update={"scenario": "a\x00b\x1b[31m\ud800"})
    root = ElementTree.fromstring(to_junit([report]).encode("utf-8"))
    assert {element.tag for element in root.iter()} <= {
        "testsuites", "testsuite", "properties", "property", "testcase", "failure", "error",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("[x](y)", r"\[x\](y)"),
        ("line\nbreak", "line break"),
        ("`tick`", r"\`tick\`"),
    ],
)
def test_markdown_escapes(text: str, shown: str) -> None:
    """Each character with a meaning in Markdown is shown as it is."""
    assert escape(text) == shown


def test_code_spans_cannot_be_ended_from_inside() -> None:
    """The fence is longer than any run of backticks inside."""
    assert str(code("a `` b")) == "```a `` b```"
    assert str(code("`")) == "`` ` ``"


@pytest.mark.parametrize(
    ("link", "safe"), [("https://p/graph?x", True), ("javascript:x", False), ("data:x", False)]
)
def test_only_web_addresses_become_links(link: str, safe: bool) -> None:
    """A browser follows http and https only."""
    assert bool(safe_link(link)) is safe


def test_links_only_where_the_server_outlives_the_run() -> None:
    """Rows of a cluster's run link to its Prometheus; the sandbox's is gone."""
    assert not any(row.link for row in report_of().timeline)
    cluster = plan(target="kind-drill")
    events = journal()
    links = [row.link for row in build(cluster, events, judge(cluster, events)).timeline if row.link]
    assert links
    assert len(links) == len(build(cluster, events, judge(cluster, events)).timeline)
    assert any(link.startswith("http://127.0.0.1:9090/graph?g0.expr=ALERTS") for link in links)
    assert all(link.startswith("http://127.0.0.1:9090/graph?g0.expr=") for link in links)


def test_no_link_to_a_door_that_ends_with_the_run() -> None:
    def through_a_door(event: Event) -> Event:
        if not isinstance(event, RunStarted):
            return event
        return event.with_(endpoints=event.endpoints.with_(passing=(event.endpoints.prometheus,)))

    cluster, events = plan(target="kind-drill"), [through_a_door(event) for event in journal()]
    assert not any(row.link for row in build(cluster, events, judge(cluster, events)).timeline)


def test_unavailable_is_not_a_reason_to_fail() -> None:
    """The exit code of unknown is that of an unavailable server."""
    assert report_of(OUTCOME_MUTANTS["the runner dies"][2]).exit_code == Unavailable.exit_code
