"""The benchmarks measure what they say: rows of ours run, and the table has what was measured."""

from __future__ import annotations

import pytest

from tests.benchmarks.rows import GROWTH, ROWS
from tests.benchmarks.subjects import floor, ours
from tests.benchmarks.table import as_markdown, as_svg, exponent

SMALL = {"steps": 3, "tasks": 3, "count": 4, "calls": 2, "threads": 2}
OURS = {
    (row.subjects["nbagent"].function, row.subjects["nbagent"].options.get("keeps", "")): row
    for name, row in ROWS.items()
    if not name.startswith("large")  # 100,000 keys
}


@pytest.mark.parametrize("row", OURS.values(), ids=map("-".join, OURS))
def test_a_row_of_ours_gives_a_figure(row, tmp_path):
    """At its smallest."""
    subject = row.subjects["nbagent"]
    function = getattr(ours, subject.function)
    sized = {n: v for n, v in SMALL.items() if n in function.__code__.co_varnames}
    sized = {n: v for n, v in sized.items() if n in _parameters(function)}

    assert 0 <= function(tmp_path, **{**subject.options, **sized})


def _parameters(function):
    return function.__code__.co_varnames[: function.__code__.co_argcount]


def test_every_subject_is_there():
    """Ours and the floor; those of the peers are imported where the peers are."""
    for row in ROWS.values():
        for subject in row.subjects.values():
            if subject.module in ("ours", "floor"):
                made = getattr({"ours": ours, "floor": floor}[subject.module], subject.function)
                assert set(subject.options) <= set(_parameters(made))
    for subject, parameter, sizes, _ in GROWTH.values():
        assert parameter in _parameters(getattr(ours, subject.function))
        assert list(sizes) == sorted(sizes)


def test_the_table_has_medians_spread_and_ratios():
    """And the cause of what is not won."""
    found = {"loop-memory": {"nbagent": [2.0, 1.0, 3.0], "pydantic-graph": [1.0]}}
    text = as_markdown(ROWS, found)

    assert "| 2 [1–3] | pydantic-graph 1 (×0.5) |" in text
    assert ROWS["loop-memory"].cause in text
    assert "×0.5" in as_svg(ROWS, found)


def test_the_exponent_is_that_of_the_growth():
    """Linear, square, none."""
    sizes = (10, 100, 1000)
    grown = [[n**power for n in sizes] for power in (1, 2, 0)]

    assert [1, 2, 0] == [round(exponent(sizes, one), 6) for one in grown]
