"""Results: the cells of rows, as far as their systems have a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from frieren.evaluation.intervals import Interval
from frieren.files import write_json
from frieren.reproduction import speed
from frieren.reproduction.cells import DIGITS, PROTOCOL, Cell, Measurer
from frieren.reproduction.clips import Progress
from frieren.reproduction.speed import Speed
from frieren.reproduction.systems import NotTrainedError, Workshop
from frieren.reproduction.tables import FIGURES, SPEED_ROWS, TABLES, ResultRow
from frieren.training.loop import Report
from frieren.training.stages import Announce

NAMES = (*TABLES, *FIGURES, "table8")


@dataclass
class Results:
    """What was measured.

    Attributes:
        rows: that were asked for, by name.
        cells: of every row that could be measured, one for each training.
        missing: why a row could not.
        left: rows that have a model and were not to be measured now.
        speeds: seconds per sample, by the row's name.
    """

    rows: dict[str, ResultRow] = field(default_factory=dict)
    cells: dict[str, list[Cell]] = field(default_factory=dict)
    missing: dict[str, NotTrainedError] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    speeds: dict[str, Speed] = field(default_factory=dict)


def measure(names: tuple[str, ...], workshop: Workshop, measurer: Measurer) -> Results:
    """Measure everything that tables and figures need.

    Args:
        names: some of NAMES.
    """
    results = Results()
    for name in names:
        results.rows |= rows_of(name)
    for name, row in results.rows.items():
        try:
            models = workshop.models(row.system)
        except NotTrainedError as error:
            results.missing[name] = error
            continue
        on_progress = progress(workshop.announce, name)
        cells = [cell for model in models if (cell := measurer.measure(model, row.sampling, on_progress))]
        if len(cells) == len(models):
            results.cells[name] = cells
        else:
            results.left.append(name)
    if "table8" in names:
        results.speeds = speeds(workshop, measurer, results.missing)
    return results


def progress(announce: Announce, name: str) -> Progress:
    """Return what shows the stages of a row as headings of their own."""
    reports: dict[str, Report] = {}

    def on_progress(stage: str, done: int, total: int) -> None:
        if stage not in reports:
            reports[stage] = announce(f"{name} {stage}")
        reports[stage](done, total, {})

    return on_progress


def rows_of(name: str) -> Mapping[str, ResultRow]:
    """Return the rows that a table or figure needs cells of."""
    if name in TABLES:
        return TABLES[name].rows
    return FIGURES[name].rows if name in FIGURES else {}


def speeds(workshop: Workshop, measurer: Measurer, missing: dict[str, NotTrainedError]) -> dict[str, Speed]:
    """Time the rows of table 8 on the first clip; what has no model is noted in `missing`."""
    models: dict[str, Path] = {}
    for name, row in SPEED_ROWS.items():
        try:
            models[name] = workshop.model(row.system)
        except NotTrainedError as error:
            missing[name] = error
    loaded = {name: measurer.load(folder, "model") for name, folder in models.items()}
    about = {name: [one.digest, SPEED_ROWS[name].sampling.options()] for name, one in loaded.items()}
    digest = hashlib.sha256(json.dumps([PROTOCOL, measurer.precision, about], sort_keys=True).encode()).hexdigest()
    path = measurer.out / "cells" / f"speed-{digest[:DIGITS]}.json"
    if not path.exists() and loaded and not measurer.kept:
        systems, seconds = {}, 0.0
        for name, model in loaded.items():
            features, seconds = measurer.encoded(model, measurer.clips.names[0])
            systems[name] = (model, SPEED_ROWS[name].sampling, features)
        found = speed.measure(systems, seconds, on_progress=progress(workshop.announce, "table8"))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {name: vars(one) for name, one in found.items()})
    if not path.exists():
        return {}
    body = json.loads(path.read_text(encoding="utf-8"))
    return {
        name: Speed(**{**one, "interval": Interval(*one["interval"]) if one["interval"] else None})
        for name, one in body.items()
    }
