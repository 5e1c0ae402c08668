"""A few hundred mutated films: no crash, no hang, no memory without a limit, always an output or one line."""

from __future__ import annotations

from fuzz import mutant, run


def test_mutated_films_end_in_an_output_or_in_one_line() -> None:
    counts, faults, _, largest = run(300)
    assert not faults and sum(counts.values()) == 300
    assert min(counts.values()) > 30 and largest < 1000  # both ends are reached; MB


def test_a_mutant_is_the_same_every_time() -> None:
    films = [bytes(range(256)) * 20]
    assert [mutant(films, 3) for _ in range(2)][0] == mutant(films, 3) != mutant(films, 4)
