"""The media suite: every film becomes what is expected of it, and the page shows that."""

from __future__ import annotations

import pytest
import table
from cases import CASES
from suite import Case, outcome


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_film_becomes_what_is_expected(case: Case, tmp_path) -> None:
    try:
        found = outcome(case, tmp_path)
    except NotImplementedError as error:
        pytest.skip(str(error))
    assert found == table.expected()[case.name]


def test_there_are_many_films_each_with_a_name_of_its_own() -> None:
    names = [case.name for case in CASES]
    assert len(names) >= 90 and len(set(names)) == len(names) and set(names) == table.expected().keys()


def test_no_film_is_expected_to_come_out_wrong() -> None:
    """Faults stand in capitals."""
    faults = ("ORDER", "TIMES", "LENGTH", "CLICK", "BEGINS", "PICTURES", "LEFT BEHIND", "NOTHING", "UNKNOWN")
    assert not [name for name, text in table.expected().items() if any(fault in text for fault in faults)]


def test_the_page_is_the_suite() -> None:
    assert table.PAGE.read_text(encoding="utf-8") == table.page(table.expected())
