"""How much a setting matters: onset F1 against solver steps and against guidance, on clips of visible impacts.

frieren evaluate sweep --model mini --steps 1 --steps 5 --steps 25 --guidance 1 --guidance 2.5 -o sweep/
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frieren.evaluation.pictures import Point, plot_guidance, plot_steps
from frieren.evaluation.tables import table
from frieren.evaluation.timing import impacts
from frieren.evaluation.timing.onset_scores import HEADING, TimingScores, score_row
from frieren.evaluation.timing.protocol import F1, SHIFTS, WINDOW

if TYPE_CHECKING:
    from frieren.world import Clip

LABEL = f"onset F1, {1e3 * WINDOW:g} ms"
PLOTS = {"steps": plot_steps, "guidance": plot_guidance}


@dataclass(frozen=True)
class SweepReport:
    """Timing of one model at several settings.

    Attributes:
        model: its name, for tables and pictures.
        own: the model's own steps and guidance; what is not swept stays there.
        curves: of "steps" and "guidance", those that were swept: setting -> scores.
        about: split, seed and whatever else the numbers depend on, ready for JSON.
    """

    model: str
    own: Mapping[str, float]
    curves: Mapping[str, Mapping[float, TimingScores]]
    about: Mapping[str, Any]

    @cached_property
    def summaries(self) -> dict[str, dict[float, dict[str, Any]]]:
        """All timing scores at every setting of every curve."""
        return {name: {at: one.summary() for at, one in curve.items()} for name, curve in self.curves.items()}

    def to_json(self) -> str:
        """Return all timing scores at every setting, and the constants."""
        points = {
            name: [{name: at, "scores": scores} for at, scores in curve.items()]
            for name, curve in self.summaries.items()
        }
        some = next(timing for curve in self.curves.values() for timing in curve.values())
        body = {"model": self.model, "own": dict(self.own), **self.about, "sweeps": points}
        return json.dumps(body | some.settings(), indent=2) + "\n"

    def markdown(self) -> str:
        """Return a table of the score for each setting that was swept."""
        lines = []
        for name, curve in self.summaries.items():
            fixed = ", ".join(f"{other} {value:g}" for other, value in self.own.items() if other != name)
            rows = (score_row(f"{at:g}", scores[F1]) for at, scores in curve.items())
            lines += [f"{LABEL} of {self.model} against {name} ({fixed})", "", table((name, *HEADING[1:]), rows)]
        return "\n".join(lines)

    def save(self, folder: Path) -> None:
        """Write sweep.json, sweep.md and one picture for each setting that was swept.

        The line of chance in a plot is the mean over its points: each has its own, which stands in the table.
        """
        (folder / "sweep.json").write_text(self.to_json(), encoding="utf-8")
        (folder / "sweep.md").write_text(self.markdown(), encoding="utf-8")
        for name, curve in self.summaries.items():
            rows = {at: scores[F1] for at, scores in curve.items()}
            points = [Point(at, row["value"], row["interval"]) for at, row in rows.items()]
            chance = float(np.mean([row["chance_mean"] for row in rows.values()]))
            ceiling = next(iter(rows.values()))["ceiling"]
            PLOTS[name](folder / f"{name}.png", {self.model: points}, score=LABEL, ceiling=ceiling, chance=chance)


def measure(
    generate: Callable[[Clip, Mapping[str, float]], np.ndarray],
    clips: Sequence[Clip],
    sample_rate: int,
    settings: Mapping[str, Sequence[float]],
    *,
    model: str,
    own: Mapping[str, float],
    shifts: int = SHIFTS,
    seed: int = 0,
    about: Mapping[str, Any] | None = None,
    on_clip: Callable[[Mapping[str, float], int], None] = lambda at, done: None,
) -> SweepReport:
    """Measure by `impacts` once for every setting; a setting that occurs twice is measured once.

    Args:
        generate: (clip, steps and guidance) -> wave [S] at `sample_rate`.
        clips: as `impact_clips` gives them.
        sample_rate: of the reference and the generated waves.
        settings: values of "steps" and of "guidance"; a name without values is not swept.
        model, own, about: as of the report.
        shifts, seed: of the random circular shifts.
        on_clip: called with (steps and guidance, clips done at this setting) after each clip.
    """
    measured: dict[tuple[tuple[str, float], ...], TimingScores] = {}

    def timing(chosen: Mapping[str, float]) -> TimingScores:
        key = tuple(sorted(chosen.items()))
        if key not in measured:
            measured[key] = impacts.measure(
                lambda clip: generate(clip, chosen),
                clips,
                sample_rate,
                model=model,
                steps=int(chosen["steps"]),
                shifts=shifts,
                seed=seed,
                on_clip=lambda index, clip, wave: on_clip(chosen, index + 1),
            ).scores
        return measured[key]

    curves = {
        name: {at: timing({**own, name: at}) for at in sorted(set(values))}
        for name, values in settings.items()
        if values
    }
    return SweepReport(model, own, curves, {**(about or {}), "clips": len(clips)})
