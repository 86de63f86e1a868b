"""PromQL that parses is silent; what does not is told in words, whatever it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drill.core.promql import MAX_LENGTH, promql_error


@pytest.mark.parametrize(
    "query", ["up == 0", 'sum by (le) (rate(x_bucket{a=~"b.*"}[5m]))', "slo:sli_error:ratio_rate5m"]
)
def test_queries_that_parse(query: str) -> None:
    assert promql_error(query) == ""


@pytest.mark.parametrize("query", ["", "sum(", "up{", "x > > 1", "rate(x)[", "1" + "+1" * MAX_LENGTH])
def test_queries_that_do_not(query: str) -> None:
    assert promql_error(query)


@given(st.text(st.sampled_from("sum(){}[]\"'=~5m:@ ,+-*/é\n\\"), max_size=40))
def test_no_text_makes_it_raise(query: str) -> None:
    assert isinstance(promql_error(query), str)
