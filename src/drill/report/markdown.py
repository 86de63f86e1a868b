"""``report.md``: the same postmortem for a repository, an issue or a chat; every value is escaped."""

from __future__ import annotations

import re
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from drill.report.html import FILTERS, RESULTS, safe_link
from drill.report.model import Report

SPECIAL = re.compile(r"([\\`*_\[\]|~#])")


def to_markdown(report: Report) -> str:
    """Render the report as GitHub-flavoured Markdown."""
    text = _template().render(r=report, result=RESULTS[report.verdict])
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


@cache
def _template() -> Template:
    environment = Environment(  # nosec B701 - Markdown; `escape` is its finalizer
        loader=PackageLoader("drill.report"), autoescape=False, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=escape,
    )  # fmt: skip
    environment.filters |= {**FILTERS, "code": code, "link": link, "quoted": quoted, "raw": Markup}
    return environment.get_template("report.md.j2")


def escape(value: object) -> str:
    """Text that Markdown shows as it is, on one line; HTML in it shows as text too."""
    if isinstance(value, Markup):
        return str(value)
    text = " ".join(str(value).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return SPECIAL.sub(r"\\\1", text)


def quoted(text: str) -> Markup:
    """What people wrote, as they wrote it, in a quotation: nothing in it can become a part of the report."""
    lines = text.replace("&", "&amp;").replace("<", "&lt;").splitlines()
    return Markup("\n".join(f"> {line}".rstrip() for line in lines))  # nosec B704  # Markdown, HTML is escaped


def code(value: object) -> Markup:
    """A code span that no backtick, pipe or line break inside can end."""
    text = " ".join(str(value).split())
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return Markup(f"{fence}{pad}{text}{pad}{fence}".replace("|", r"\|"))  # nosec B704  # Markdown, not HTML


def link(address: str) -> Markup:
    """`` ([query](…))`` for an address a browser may follow, else nothing."""
    safe = safe_link(address).replace("(", "%28").replace(")", "%29").replace(" ", "%20").replace("<", "%3C")
    return Markup(f" ([query]({safe}))") if safe else Markup("")  # nosec B704  # Markdown, not HTML
