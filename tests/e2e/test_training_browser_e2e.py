"""One training in a real terminal and a real browser at once: page, cause, mitigation, debrief; led from a second tab.

The pictures it takes stay in the test's folder, to be looked at.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from drill.target.sandbox import leftovers
from e2e.terminal import TMUX, Terminal
from web.browsing import DESK, PHONE, Watched, browser, sticks_out

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.browser,
    pytest.mark.timeout(290),
    pytest.mark.skipif(TMUX is None, reason="tmux is missing: .ci/setup-programs --test gets it"),
]

ROOT = Path(__file__).parents[2]
PAGE_S, WELL_S, DEBRIEF_S = 120, 120, 90
SECRETS = ("latency-spike on", "network-latency", "every answer of the service", "netem", "nfqueue")
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/\S*#\S+")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """A browser; a mistake in a page, or a request that leaves the machine, fails the test."""
    with browser(tmp_path / "chromium", niceness=40) as watched:
        yield watched
        assert watched.mistakes == []
        assert watched.strangers == []


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


class Scene:
    """Both terminals and both pages of one session."""

    def __init__(self, tmp_path: Path, opened: list[Terminal], watched: Watched) -> None:
        self._folder, self._opened, self._watched = tmp_path, opened, watched
        self.pictures = tmp_path / "pictures"
        self.pictures.mkdir()

    def drill(self, *words: str) -> Terminal:
        env = {"XDG_STATE_HOME": str(self._folder / "state"), "PAGER": "cat", "TERM": "xterm-256color"}
        self._opened.append(Terminal([sys.executable, "-m", "drill", *words], ROOT, env))
        return self._opened[-1]

    def page(self, terminal: Terminal, words: str) -> Any:
        """Open the address *terminal* shows below *words*, as somebody who copies it."""
        shown = terminal.wait_for(words, within_s=90).partition(words)[2]
        found = ADDRESS.search(shown)
        assert found is not None, shown
        page = self._watched.open(found[0])
        page.wait_for_selector("#link[data-state=live]", state="attached")
        return page

    def picture(self, page: Any, name: str) -> None:
        """Keep *page* as it looks on a desk and on a phone, by day and by night; nothing sticks out of any."""
        for size, size_name in ((PHONE, "phone"), (DESK, "desk")):
            page.set_viewport_size(size)
            for scheme in ("dark", "light"):
                page.emulate_media(color_scheme=scheme)
                page.wait_for_timeout(150)
                assert sticks_out(page) <= 0, (name, size_name)
                page.screenshot(path=self.pictures / f"{name}-{size_name}-{scheme}.png", full_page=True)

    def screen(self, terminal: Terminal, name: str) -> None:
        (self.pictures / f"{name}.txt").write_text(terminal.screen())


def until(page: Any, selector: str, words: str, within_s: float = 15) -> None:
    """Wait until the element says *words*."""
    page.wait_for_function(
        "([selector, words]) => document.querySelector(selector)?.innerText.includes(words)",
        arg=[selector, words], timeout=within_s * 1000,
    )  # fmt: skip


def changes(page: Any, script: str, within_s: float = 20) -> None:
    """What *script* gives is another before long, although nobody touches the page."""
    before = page.evaluate(script)
    page.wait_for_function(f"(before) => ({script}) !== before", arg=before, timeout=within_s * 1000)


def nothing_told(page: Any) -> None:
    told = page.content().lower()
    assert [secret for secret in SECRETS if secret in told] == []


CURVES = "[...document.querySelectorAll('.curve')].map((one) => one.getAttribute('d')).join()"
AGES = "document.querySelector('.replicas').innerText"


def test_from_the_page_to_the_debrief_in_terminal_and_browser(
    tmp_path: Path, opened: list[Terminal], watched: Watched
) -> None:
    """Acknowledged in the browser, mended in the shell, led from a second tab, and the debrief is the truth in all three."""
    scene, before = Scene(tmp_path, opened, watched), set(leftovers.running())
    out = tmp_path / "runs"
    words = ("latency-spike", "--service", "cart", "--facilitator", "--seed", "7", "--out", str(out))
    terminal = scene.drill("train", *words)
    trainee = scene.page(terminal, "Dashboard, in a browser:")
    seal = re.search(r"sha256 ([0-9a-f]{64})", terminal.text())
    assert seal is not None
    leader = scene.drill("facilitate")
    facilitator = scene.page(leader, "The same in a browser:")
    scene.screen(terminal, "1-quiet-terminal")

    _paged(scene, terminal, trainee, facilitator)
    scene.screen(leader, "2-paged-leader")
    _led(scene, terminal, trainee, facilitator)
    _localized(scene, terminal, trainee, facilitator)
    _mended(scene, terminal, trainee, facilitator)

    trainee.click("#done")
    text = terminal.wait_for("shows it again", within_s=DEBRIEF_S)
    (tmp_path / "pictures" / "6-debrief-terminal.txt").write_text(text)
    debrief = json.loads(next(out.glob("*-training/debrief.json")).read_text())
    assert debrief["commitment"] == seal[1]
    phases = _truthful(debrief)
    _told_alike(scene, terminal, {"trainee": trainee, "facilitator": facilitator}, debrief, phases)
    deadline = time.monotonic() + 20
    while left := set(leftovers.running()) - before:
        assert time.monotonic() < deadline, left
        time.sleep(0.5)


def _paged(scene: Scene, terminal: Terminal, trainee: Any, facilitator: Any) -> None:
    """The page arrives everywhere; the charts go on by themselves; the browser takes it, and the terminal knows."""
    until(trainee, "#page-status", "triggered", within_s=PAGE_S)
    terminal.wait_for("TRIGGERED  (page) cart latency", within_s=15)
    until(facilitator, "#scenario-answer", "network-latency")
    until(facilitator, "#faults", "in effect")
    until(trainee, ".alerts", "firing")
    trainee.click(".cell[aria-label^='cart, slow']")
    until(trainee, ".levels h2", "cart: slow")
    until(trainee, ".logs", "cart answered after")
    changes(trainee, CURVES)
    nothing_told(trainee)
    scene.screen(terminal, "2-paged-terminal")
    scene.picture(trainee, "2-paged-trainee")
    scene.picture(facilitator, "2-paged-facilitator")
    trainee.click("#acknowledge")
    until(trainee, "#page-status", "acknowledged")
    until(facilitator, "#timeline", "acknowledges the page")
    terminal.type("ack")
    terminal.wait_for("already", within_s=15)


def _led(scene: Scene, terminal: Terminal, trainee: Any, facilitator: Any) -> None:
    """Clock stopped and set going, a whisper, one inject said now, the next one held and skipped."""
    facilitator.click("#pause")
    until(trainee, "#phase", "paused")
    terminal.wait_for("the facilitator has stopped the clock", within_s=15)
    facilitator.click("#pause")
    until(facilitator, "#pause", "Pause the clock")
    facilitator.fill("#whisper textarea", "look at one replica against the others")
    facilitator.click("#whisper [value=whisper]")
    until(trainee, "#said", "look at one replica against the others")
    terminal.wait_for("look at one replica against the", within_s=15)
    first, second = (f"#injects li:has-text('{words}')" for words in ("forty tickets", "I bet it is the database"))
    facilitator.click(f"{first} >> text=Say now")
    until(trainee, "#said", "forty tickets")
    terminal.wait_for("forty tickets", within_s=15)
    facilitator.click(f"{second} >> text=Hold")
    facilitator.wait_for_selector("#injects li.held", timeout=15_000)
    facilitator.click(f"{second} >> text=Skip")
    facilitator.wait_for_selector("#injects li.skipped", timeout=15_000)
    scene.picture(trainee, "3-led-trainee")
    assert "I bet it is the database" not in trainee.inner_text("#said")


def _localized(scene: Scene, terminal: Terminal, trainee: Any, facilitator: Any) -> None:
    """A hint, a wrong cause in the terminal, the right one in the browser; only the facilitator sees the grades."""
    trainee.click("#hint")
    until(trainee, "#said", "Are the answers wrong, or only late?")
    terminal.type("suspect the disk of cart-1 is full")
    terminal.wait_for("noted", "Noted", within_s=15)
    until(trainee, "#said", "the disk of cart-1 is full")
    trainee.fill("#suspect [name=component]", "cart")
    trainee.fill("#suspect [name=text]", "packets to it are delayed")
    trainee.click("#suspect button")
    until(trainee, "#suspect .answer", "noted")
    until(facilitator, "#suspicions", "partly: the component is cart, which was named")
    until(facilitator, "#suspicions", "packets to it are delayed")
    trainee.click(".tabs [data-tab=runbook]")
    until(trainee, "#runbook", "Answers are too slow")
    scene.picture(trainee, "4-runbook-trainee")
    trainee.click(".tabs [data-tab=dashboard]")
    nothing_told(trainee)


def _mended(scene: Scene, terminal: Terminal, trainee: Any, facilitator: Any) -> None:
    """New replicas by kubectl in the terminal's shell: the page sees them come, and users get well."""
    terminal.type("shell")
    terminal.wait_for("on-call$", within_s=15)
    terminal.type("kubectl rollout restart deploy/cart")
    terminal.wait_for("deployment.apps/cart restarted", within_s=30)
    changes(trainee, AGES, within_s=30)
    terminal.type("kubectl rollout status deploy/cart")
    terminal.wait_for("successfully rolled out", within_s=90)
    until(trainee, ".logs", "pod/cart-2: Started container cart")
    scene.screen(terminal, "5-shell-terminal")
    terminal.type("exit")
    until(trainee, "#phase", "mitigated", within_s=WELL_S)
    until(facilitator, "#timeline", "kubectl rollout restart")
    scene.picture(trainee, "5-mitigated-trainee")
    scene.picture(facilitator, "5-mitigated-facilitator")


def _truthful(debrief: Mapping[str, Any]) -> dict[str, float]:
    """The debrief says what was done above, in its order, and who took the fault away."""
    assert (debrief["mitigated"], debrief["localized"]) == (True, True)
    assert debrief["ending"].startswith("mitigated ")
    assert [one["outcome"] for one in debrief["suspicions"]] == ["partly", "right"]
    assert [one["removed_by"] for one in debrief["injections"]] == ["responder"]
    phases = {one["name"]: one["after_s"] for one in debrief["phases"]}
    assert None not in phases.values()
    effect, detected, acknowledged, localized, mitigated, resolved = phases.values()
    assert effect == 0 <= detected <= acknowledged < localized < mitigated <= resolved
    acts = {line["what"] for line in debrief["timeline"] if line["who"] == "trainee"}
    assert "runs kubectl rollout restart deploy/cart" in acts
    said = " ".join(line["what"] for line in debrief["timeline"])
    assert "look at one replica against the others" in said
    assert "forty tickets" in said
    return phases


def _told_alike(
    scene: Scene,
    terminal: Terminal,
    pages: Mapping[str, Any],
    debrief: Mapping[str, Any],
    phases: Mapping[str, float],
) -> None:
    assert "Latency spike" in terminal.text()
    for name, page in pages.items():
        page.click("#tab-debrief")
        until(page, "#debrief", "Latency spike")
        shown = page.inner_text("#debrief")
        assert all(phase in shown.lower() for phase in phases), shown
        assert debrief["commitment"] in shown
        scene.picture(page, f"6-debrief-{name}")
