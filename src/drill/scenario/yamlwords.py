"""The words for what libyaml says about a file that is not YAML: the likely mistake and its cure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import yaml

    from drill.core.problems import Problem

_WORDS = {
    "did not find expected ',' or ']'": ("a ',' or the closing ']' is missing", "close the list with ']'"),
    "did not find expected ',' or '}'": ("a ',' or the closing '}' is missing", "close the mapping with '}'"),
    "found unexpected end of stream": ("the closing quote is missing", "end the text with the quote it began with"),
    "mapping values are not allowed in this context": (
        "a ':' cannot stand here",
        "write text that contains ': ' in quotes, and give keys of one mapping the same indentation",
    ),
    "did not find expected '-' indicator": (
        "expected the next item of the list",
        "start each item with '- ' in the same column, or indent this line less",
    ),
    "did not find expected key": (
        "expected a key of the mapping",
        "give the keys of one mapping the same indentation; write text with special characters in quotes",
    ),
    "could not find expected ':'": ("a ':' is missing after this key", "write 'key: value'"),
    "found unknown escape character": (
        "an escape like this does not exist in double quotes",
        r"write text with backslashes in single quotes, or double the backslash",
    ),
    "did not find expected <document start>": ("nothing more was expected here", "is a bracket left over?"),
    "found undefined tag handle": ("YAML tags are not used here", "remove the '!…'"),
    "found incompatible YAML document": ("this YAML version is not supported", "remove the %YAML line"),
    "found duplicate %YAML directive": ("the %YAML line is given twice", "remove the %YAML lines"),
}
_STARTS = {
    "@": "write text that begins with '@' in quotes",
    "`": "write text that begins with '`' in quotes",
    "%": "write text that begins with '%' in quotes",
}


def in_words(
    problem_at: Callable[[tuple[int, int], str, str], Problem],
    line_text: Callable[[int], str],
    error: yaml.MarkedYAMLError,
) -> Problem:
    """Say what *error* means for the person who wrote the file, at the place where it can be mended."""
    mark = error.problem_mark or error.context_mark
    place = (mark.line, mark.column) if mark is not None else (0, 0)
    said = str(error.problem)
    message, hint = _WORDS.get(said, (f"this is not YAML: {said}", ""))
    if said == "found unexpected end of stream" and error.context_mark is not None:
        place = (error.context_mark.line, error.context_mark.column)
    elif said == "found character that cannot start any token":
        place, message, hint = _bad_start(line_text(place[0]), place)
    elif said == "did not find expected ',' or '}'" and "${" in line_text(place[0]):
        hint = 'inside { } write ${…} in quotes: "${name}"'
    elif error.context_mark is not None and message.startswith("a ','"):
        hint += f" (opened at line {error.context_mark.line + 1}, column {error.context_mark.column + 1})"
    return problem_at(place, message, hint)


def _bad_start(line: str, place: tuple[int, int]) -> tuple[tuple[int, int], str, str]:
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" in indent and place[1] <= len(indent):
        return (place[0], indent.index("\t")), "a tab indents this line", "indent with spaces"
    found = line[place[1] : place[1] + 1]
    if found == "\t":
        return place, "a tab cannot stand here", "use a space"
    return place, f"no value can begin with '{found}'", _STARTS.get(found, "write the text in quotes")
