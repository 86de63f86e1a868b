"""The page in a real browser: nothing planted runs, nothing is wider than a phone."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from drill.report.html import to_html
from report.test_report import EVIL, poisoned_report, report_of
from security.test_planted_markup import PAGES
from web.browsing import DESK, PHONE, browser, sticks_out

pytestmark = pytest.mark.browser
PROBE = (
    "<script>document.documentElement.dataset.wide="
    "document.documentElement.scrollWidth-document.documentElement.clientWidth</script>"
)


def dump(page: str, where: Path, *flags: str) -> str:
    """The page's DOM after chromium has loaded it and run what it would run."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    (where / "page.html").write_text(page)
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={where / 'profile'}",
        *flags,
    ]
    done = subprocess.run(
        [*command, "--dump-dom", f"file://{where / 'page.html'}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def without_policy(page: str) -> str:
    """The page without its own Content-Security-Policy, so that escaping alone must hold."""
    return re.sub(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>", "", page)


def test_a_planted_script_does_not_run(tmp_path: Path) -> None:
    """A script in every field, no policy to stop it: it stays text. The control shows that one would run."""
    payload = "document.title='ran'"
    page = without_policy(to_html(poisoned_report())).replace("alert(&#39;x&#39;)", payload)
    assert payload in page
    assert "<title>ran</title>" not in dump(page, tmp_path)
    control = page.replace("</body>", EVIL.replace("alert('x')", payload) + "</body>")
    assert "<title>ran</title>" in dump(control, tmp_path)


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_sticks_out(width: int, tmp_path: Path) -> None:
    """No horizontal scrolling, on a phone or a desk."""
    page = without_policy(to_html(report_of())).replace("</body>", f"{PROBE}</body>")
    frame = f'<iframe srcdoc="{page.replace("&", "&amp;").replace(chr(34), "&quot;")}" width={width} height=3000></iframe>'
    probe = "<script>onload=()=>{document.title='over '+frames[0].document.documentElement.dataset.wide}</script>"
    assert "<title>over 0</title>" in dump(f"<html><body>{frame}{probe}</body></html>", tmp_path)


LONG = "averylongword" * 12 + " and some more words"


@pytest.mark.parametrize("name", ["report.html", "gameday.html", "coverage.html"])
def test_long_names_do_not_stick_out(name: str, tmp_path: Path) -> None:
    """Names without a place to break, in every field: no sideways scrolling on a phone, a desk, or paper."""
    page_text = PAGES[name](tmp_path, LONG)
    (tmp_path / "long.html").write_text(page_text)
    with browser(tmp_path) as watched:
        page = watched.open(f"file://{tmp_path}/long.html", PHONE)
        assert sticks_out(page) <= 0
        page.set_viewport_size(DESK)
        assert sticks_out(page) <= 0
        page.emulate_media(media="print")
        page.set_viewport_size({"width": 688, "height": 980})  # A4 between its margins
        assert sticks_out(page) <= 0
        assert watched.mistakes == []
