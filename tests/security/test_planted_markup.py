"""Markup planted in every field that comes from outside never becomes more than text, in any page that drill makes.

Each page is opened in a real Chromium twice: as it is (its own policy has nothing to stop), and without its policy, so
that escaping alone must hold. A control shows that the payload would run where it is not escaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from drill.gameday import report as gameday
from drill.history import coverage_text
from drill.history.coverage import Coverage, coverage
from drill.history.index import PastRun
from drill.report.html import to_html
from drill.report.markdown import to_markdown
from drill.report.model import ActionItem, Report
from drill.training import commands as c
from drill.web import serve
from gameday.test_conduct import Players, hold, read_events, read_progress, stage, start
from history.test_history import GROUPS
from report.test_report import report_of
from security.planting import LINK, PAYLOAD, RUN, fields_reached, planted
from verify.journals import END, GOOD, STRANGER, T0, WATCHDOG, firing
from web.browsing import Watched, browser
from web.scripted import ScriptedStage

pytestmark = pytest.mark.browser
POLICY = re.compile(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>")
ACTIVE = """() => {
  const leads = ["href", "src", "xlink:href", "action", "formaction", "data", "poster", "background"];
  return [...document.querySelectorAll("*")].flatMap((node) => [...node.attributes].filter(({name, value}) =>
      name.startsWith("on") || name === "srcdoc" || (leads.includes(name) && /^\\s*(javascript|data:text|vbscript):/i.test(value)))
    .map(({name, value}) => `${node.tagName} ${name}=${value.slice(0, 60)}`));
}"""
"""Attributes that run something, or lead to something that runs."""
TOUCH = """() => {
  const leads = (node) => node.tagName === "A" && ["http:", "https:", "file:"].includes(node.protocol);
  for (const node of document.querySelectorAll("*")) for (const kind of ["mouseover", "focus", "click"])
    if (!(kind === "click" && leads(node))) node.dispatchEvent(new MouseEvent(kind, {bubbles: false, cancelable: true}));
}"""
"""Hovers, focuses and clicks everything; links that lead to a page are left, or the test would be elsewhere."""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with browser(tmp_path_factory.mktemp("chromium")) as watched:
        yield watched


@pytest.fixture
def watched(chromium: Watched) -> Iterator[Watched]:
    chromium.mistakes.clear()
    chromium.requests.clear()
    yield chromium
    for page in list(chromium.context.pages):
        page.close()


def run_report() -> Report:
    """A report with something in every list: strangers, allowed alerts, differences, action items."""
    world = replace(GOOD, spans=(*GOOD.spans, firing(STRANGER, 20, 30), firing(WATCHDOG, 1, END - 10)), clean=False)
    report = report_of(world)
    item = ActionItem(title="t", owner="o", due="2026-12-01", why="w")
    rows = tuple(row.model_copy(update={"link": "http://127.0.0.1/graph"}) for row in report.timeline)
    return report.model_copy(
        update={"action_items": (item,), "timeline": rows, "reasons": ("r",), "notes": ("n",), "tags": ("t",)}
    )


def day_report(where: Path) -> gameday.GamedayReport:
    folder = where / "20260101T000000Z-day"
    with start(folder, "a", "b") as journal:
        hold(journal, stage(Players(b="fail"), []))
    report = gameday.build(folder.name, read_events(folder)[0], read_progress(folder))
    assert report is not None
    step = report.steps[0].model_copy(
        update={"recovered": ("r",), "parameters": {"service": "s"}, "action_items": ("i",), "earlier_runs": ("e",)}
    )
    check = gameday.e.Check(check="c", level="block", text="t", fix="f")
    return report.model_copy(
        update={
            "steps": (step, *report.steps[1:]),
            "people": (("n", "r"),),
            "approvals": (("r", "n"),),
            "checks": (check,),
        }
    )


def matrix() -> Coverage:
    return coverage(GROUPS, [PastRun("20260101T000000Z-a", T0, run_report())], T0 + 86400)


def rendered(markdown: str) -> str:
    """Markdown as a lenient renderer shows it: with raw HTML let through."""
    renderer = MarkdownIt("commonmark", {"html": True}).enable("table")
    renderer.validateLink = lambda _: True  # type: ignore[method-assign]
    return f"<!doctype html><html><body>{renderer.render(markdown)}</body></html>"


PAGES: dict[str, Callable[[Path, str], str]] = {
    "report.html": lambda _, text: to_html(planted(run_report(), text)),
    "report.md": lambda _, text: rendered(to_markdown(planted(run_report(), text))),
    "gameday.html": lambda where, text: gameday.to_html(planted(day_report(where), text)),
    "gameday.md": lambda where, text: rendered(gameday.to_markdown(planted(day_report(where), text))),
    "coverage.html": lambda _, text: coverage_text.to_html(planted(matrix(), text)),
}


def dead(page: Any) -> None:
    """Touch everything, and see that nothing has run and nothing could."""
    page.evaluate(TOUCH)
    page.wait_for_timeout(150)
    assert page.evaluate("window.planted") is None
    assert page.evaluate(ACTIVE) == []
    assert page.evaluate("document.querySelectorAll('iframe, object, embed, img').length") == 0


@pytest.mark.parametrize("policy", [True, False], ids=["as it is", "without its policy"])
@pytest.mark.parametrize("what", [PAYLOAD, LINK], ids=["markup", "address"])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_planted_runs(name: str, what: str, policy: bool, watched: Watched, tmp_path: Path) -> None:
    """No script, no handler, no link that runs; no dialog, no violation of the policy, no request to elsewhere."""
    text = PAGES[name](tmp_path, what)
    assert "window.planted" in text
    (tmp_path / "page.html").write_text(text if policy else POLICY.sub("", text))
    page = watched.open(f"file://{tmp_path}/page.html")
    dead(page)
    assert page.evaluate("document.scripts.length") == 0
    assert watched.mistakes == []
    assert watched.strangers == []


def test_the_payload_would_run_where_it_is_not_escaped(watched: Watched, tmp_path: Path) -> None:
    """The control: the same text as markup runs in many ways, and the policy of our pages would stop them all."""
    policy = POLICY.search(to_html(run_report()))
    assert policy is not None
    for head, runs in (("", True), (policy[0], False)):
        (tmp_path / "page.html").write_text(
            f"<!doctype html><html><head>{head}</head><body>{PAYLOAD}</body></html>"
        )
        page = watched.open(f"file://{tmp_path}/page.html")
        page.wait_for_timeout(300)
        assert bool(page.evaluate("window.planted")) is runs
        assert page.evaluate(ACTIVE) != []
    assert any("Content Security Policy" in one for one in watched.mistakes)


def test_the_payload_is_really_everywhere(tmp_path: Path) -> None:
    """Fields that people, files and servers fill are all reached; those left out hold no free text."""
    reached = fields_reached(planted(run_report()))
    for name in ("headline", "scenario", "title", "hypothesis", "owner", "service", "target", "runbook", "link", "query",
                 "reasons", "notes", "tags", "why", "slo", "receivers", "alertname"):  # fmt: skip
        assert name in reached, sorted(reached)
    reached = fields_reached(planted(day_report(tmp_path)))
    for name in (
        "title",
        "goal",
        "headline",
        "report",
        "people",
        "approvals",
        "recovered",
        "text",
        "fix",
        "action_items",
    ):
        assert name in reached, sorted(reached)
    reached = fields_reached(planted(matrix()))
    for name in ("alertname", "severity", "scenario", "service", "run", "scenarios", "runbook_url", "file"):
        assert name in reached, sorted(reached)


@pytest.mark.parametrize("role", ["trainee", "facilitator"])
def test_nothing_planted_runs_in_the_training_pages(role: str, watched: Watched) -> None:
    """Labels, alerts, log lines, runbook, notes, names: text in every tab, and the policy has nothing to stop."""
    played = ScriptedStage(evil=PAYLOAD)
    played.advance(120)
    played.trainee_does(c.Acknowledge())
    played.trainee_does(c.Suspect(text=PAYLOAD, component=PAYLOAD[:200]))
    played.trainee_does(c.AskHint())
    played.trainee_does(c.Note(text=PAYLOAD))
    played.facilitator_does(c.Whisper(text=PAYLOAD))
    played.facilitator_does(c.FacilitatorNote(text=PAYLOAD))
    with serve(played) as served:
        page = watched.open(getattr(served, f"{role}_url"))
        page.wait_for_selector("#link[data-state=live]", state="attached")
        played.facilitator_does(c.Whisper(text=PAYLOAD))  # comes as a toast
        page.wait_for_function("(run) => document.body.innerText.includes(run)", arg=RUN)
        for tab in page.query_selector_all(".tabs [data-tab]"):
            if tab.is_visible():
                tab.click()
                page.wait_for_timeout(100)
        assert page.evaluate("window.planted") is None
        assert page.evaluate(ACTIVE) == []
        assert (
            page.evaluate("document.querySelectorAll('iframe, object, embed, img, script:not([src])').length") == 0
        )
        played.facilitator_does(c.RealIncident(reason=PAYLOAD))
        page.wait_for_function("(run) => document.querySelector('#alarm').innerText.includes(run)", arg=RUN)
        page.wait_for_selector("#tab-debrief:visible")
        page.click("#tab-debrief")
        page.wait_for_function(
            "(run) => document.querySelector('#debrief').innerText.includes(run)", arg="window.planted"
        )
        assert page.evaluate("window.planted") is None
        assert page.evaluate(ACTIVE) == []
    assert watched.mistakes == []
    assert watched.strangers == []


def test_a_planted_link_is_no_link_in_the_training_pages(watched: Watched) -> None:
    """What a stage calls a link is one only when it leads to the web; so is one in a runbook."""
    played = ScriptedStage(evil=f"\n\n[press me]({LINK})\n\n")
    played.advance(120)
    with serve(played) as served:
        page = watched.open(served.trainee_url)
        page.wait_for_selector("#link[data-state=live]", state="attached")
        page.click(".tabs [data-tab=runbook]")
        page.wait_for_function("() => document.querySelector('#runbook').innerText.includes('press me')")
        assert (
            page.evaluate("[...document.links].map((one) => one.protocol).filter((one) => !one.startsWith('http'))")
            == []
        )
        said = page.evaluate(
            """async () => { const {link} = await import("./assets/dom.js");
            return ["javascript:alert(1)", " JAVASCRIPT:alert(1)", "data:text/html,x", "file:///etc/passwd", "//x", "x", "http://ok/"]
              .map((address) => link("name", address).tagName); }"""
        )
    assert said == ["SPAN"] * 6 + ["A"]
    assert watched.mistakes == []
