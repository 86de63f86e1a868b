"""Both pages in a real Chromium: a session from the page to its end, on a desk and on a phone, with a mouse and without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from drill.training import commands as c
from drill.web import Served, serve
from web.browsing import DESK, PHONE, Tunnel, Watched, browser, sticks_out
from web.scripted import ScriptedStage

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with browser(tmp_path_factory.mktemp("chromium")) as watched:
        yield watched


@pytest.fixture
def watched(chromium: Watched) -> Iterator[Watched]:
    """The browser; whatever goes wrong in a page, or leaves the machine, fails the test."""
    chromium.mistakes.clear()
    chromium.requests.clear()
    yield chromium
    for page in list(chromium.context.pages):
        page.close()
    assert chromium.mistakes == []
    assert chromium.strangers == []


@pytest.fixture
def stage() -> ScriptedStage:
    stage = ScriptedStage()
    stage.advance(50)
    return stage


@pytest.fixture
def served(stage: ScriptedStage) -> Iterator[Served]:
    with serve(stage) as served:
        yield served


def text(page: Any, selector: str) -> str:
    return str(page.inner_text(selector))


def until(page: Any, selector: str, words: str) -> None:
    """Wait until the element says *words*; fails after ten seconds."""
    page.wait_for_function(
        "([selector, words]) => document.querySelector(selector)?.innerText.includes(words)", arg=[selector, words]
    )


def live(page: Any) -> Any:
    page.wait_for_selector("#link[data-state=live]", state="attached")
    return page


def tab(page: Any, name: str) -> None:
    page.click(f".tabs [data-tab={name}]")


def test_a_trainee_goes_from_the_page_to_the_end(watched: Watched, served: Served, stage: ScriptedStage) -> None:
    """Quiet, paged, acknowledged; a cause, a hint and a note; a whisper and an inject arrive; given up, debrief."""
    page = live(watched.open(served.trainee_url))
    until(page, "#phase", "quiet")
    assert page.is_disabled("#acknowledge")
    assert "Nothing has paged you" in text(page, "#page-title")

    stage.advance(25)
    until(page, "#page-title", "Checkout answers are too slow")
    until(page, "#phase", "paged")
    assert page.title().startswith("● PAGE")
    assert "98.2×" in text(page, "#page-body")
    assert "alertname = CheckoutLatencyBudgetBurn" in text(page, "#page-body")

    page.click("#acknowledge")
    until(page, "#page-status", "acknowledged")
    assert stage.acknowledged_at

    page.fill("#suspect [name=component]", "checkout")
    page.fill("#suspect [name=text]", "packets to it are delayed")
    page.click("#suspect button")
    until(page, "#said", "checkout: packets to it are delayed")
    until(page, "#suspect .answer", "Noted.")
    assert page.input_value("#suspect [name=text]") == ""

    page.click("#hint")
    until(page, "#said", "Are the answers wrong, or only late?")
    until(page, "#hint", "2 left")

    page.fill("#record [name=text]", "scaled checkout to 6")
    page.click("#record [value=act]")
    until(page, "#said", "scaled checkout to 6")
    assert isinstance(stage.done[-1], c.Act)

    stage.facilitator_does(c.Whisper(text="look at one replica"))
    until(page, "#toasts", "look at one replica")
    until(page, "#said", "look at one replica")
    stage.facilitator_does(c.ReleaseInject(id="tickets"))
    until(page, "#said", "Support: 40 tickets on payment.")

    tab(page, "runbook")
    until(page, "#runbook", "slo:current_burn_rate:ratio")
    page.click("#runbook .jump")
    tab(page, "dashboard")

    page.click("#done")
    until(page, "#alarm", "The trainee ended it.")
    tab(page, "debrief")
    until(page, "#debrief", "Mitigated after 6 min 10 s.")
    assert [command.do for command in stage.done] == [
        "acknowledge", "suspect", "ask-hint", "act", "whisper", "release-inject", "done",
    ]  # fmt: skip


def test_the_measurements_are_drawn_and_follow(watched: Watched, served: Served, stage: ScriptedStage) -> None:
    """Charts with threshold and page, services side by side, replicas, alerts and log lines: live, and without a jump."""
    page = live(watched.open(served.trainee_url))
    stage.advance(60)
    until(page, "#page-title", "Checkout answers are too slow")
    until(page, ".levels h2", "checkout: slow")
    charts = page.query_selector_all("svg.chart")
    assert len(charts) == 2
    assert "pages from 14.4×" in page.inner_text(".levels") or "pages from 14.4×" in page.content()
    burn = charts[1].get_attribute("aria-label")
    assert "over 5s" in burn
    assert "over 6m" in burn
    assert len(page.query_selector_all(".service")) == 5
    assert len(page.query_selector_all(".replica-row li")) == 15
    until(page, ".alerts", "CheckoutLatencyBudgetBurn")
    until(page, ".logs", "answered")

    before = page.evaluate("[...document.querySelectorAll('.curve')].map((one) => one.getAttribute('d'))")
    boxes = "[...document.querySelectorAll('.card')].map((one) => JSON.stringify(one.getBoundingClientRect()))"
    places = page.evaluate(boxes)
    lines = text(page, ".logs")
    stage.advance(20)
    page.wait_for_function(
        "(before) => !document.querySelector('.logs').innerText.startsWith(before)", arg=lines[:60]
    )
    assert page.evaluate("[...document.querySelectorAll('.curve')].map((one) => one.getAttribute('d'))") != before
    assert page.evaluate(boxes) == places

    page.click(".cell[aria-label^='cart, slow']")
    until(page, ".levels h2", "cart: slow")
    page.click(".choice >> text=all")
    page.hover("svg.chart")
    until(page, ".chart-head .moment", "UTC")


def test_what_is_typed_survives_changes(watched: Watched, served: Served, stage: ScriptedStage) -> None:
    """A view that arrives takes neither the focus nor the words of somebody who types."""
    page = live(watched.open(served.trainee_url))
    stage.advance(40)
    stage.trainee_does(c.Acknowledge())
    page.wait_for_selector("#suspect button:enabled")
    page.click("#suspect [name=text]")
    for word in ("it ", "is ", "slow"):
        page.keyboard.type(word)
        stage.advance(2)
    until(page, "#clock", "0:2")
    assert page.input_value("#suspect [name=text]") == "it is slow"
    assert page.evaluate("document.activeElement.name") == "text"


def test_a_facilitator_leads(watched: Watched, served: Served, stage: ScriptedStage) -> None:
    """Everything is seen; pause, whisper, injects and escalation do what they say; a real incident asks first."""
    page = live(watched.open(served.facilitator_url))
    stage.advance(60)
    until(page, "#scenario-title", "Latency spike")
    until(page, "#scenario-answer", "network-latency")
    until(page, "#faults", "in effect")

    stage.trainee_does(c.Acknowledge())
    stage.trainee_does(c.Suspect(text="the disk is full", component="cart"))
    until(page, "#timeline", "Suspects cart: the disk is full")
    until(page, "#suspicions", "component right, cause wrong")
    until(page, "#toasts", "Acknowledged the page")
    until(page, "#phases", "+50 s")

    page.click("#pause")
    until(page, "#pause", "Resume the clock")
    assert stage.paused
    until(page, "#phase", "paused")
    page.click("#pause")
    until(page, "#pause", "Pause the clock")
    assert not stage.paused

    page.fill("#whisper textarea", "breathe")
    page.click("#whisper [value=whisper]")
    until(page, "#timeline", "Whispered: breathe")
    page.click("#injects li:nth-of-type(2) >> text=Hold")
    until(page, "#injects", "held")
    page.click("#injects li:has-text('colleague') >> text=Skip")
    until(page, "#injects", "skipped")

    page.select_option("#escalate select", "oom-kill")
    page.click("#escalate button")
    page.click("#ask >> text=Go back")
    assert not any(isinstance(command, c.Escalate) for command in stage.done)
    page.click("#escalate button")
    page.click("#ask-yes")
    until(page, "#timeline", "Escalated with oom-kill")

    page.click("#real-incident")
    page.keyboard.press("Escape")
    assert not stage.real_incident
    page.click("#real-incident")
    page.fill("#ask-words", "the database is really gone")
    page.click("#ask-yes")
    until(page, "#alarm", "NOT A DRILL: the database is really gone")
    assert page.is_disabled("#real-incident")
    assert stage.real_incident == "the database is really gone"


def test_both_see_the_real_incident_at_once(watched: Watched, served: Served, stage: ScriptedStage) -> None:
    """Two people, two pages, one word: NOT A DRILL above everything else."""
    stage.advance(60)
    trainee = live(watched.open(served.trainee_url))
    facilitator = live(watched.open(served.facilitator_url))
    facilitator.click("#real-incident")
    facilitator.click("#ask-yes")
    for page in (trainee, facilitator):
        until(page, "#alarm.real", "NOT A DRILL: Something real has begun.")


def test_without_a_mouse(watched: Watched, served: Served, stage: ScriptedStage) -> None:
    """Tab and Enter reach and press everything that makes sense, and one sees where one is."""
    stage.advance(60)
    page = live(watched.open(served.trainee_url))
    page.wait_for_selector("#acknowledge:enabled")
    reached = []
    for _ in range(80):
        page.keyboard.press("Tab")
        name = page.evaluate(
            "document.activeElement.id || document.activeElement.name || document.activeElement.getAttribute('class')"
        )
        seen = page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        assert seen or page.evaluate("document.activeElement === document.body"), name
        reached.append(name)
        if name == "acknowledge" and "acknowledge" not in reached[:-1]:
            page.keyboard.press("Enter")
            until(page, "#page-status", "acknowledged")
    assert {"hint", "done", "component", "text", "chart", "cell", "logs"} <= {
        name.split()[0] for name in reached if name
    }
    page.focus("svg.chart")
    page.keyboard.press("ArrowLeft")
    until(page, ".chart-head .moment", "UTC")


@pytest.mark.parametrize("role", ["trainee", "facilitator"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out(
    watched: Watched, stage: ScriptedStage, role: str, size: dict[str, int], scheme: str
) -> None:
    """No part of either page needs sideways scrolling, with long words too; text and ground differ enough to be read."""
    long_stage = ScriptedStage(evil="averylongword" * 12)
    long_stage.advance(130)
    long_stage.trainee_does(c.Acknowledge())
    long_stage.trainee_does(c.Suspect(text="x" * 300, component="y" * 200))
    long_stage.facilitator_does(c.Whisper(text="z" * 300))
    with serve(long_stage) as served:
        page = live(watched.open(getattr(served, f"{role}_url"), size))
        page.emulate_media(color_scheme=scheme)
        names = [
            one.get_attribute("data-tab") for one in page.query_selector_all(".tabs [data-tab]") if one.is_visible()
        ]
        assert len(names) >= 2
        for name in names:
            tab(page, name)
            page.wait_for_timeout(100)
            assert sticks_out(page) <= 0, (name, _widest(page))
            assert _pale(page) == []
            if size is PHONE:
                assert _small_targets(page) == []


def _widest(page: Any) -> object:
    return page.evaluate(
        "[...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right > innerWidth + 1)"
        ".map((one) => one.tagName + '.' + one.className + '#' + one.id).slice(0, 5)"
    )


PALE = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => (c / 255 <= .03928 ? c / 255 / 12.92 : ((c / 255 + .055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const ground = (node) => { for (let n = node; n; n = n.parentElement) { const c = parse(getComputedStyle(n).backgroundColor);
    if (c.length < 4 || c[3] > .9) return c; } return [255, 255, 255]; };
  return [...document.querySelectorAll("main *, header *, nav *")].filter((node) => node.checkVisibility() && !node.disabled
      && [...node.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) && !(node instanceof SVGElement))
    .map((node) => { const [a, b] = [light(parse(getComputedStyle(node).color)), light(ground(node))].sort((x, y) => y - x);
      return [node.textContent.slice(0, 30), Math.round((a + .05) / (b + .05) * 10) / 10]; })
    .filter(([, contrast]) => contrast < 4.5);
}"""


def _pale(page: Any) -> object:
    """Texts whose contrast is under 4.5 to 1 (WCAG AA); disabled buttons may be pale."""
    return page.evaluate(PALE)


def _small_targets(page: Any) -> object:
    """Buttons that a thumb would miss."""
    return page.evaluate(
        "[...document.querySelectorAll('button')].filter((one) => one.checkVisibility() && !one.closest('.prose, .choice'))"
        ".filter((one) => one.getBoundingClientRect().height < 40).map((one) => one.textContent)"
    )


def test_a_wrong_address_shows_a_closed_page(watched: Watched, served: Served) -> None:
    """Words instead of data; the browser's own note of the refusal is the only mistake."""
    page = watched.open(served.trainee_url.partition("#")[0] + "#wrong")
    until(page, "main", "This page stays closed")
    assert "checkout" not in text(page, "main")
    page = watched.open(served.trainee_url.partition("#")[0])
    until(page, "main", "This page stays closed")
    assert all("403" in one or "401" in one for one in watched.mistakes)
    assert watched.mistakes
    watched.mistakes.clear()


def test_the_address_is_clean_and_the_page_can_be_loaded_again(watched: Watched, served: Served) -> None:
    """The token leaves the address bar; the cookie, out of reach of scripts, opens the page again."""
    page = live(watched.open(served.trainee_url))
    assert "#" not in page.url
    assert page.evaluate("document.cookie") == ""
    page.reload()
    until(live(page), "#phase", "quiet")


def test_another_page_on_this_machine_gets_nothing(watched: Watched, served: Served, stage: ScriptedStage) -> None:
    """A page of another port, opened in the same browser: it can neither read nor do anything, cookie or not."""
    live(watched.open(served.trainee_url))
    other = ScriptedStage()
    with serve(other) as elsewhere:
        page = live(watched.open(elsewhere.trainee_url))
        base = served.trainee_url.partition("#")[0]
        said = page.evaluate(
            """async (base) => {
              const all = [];
              for (const [path, options] of [["prose/runbook", {}], ["do", {method: "POST", body: '{"do":"note","text":"x"}'}],
                ["do", {method: "POST", mode: "no-cors", body: '{"do":"note","text":"x"}'}]]) {
                try { all.push((await fetch(base + path, {credentials: "include", ...options})).type); } catch { all.push("refused"); }
              }
              return all;
            }""",
            base,
        )
    assert said == ["refused"] * 3
    assert stage.done == []
    watched.mistakes.clear()  # its own policy says so in the console


def test_a_lost_connection_is_said_and_mended(watched: Watched, stage: ScriptedStage) -> None:
    """Through a tunnel (another port) that breaks: the page says so, and goes on by itself when the tunnel is back."""
    with serve(stage) as served:
        with Tunnel(served.port) as tunnel:
            page = live(watched.open(served.trainee_url.replace(f":{served.port}", f":{tunnel.port}")))
        page.wait_for_selector("#link[data-state=lost]", state="attached")
        assert page.evaluate("document.body.classList.contains('stale')")
        with Tunnel(served.port, tunnel.port):
            live(page)
            stage.advance(25)
            until(page, "#phase", "paged")
    page.wait_for_selector("#link[data-state=lost]", state="attached")


def test_a_session_that_closes_says_goodbye(watched: Watched, stage: ScriptedStage) -> None:
    """The last view stays on the screen, and nobody waits for more."""
    with serve(stage) as served:
        page = live(watched.open(served.trainee_url))
        stage.facilitator_does(c.Abort(reason="it is late"))
    page.wait_for_selector("#link[data-state=ended]", state="attached")
    until(page, "#alarm", "Aborted: it is late")
