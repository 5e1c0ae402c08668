"""The best of several takes of one input: made, scored, ranked, and only those saved."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from frieren.apps.generate.batch import check_free, choose_output, report, save, seconds_of
from frieren.apps.generate.options import Options
from frieren.apps.generate.plan import BatchItem
from frieren.apps.progress import Bars

if TYPE_CHECKING:
    from frieren import Model, Sound


def make_best(
    model: Model, item: BatchItem, options: Options, lead: float = 0.0, *, samples: int, overwrite: bool | None = None
) -> list[tuple[Path, Sound]]:
    """Generate takes of one input, and save and report the best, as many as it has outputs.

    Args:
        item: its outputs are numbered by rank, from 1 on.
        options: the seed is that of the first take; those of the others count up from it.
        lead: seconds that imports and loading took before.
        samples: takes that are made.
    """
    from frieren.evaluation.best import best, check_sheet

    seconds_of(item.source, options)
    targets = {rank: choose_output(item, target, options) for rank, target in item.targets.items()}
    for target in targets.values():
        check_free(target, item.source, overwrite)
    start = time.perf_counter()
    with Bars(item.source.name) as bars:
        sheet = model.spot(
            item.source,
            cues=options.cues,
            sounds=options.sounds,
            on_frame=lambda done, total: bars("spot", done, total),
            isolate=options.isolate,
        )
        check_sheet(sheet)
        told = replace(options, cues=sheet, sounds=None) if model.config.condition == "cues" else options
        takes = told.takes(model, item.source, range(options.seed, options.seed + samples), bars, {})
        kept = best(takes, len(targets), sheet)
    taken, written = (time.perf_counter() - start) / len(kept), []
    for target, sound in zip(targets.values(), kept, strict=True):
        output = save(sound, target, item.source, options, sound.record["options"]["seed"])
        report(output, sound, taken, lead)
        lead = 0.0
        written.append((output, sound))
    return written
