"""Reads Markdown into a Runbook. Any Markdown is one; what cannot be understood stays plain text.

Owns front matter, fences, check boxes, ``<details>`` and expected-output comments. Judging them is lint's part.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePath

from markdown_it import MarkdownIt
from markdown_it.token import Token

from drill.core.problems import Problem
from drill.runbook.attributes import split_info
from drill.runbook.front import read_front, split_front
from drill.runbook.model import TAGS, Cell, ExpectedOutput, Hint, HumanStep, Runbook, Section, Tag

MAX_BYTES = 2**20

Parsed = tuple[Runbook, tuple[Problem, ...]]

_BREAK = re.compile(r"\r\n?|\n")
_CHECK_BOX = re.compile(r"\[([ xX])\]\s+(.*)", re.DOTALL)
_SIMILARITY = re.compile(r"<!--\s*expected_similarity\s*=\s*(\S+)\s*-->")
_FENCE = re.compile(r"[ \t>]*(?:[-*+]\s+|\d+[.)]\s+)?(`{3,}|~{3,})(.*)")
_SUMMARY = re.compile(r"</?summary>", re.IGNORECASE)
_MARKUP = re.compile(r"[`*]|<[^>]*>")


def load(path: Path) -> Parsed:
    """Read the runbook at *path*. Raises OSError; a file that is too large or not UTF-8 gives an empty runbook."""
    with path.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        problem = Problem(str(path), 0, 0, f"the file is larger than {MAX_BYTES // 2**20} MiB and was not read")
        return parse("", str(path))[0], (problem,)
    try:
        return parse(data.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        message = f"the byte 0x{data[error.start]:02X} is not UTF-8"
        return parse("", str(path))[0], (Problem(str(path), 0, 0, message, "save the file as UTF-8"),)


def parse(text: str, file: str = "<runbook>") -> Parsed:
    """Return the runbook in *text* and the problems of its front matter. Never raises for what is in *text*."""
    text = text.removeprefix("\ufeff")
    lines = _BREAK.split(text)
    taken = split_front(lines)
    front, problems = read_front(lines[1 : taken - 1], file) if taken else (None, [])
    if front is None and not problems:
        taken = 0  # a rule at the top of an ordinary file
    body = [""] * taken + lines[taken:]
    unfolded, hints = _unfold(body)
    tokens = MarkdownIt("commonmark").parse("\n".join(unfolded))
    reader = _Reader(body)
    reader.read(tokens)
    title = next((section.title for section in reader.sections if section.level == 1), PurePath(file).stem)
    return Runbook(
        file=file,
        title=(front.title if front else "") or title,
        text=text,
        sha256=hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest(),
        front=front,
        sections=tuple(_with_text(reader.sections, body)),
        cells=tuple(reader.cells),
        steps=tuple(reader.steps),
        hints=tuple(hints),
    ), tuple(problems)


class _Reader:
    """Walks the tokens once and keeps what stands under which heading."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.sections: list[Section] = []
        self.cells: list[Cell] = []
        self.steps: list[HumanStep] = []
        self._similarity = ""
        self._numbers: Counter[str] = Counter()
        self._taken: set[str] = set()
        """Names the author gave, anywhere in the file."""

    def read(self, tokens: list[Token]) -> None:
        self._taken = {split_info(token.info)[1].get("name", "") for token in tokens if token.type == "fence"}
        for before, token in zip([None, *tokens], tokens, strict=False):
            if token.type in ("fence", "code_block"):
                self._code(token)
            elif token.type == "inline":
                self._inline(token, before)
            elif token.type == "html_block" and (found := _SIMILARITY.search(token.content)):
                self._similarity = found[1].strip("\"'")

    def _inline(self, token: Token, before: Token | None) -> None:
        if before is not None and before.type == "heading_open":
            title = _MARKUP.sub("", token.content).strip()
            line = _first_line(token) + 1
            self.sections.append(Section(title=title, level=int(before.tag[1:]), line=line, text=""))
        elif box := _CHECK_BOX.match(token.content):
            line = _first_line(token)
            if re.match(r"\s*(?:>\s*)*(?:[-*+]|\d+[.)])\s", self.lines[line]):
                self.steps.append(
                    HumanStep(text=box[2], line=line + 1, checked=box[1] != " ", section=self._section)
                )

    def _code(self, token: Token) -> None:
        language, attributes, _ = split_info(token.info)
        similarity, self._similarity = self._similarity, ""
        if similarity and self.cells and not attributes:
            output = ExpectedOutput(similarity=similarity, text=token.content)
            self.cells[-1] = self.cells[-1].with_(output=output)
            return
        tag = _tag(attributes)
        self.cells.append(
            Cell(
                name=attributes.get("name") or self._made_up_name(),
                language=language,
                tag=tag or "diagnose",
                tagged=tag is not None,
                attributes=attributes,
                body=token.content,
                line=_first_line(token) + 1,
                section=self._section,
            )
        )

    @property
    def _section(self) -> str:
        return self.sections[-1].title if self.sections else ""

    def _made_up_name(self) -> str:
        slug = re.sub(r"[^a-z0-9]+", "-", self._section.lower()).strip("-") or "cell"
        self._numbers[slug] += 1
        while f"{slug}-{self._numbers[slug]}" in self._taken:
            self._numbers[slug] += 1
        return f"{slug}-{self._numbers[slug]}"


def _first_line(token: Token) -> int:
    return token.map[0] if token.map else 0


def _tag(attributes: dict[str, str]) -> Tag | None:
    """Return the first of the fence's tags (``tag=mitigate,network``) that says what the cell does."""
    words = attributes.get("tag", "").split(",")
    return next((tag for tag in TAGS if tag in words), None)


def _with_text(sections: list[Section], lines: list[str]) -> Iterator[Section]:
    ends = [section.line - 1 for section in sections[1:]] + [len(lines)]
    for section, end in zip(sections, ends, strict=False):
        yield section.with_(text="\n".join(lines[section.line : end]).strip("\n"))


def _unfold(lines: list[str]) -> tuple[list[str], list[Hint]]:
    """Take the ``<details>`` tags out of *lines* and return them as hints.

    CommonMark reads everything from such a tag to the next blank line as HTML, headings and fences too; people
    do not mean that. The lines keep their numbers. Each line is looked at once.
    """
    unfolded, hints = list(lines), list[Hint]()
    begin, inside, fence = -1, list[str](), ""
    for number, line in enumerate(lines):
        if mark := _FENCE.match(line):
            closes = fence and mark[1].startswith(fence) and not mark[2].strip()
            fence = "" if closes else fence or mark[1]
        lower = "" if fence else line.lower()
        if begin < 0 and (at := lower.find("<details")) >= 0:
            begin, inside = number, []
            line = line[at:].partition(">")[2]
            lower = line.lower()
        if begin < 0:
            continue
        text, end, after = (line, "", "") if "</details>" not in lower else _cut(line, lower.index("</details>"))
        inside.append(text)
        unfolded[number] = _SUMMARY.sub("", text) if number > begin or not end else ""
        unfolded[number] += after
        if end:
            hints.append(_hint("\n".join(inside), begin + 1))
            begin = -1
    return unfolded, hints


def _cut(line: str, at: int) -> tuple[str, str, str]:
    end = at + len("</details>")
    return line[:at], line[at:end], line[end:]


def _hint(block: str, line: int) -> Hint:
    head, tag, text = block.partition("</summary>")
    title = head.partition("<summary>")[2].strip() if tag else ""
    return Hint(title=_MARKUP.sub("", title) or "Hint", text=(text if tag else block).strip(), line=line)
