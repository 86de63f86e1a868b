"""Does a PromQL query parse? Asked wherever a person may write one: scenarios, runbooks, rules."""

from __future__ import annotations

MAX_LENGTH = 8192
"""Characters; the longest multi-window rule Sloth generates has under 2000."""


def promql_error(query: str) -> str:
    """Return what is wrong with *query* in the parser's words, ``''`` when it parses."""
    import promql_parser  # 1 ms that most commands need not pay

    if len(query) > MAX_LENGTH:
        return f"longer than {MAX_LENGTH} characters"
    try:
        promql_parser.parse(query)
    except ValueError as error:
        return str(error).strip() or "invalid query"
    return ""
