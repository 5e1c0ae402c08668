"""The report on real clips: tables of timing, of categories and of named sounds, and all counts as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from frieren.evaluation.real.baselines import best_metronome
from frieren.evaluation.real.counts import pooled
from frieren.evaluation.real.measure import METRONOME, SHIFTED, ClipScores, NamedSound
from frieren.evaluation.tables import decimals, table
from frieren.evaluation.timing.protocol import UPPER, WINDOWS
from frieren.sound_recognition import true_shares
from frieren.spotting import KNOWN

HEAD = ("action", "F1 of", "found", *(f"{1e3 * window:g} ms" for window in WINDOWS))
SURE = 0.5  # certainty from which on an answer should be right
LISTED = 5  # categories of a clip that are written down
ALL = "all"
UNKNOWN = 0.5  # share of true recordings that is reckoned with where none of the test split is named right


@dataclass(frozen=True)
class TimingRow:
    """F1 of one list of times on the clips of one action, or on all.

    Attributes:
        action: or ALL.
        measured: what gave the times.
        found: how many count, the mean over its tries; None where it says nothing.
        events: how many there are.
        f1: within each of WINDOWS, the mean over its tries.
    """

    action: str
    measured: str
    found: float | None
    events: int
    f1: tuple[float, ...]


@dataclass(frozen=True)
class SoundRow:
    """How often the sounds of a model are called what they should be.

    Attributes:
        model: that made them.
        told: whether it was told what there is.
        right: by category, how many are called that; and of how many.
        true: the share of true recordings that are called what they are, mean over the sounds' categories.
        ratio: mean over the categories of the share of sounds in terms of that of true recordings, at most 1 each.
    """

    model: str
    told: bool
    right: dict[str, tuple[int, int]]
    true: float
    ratio: float


@dataclass(frozen=True)
class RealReport:
    """What was measured of all clips."""

    clips: Sequence[ClipScores]

    def timing(self) -> list[TimingRow]:
        """Rows of all scored clips, then of each action."""
        scored = [one for one in self.clips if one.clip.scored]
        actions = sorted({one.clip.action for one in scored})
        groups = [(ALL, scored), *((name, [one for one in scored if one.clip.action == name]) for name in actions)]
        return [row for name, some in groups if some for row in _rows(name, some)]

    def categories(self) -> dict[str, tuple[int, int]]:
        """Question -> (right, of), of the clips whose category is known.

        The first four are about the mean probabilities over a clip, the others about its cue sheet.
        """
        known = [one for one in self.clips if one.clip.categories]
        nothing = [one for one in self.clips if one.clip.categories == ()]
        sure = [one for one in (*known, *nothing) if one.likeliest[0][1] >= SURE]
        unknown = sum(one.likeliest[0][1] < KNOWN for one in nothing)
        return {
            "right category first": (_among(known, 1), len(known)),
            "right category among three": (_among(known, 3), len(known)),
            f"right when sure ({SURE:g} or more)": (_among(sure, 1), len(sure)),
            f"below {KNOWN:g} where nothing is known": (unknown, len(nothing)),
            "first in its sheet": (_right((one, one.sheet[:1]) for one in known), len(known)),
            "no category in its sheet where nothing is known": (sum(not one.sheet for one in nothing), len(nothing)),
        }

    def sounds(self) -> list[SoundRow]:
        """A row for each model, and for each model that was told what there is."""
        all_sounds = [sound for one in self.clips for sound in one.sounds]
        pairs = dict.fromkeys((sound.model, sound.told) for sound in all_sounds)
        return [
            _sound_row(model, told, [sound for sound in all_sounds if (sound.model, sound.told) == (model, told)])
            for model, told in sorted(pairs)
        ]

    def markdown(self) -> str:
        """The tables; one that would have no clip is left out."""
        rows, last = [], ""
        for row in self.timing():
            found = "" if row.found is None else f"{row.found:.0f} / {row.events}"
            rows.append((row.action if row.action != last else "", row.measured, found, *map(decimals, row.f1)))
            last = row.action
        shares = [
            (question, f"{right} of {clips}", decimals(right / clips))
            for question, (right, clips) in self.categories().items()
            if clips
        ]
        heard = [
            (
                row.model,
                "told" if row.told else "spotted",
                "{} of {}".format(*map(sum, zip(*row.right.values(), strict=True))),
                decimals(row.true),
                decimals(row.ratio),
            )
            for row in self.sounds()
        ]
        tables = (
            table(HEAD, rows, words=2),
            table(("what is there", "clips", "share"), shares),
            table(("sounds of", "thing", "named right", "true ones", "ratio"), heard, words=2),
        )
        return "\n".join(one for one in tables if one)

    def to_json(self) -> str:
        """The tables, and the counts of each clip, as JSON."""
        body: dict[str, Any] = {
            "windows": WINDOWS,
            "timing": [
                asdict(row) | {"f1": [None if np.isnan(one) else one for one in row.f1]} for row in self.timing()
            ],
            "categories": self.categories(),
            "sounds": [asdict(row) for row in self.sounds()],
            "clips": [_clip(one) for one in self.clips],
        }
        return json.dumps(body, indent=2) + "\n"


def _right(answers: Iterable[tuple[ClipScores, Iterable[str]]]) -> int:
    """To how many clips one of the names given is right."""
    return sum(bool(set(one.clip.categories or ()).intersection(names)) for one, names in answers)


def _among(some: Iterable[ClipScores], places: int) -> int:
    """For how many clips one of the likeliest categories is right."""
    return _right((one, [name for name, _ in one.likeliest[:places]]) for one in some)


def _rows(action: str, some: Sequence[ClipScores]) -> Iterator[TimingRow]:
    """Each thing that was measured, the baselines last."""
    for name in some[0].counts:
        counts = pooled([one.counts[name] for one in some])
        f1 = counts.f1
        if name == METRONOME:
            yield TimingRow(action, f"best {name}", None, counts.events, tuple(best_metronome(counts).tolist()))
        elif name == SHIFTED:
            yield TimingRow(action, f"{name}, mean", None, counts.events, tuple(f1.mean(axis=1).tolist()))
            upper = np.quantile(f1, UPPER, axis=1)
            yield TimingRow(action, f"{name}, {100 * UPPER:g} %", None, counts.events, tuple(upper.tolist()))
        else:
            yield TimingRow(action, name, float(counts.found.mean()), counts.events, tuple(f1.mean(axis=1).tolist()))


def _sound_row(model: str, told: bool, sounds: Sequence[NamedSound]) -> SoundRow:
    """The row of these sounds; a category without a true recording that is named counts as half of them named."""
    right = {
        wanted: (sum(one.heard == wanted for one in same), len(same))
        for wanted in dict.fromkeys(one.wanted for one in sounds)
        if (same := [one for one in sounds if one.wanted == wanted])
    }
    true = {category: true_shares().get(category) or UNKNOWN for category in right}
    ratios = [min(1.0, hits / count / true[category]) for category, (hits, count) in right.items()]
    return SoundRow(model, told, right, float(np.mean([*true.values()])), float(np.mean(ratios)))


def _clip(one: ClipScores) -> dict[str, Any]:
    """One clip, without what was drawn at random."""
    return {
        "file": one.clip.path.name,
        "action": one.clip.action,
        "categories": one.clip.categories,
        "likeliest": dict(one.likeliest[:LISTED]),
        "sheet": one.sheet,
        "events": len(one.clip.events),
        "sounds": [asdict(sound) for sound in one.sounds],
        "counts": {
            name: {"hits": counts.hits.tolist(), "found": counts.found.tolist()}
            for name, counts in one.counts.items()
            if name not in (METRONOME, SHIFTED)
        },
    }
