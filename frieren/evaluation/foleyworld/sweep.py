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
from frieren.evaluation.timing import impacts
from frieren.evaluation.timing.scores import HEADING, RULE, SHIFTS, Timing, table_row

if TYPE_CHECKING:
    from frieren.world import Clip

SCORE, LABEL = "onset_f1_50ms", "onset F1, 50 ms"
PLOTS = {"steps": plot_steps, "guidance": plot_guidance}


@dataclass(frozen=True)
class SweepReport:
    """Timing of one model at several settings.

    Attributes:
        model: its name, for tables and pictures.
        own: the model's own steps and guidance; what is not swept stays there.
        curves: of "steps" and "guidance", those that were swept: setting -> scores.
        about: split, seed and whatever else the numbers hang on, ready for JSON.
    """

    model: str
    own: Mapping[str, float]
    curves: Mapping[str, Mapping[float, Timing]]
    about: Mapping[str, Any]

    @cached_property
    def summaries(self) -> dict[str, dict[float, dict[str, Any]]]:
        """All timing scores at every setting of every curve."""
        return {name: {at: one.summary() for at, one in curve.items()} for name, curve in self.curves.items()}

    def to_json(self) -> str:
        """All timing scores at every setting, and the constants."""
        points = {
            name: [{name: at, "scores": scores} for at, scores in curve.items()]
            for name, curve in self.summaries.items()
        }
        some = next(timing for curve in self.curves.values() for timing in curve.values())
        body = {"model": self.model, "own": dict(self.own), **self.about, "sweeps": points}
        return json.dumps(body | some.settings(), indent=2) + "\n"

    def markdown(self) -> str:
        """A table of the score for each setting that was swept."""
        lines = []
        for name, curve in self.summaries.items():
            fixed = ", ".join(f"{other} {value:g}" for other, value in self.own.items() if other != name)
            lines += [f"{LABEL} of {self.model} against {name} ({fixed})", "", HEADING.replace("score", name, 1), RULE]
            lines += [table_row(f"{at:g}", scores[SCORE]) for at, scores in curve.items()]
            lines.append("")
        return "\n".join(lines)

    def save(self, folder: Path) -> None:
        """Write sweep.json, sweep.md and one picture for each setting that was swept.

        The line of chance in a picture is the mean over its points: each has its own, which the table tells.
        """
        (folder / "sweep.json").write_text(self.to_json(), encoding="utf-8")
        (folder / "sweep.md").write_text(self.markdown(), encoding="utf-8")
        for name, curve in self.summaries.items():
            rows = {at: scores[SCORE] for at, scores in curve.items()}
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
) -> SweepReport:
    """Run the protocol of `impacts` once for every setting; a setting that occurs twice is measured once.

    Args:
        generate: (clip, steps and guidance) -> wave [S] at `sample_rate`.
        clips: as `impact_clips` gives them.
        sample_rate: of the true and the generated waves.
        settings: values of "steps" and of "guidance"; a name without values is not swept.
        model, own, about: as of the report.
        shifts, seed: of the random circular shifts.
    """
    measured: dict[tuple, Timing] = {}

    def timing(chosen: Mapping[str, float]) -> Timing:
        key = tuple(sorted(chosen.items()))
        if key not in measured:
            made = impacts.measure(lambda clip: generate(clip, chosen), clips, sample_rate, shifts=shifts, seed=seed)
            measured[key] = made.timing
        return measured[key]

    curves = {
        name: {at: timing({**own, name: at}) for at in sorted(set(values))}
        for name, values in settings.items()
        if values
    }
    return SweepReport(model, own, curves, {**(about or {}), "clips": len(clips)})
