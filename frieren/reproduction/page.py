"""Results as a page: plots first, then claims, tables, what it cost, what was not run."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from frieren.evaluation.intervals import Interval
from frieren.evaluation.pictures import Point, plot_panels
from frieren.evaluation.report import versions
from frieren.evaluation.tables import NOT_DEFINED, table
from frieren.files import write_text
from frieren.reproduction.cells import Cell
from frieren.reproduction.claims import CLAIMS, Check, check, scores_of
from frieren.reproduction.differences import over_seeds, pooled
from frieren.reproduction.results import Results
from frieren.reproduction.systems import SYSTEMS
from frieren.reproduction.tables import ALL, FIGURES, SPEED_ROWS, TABLES, Column, ResultRow, ResultTable

PLOTS = "results"  # folder of the plots, beside the page
STAGES = ("sample", "evaluate")  # of a cell's cost
SHOWN = 12  # digits of a hash
BASELINES = ("reference sounds", "ceiling")  # of a score: what the true sounds have


def save(folder: Path, names: Sequence[str], results: Results, about: Mapping[str, Any]) -> Path:
    """Write `results.md` and its plots.

    Args:
        names: tables and figures, in order.
        about: what all numbers depend on, in words, under its heading.
    """
    (folder / PLOTS).mkdir(parents=True, exist_ok=True)
    sections = ["# Results\n", opening({**about, **warnings_of(results)})]
    sections += [drawn(folder, name, results) for name in names if name in FIGURES]
    sections += [claims(check(CLAIMS, results.cells))]
    sections += [tabulated(TABLES[name], results) for name in names if name in TABLES]
    if results.speeds:
        sections.append(speed_table(results))
    sections += [not_run(results), cost(results)]
    write_text(folder / "results.md", "\n".join(section for section in sections if section))
    return folder / "results.md"


def opening(about: Mapping[str, Any]) -> str:
    """Return what the page is, and what all of its numbers depend on."""
    lines = [
        "Made by `frieren reproduce`: the tables and figures of the paper on other data, by networks of a few million",
        "parameters. The paper's own figures are of VGGSound and of networks sixty times as large: compare the order",
        "of rows, not numbers. Intervals are 95 %, over videos; where a row was trained three times those over",
        "trainings are given as well. Onset F1 counts clips in which nothing is seen to strike, too: every onset there",
        "is one too many. Onset AP is the mean over the others.\n",
    ]
    facts = {**about, "versions": ", ".join(f"{name} {number}" for name, number in versions().items())}
    return "\n".join([*lines, *(wrapped(f"- {name}: {text}", "  ").rstrip() for name, text in facts.items())]) + "\n"


def warnings_of(results: Results) -> dict[str, str]:
    """Return what the evaluation warns of, by score, as it does so for any row."""
    cells = [cell for of_row in results.cells.values() for cell in of_row]
    scores = [one for cell in cells for column in ALL if (one := cell.score(column.prefix)) is not None]
    return {one.name: "; ".join(one.notes) for one in scores if one.notes}


def drawn(folder: Path, name: str, results: Results) -> str:
    """Return a figure's section; its plot is written where there is a point to draw."""
    figure = FIGURES[name]
    panels: dict[str, dict[str, list[Point]]] = {}
    for column in figure.columns:
        panels[column.title] = {title: [] for title in figure.curves}
        for title, curve in figure.curves.items():
            for at, row in curve.items():
                if (shown := value_of(results.cells.get(row, ()), column)) is not None:
                    value, interval = shown
                    span = (interval.low * column.scale, interval.high * column.scale) if interval else None
                    panels[column.title][title].append(Point(at, value * column.scale, span))
    if not any(points for curves in panels.values() for points in curves.values()):
        return ""
    plot_panels(folder / PLOTS / f"{name}.webp", panels, setting=figure.setting)
    return f"## {figure.title}\n\n{wrapped(figure.note)}\n![{figure.title}]({PLOTS}/{name}.webp)\n"


def value_of(cells: Sequence[Cell], column: Column) -> tuple[float, Interval | None] | None:
    """Return a score of a row and its interval over videos; None if it was not measured."""
    scores = scores_of(cells, column)
    if not scores:
        return None
    score = pooled(scores)
    return None if score.value is None else (score.value, score.interval)


def claims(checks: Sequence[Check]) -> str:
    """Return the list of claims, and how many hold."""
    counts = Counter(one.outcome for one in checks)
    known = [one for one in checks if one.outcome != "not measured"]
    if not known:
        return ""
    rows = []
    for one in known:
        assert one.difference is not None
        scale, digits = one.column.scale, one.column.digits + 1
        seeds = bounds(one.seeds, scale, digits)
        rows.append(
            (
                f"{one.claim.text}: {one.column.title[:-2]}",
                one.outcome,
                f"{one.difference.value * scale:+.{digits}f}",
                bounds(one.difference.interval, scale, digits) + (f"; trainings {seeds}" if seeds else ""),
            )
        )
    summary = ", ".join(f"{counts[name]} {name}" for name in ("holds", "does not hold", "undecided", "not measured"))
    text = (
        "A claim is a difference of one score between two rows for the same clips. It holds if the whole interval of "
        "the difference lies on the side that the claim names, does not hold if it lies on the other, and is "
        "undecided if zero is in it."
    )
    head = ("claim, by score", "outcome", "difference", "95 % interval")
    return f"## The claims\n\n{wrapped(text)}\n{summary}.\n\n{table(head, rows, words=2)}"


def tabulated(one: ResultTable, results: Results) -> str:
    """Return a table's section, without rows that were not measured; nothing if none was."""
    measured = {name: row for name, row in one.rows.items() if name in results.cells}
    if not measured:
        return ""
    opinions = ("MOS-Q", "MOS-A") if one.opinions else ()
    head = ("system", *one.heads, *(column.title for column in one.columns), *opinions, "paper (VGGSound)")
    rows = [body(row, one, results.cells[name], opinions) for name, row in measured.items()]
    rows.append(true_sounds(one, results, opinions))
    note = wrapped(one.note) + "\n" if one.note else ""
    return f"## {one.title}\n\n{note}{table(head, rows, words=1 + len(one.heads))}"


def body(row: ResultRow, one: ResultTable, cells: Sequence[Cell], opinions: tuple[str, ...]) -> tuple[str, ...]:
    """Return a row as text."""
    scores = [entry(cells, column) for column in one.columns]
    return (SYSTEMS[row.system].title, *row.labels, *scores, *("" for _ in opinions), row.paper)


def entry(cells: Sequence[Cell], column: Column) -> str:
    """Return a score with its intervals, or a dash."""
    found = value_of(cells, column)
    if found is None:
        return NOT_DEFINED
    value, interval = found
    text = f"{value * column.scale:.{column.digits}f} {bounds(interval, column.scale, column.digits)}"
    seeds = over_seeds([one.value or 0.0 for one in scores_of(cells, column)])
    return text + (f"; trainings {bounds(seeds, column.scale, column.digits)}" if seeds else "")


def bounds(interval: Interval | None, scale: float, digits: int) -> str:
    """Return an interval as text; nothing without one."""
    return "" if interval is None else f"({interval.low * scale:.{digits}f} … {interval.high * scale:.{digits}f})"


def true_sounds(one: ResultTable, results: Results, opinions: tuple[str, ...]) -> tuple[str, ...]:
    """Return the scores that the true sounds of the clips have, as the last row."""
    cells = [results.cells[name][0] for name in one.rows if name in results.cells][:1]
    texts = []
    for column in one.columns:
        score = cells[0].score(column.prefix) if cells else None
        known = [score.baselines[name] for name in BASELINES if score and name in score.baselines]
        texts.append(f"{known[0] * column.scale:.{column.digits}f}" if known else NOT_DEFINED)
    return ("true sounds", *("" for _ in one.heads), *texts, *("" for _ in opinions), "")


def speed_table(results: Results) -> str:
    """Return table 8."""
    head = ("system", "steps", "sample", "decode", "vocode", "all, processor", "clock", "times faster", "paper")
    rows = []
    for name, one in results.speeds.items():
        row = SPEED_ROWS[name]
        times = (*one.stages.values(), one.total, one.clock)
        ratio = f"{one.ratio:.2f} {bounds(one.interval, 1.0, 2)}"
        texts = (f"{seconds:.3f}" for seconds in times)
        rows.append((SYSTEMS[row.system].title, row.labels[0], *texts, ratio, row.paper))
    text = (
        "Median seconds of one thread for one clip, batch 1, from features to wave. Systems take turns in one process; "
        "other work shared the machine, so ratios (to the first row) are of seconds of the processor. How often a "
        "vocoder's wave is refined is in its model's `config.json`, and may differ."
    )
    return f"## Table 8: time per sample\n\n{wrapped(text)}\n{table(head, rows, words=2)}"


def not_run(results: Results) -> str:
    """Return what was not measured: the command that trains its model or measures it, and how long that takes."""
    errors = {error.command: error for error in results.missing.values()}
    rows = []
    for command, error in errors.items():
        names = [name for name, one in results.missing.items() if one.command == command]
        how = (f"`{command}`", f"{error.minutes:g}") if command else ("no recipe here", NOT_DEFINED)
        rows.append((", ".join(names), *how))
    if results.left:
        known = [sum(cell.seconds[stage] for stage in STAGES) for cells in results.cells.values() for cell in cells]
        minutes = f"{len(results.left) * sum(known) / len(known) / 60:.0f}" if known else NOT_DEFINED
        rows.append((", ".join(results.left), "`frieren reproduce all`, without `--kept`", minutes))
    head = ("rows", "what makes them", "minutes, about")
    return f"## Not run\n\n{table(head, rows, words=2)}" if rows else ""


def cost(results: Results) -> str:
    """Return every cell with its hashes and what it cost."""
    rows = []
    for name, cells in results.cells.items():
        for cell in cells:
            minutes = (f"{cell.seconds[stage] / 60:.1f}" for stage in STAGES)
            digest = str(cell.settings["model_sha256"])[:SHOWN]
            sampling = ", ".join(f"{key} {value}" for key, value in cell.settings["sampling"].items())
            rows.append((name, digest, sampling, f"`{cell.key}`", *minutes))
    head = ("row", "model, SHA-256", "sampling", "cell", "sampling, min", "evaluation, min")
    text = "Minutes are those of the processor. A cell's name is a digest of everything that its scores depend on."
    return f"## Cells\n\n{text}\n\n{table(head, rows, words=4)}" if rows else ""


def wrapped(text: str, indent: str = "") -> str:
    """Return prose in lines that a page may have; those after the first are indented."""
    return textwrap.fill(text, 118, break_on_hyphens=False, subsequent_indent=indent) + "\n"
