"""The benchmark as JSON, as tables, and as pictures: `benchmark.json`, `benchmark.md`, `timing.png`, `kinds.png`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from frieren import world
from frieren.evaluation.foleyworld.aims import KIND, WORST_KIND
from frieren.evaluation.foleyworld.benchmark import Benchmark
from frieren.evaluation.foleyworld.beside import ALL, Beside
from frieren.evaluation.foleyworld.resynthesis import RIVALS, WAYS
from frieren.evaluation.pictures import plot_groups
from frieren.evaluation.report import line, versions
from frieren.evaluation.timing.scores import SHIFTS
from frieren.files import replacing

F1 = "onset F1 within 50 ms"


def save(found: Benchmark, folder: Path) -> None:
    """Write all four.

    Raises:
        OutputError: if the folder cannot be written to.
    """
    for name, text in (("benchmark.json", to_json(found)), ("benchmark.md", markdown(found))):
        with replacing(folder / name) as part:
            part.write_text(text, encoding="utf-8")
    timed = {name: one.struck.groups["kind"] for name, one in found.models.items() if one.struck}
    named = {name: {kind: k for kind, k in one.kinds.items() if kind != ALL} for name, one in found.models.items()}
    drawn = (
        ("timing.png", timed, f"{F1}, generated / true", WORST_KIND),
        ("kinds.png", named, "named by the tagger, generated / true", KIND),
    )
    for name, scores, label, aim in drawn:
        points = {model: {kind: one[2:4] for kind, one in kinds.items()} for model, kinds in scores.items() if kinds}
        if points:
            plot_groups(folder / name, points, score=label, aim=aim)


def to_json(found: Benchmark) -> str:
    """All numbers and what they hang on; what is not defined is null."""
    body = {
        "world_version": world.WORLD_VERSION, "split": "test", "clips": found.clips, "shifts": SHIFTS,
        "judges": dict(found.digests), "versions": versions(),
        "aims": [asdict(aim) | {"met": aim.met} for aim in found.aims()],
        "models": {
            name: {
                "sounds": one.takes,
                "timing": one.struck and asdict(one.struck),
                "alignment": one.alignment, "kinds": one.kinds,
            }
            for name, one in found.models.items()
        },
        "vocoders": {
            name: {"sounds": one.sounds, "rows": one.rows, "notes": one.notes, **one.measures,
                   "Griffin-Lim is further, times": {
                       way: one.times_nearer(way) | {"interval of stft": one.interval(way)} for way in RIVALS
                   }}
            for name, one in found.vocoders.items()
        },
        "real": [asdict(one) for one in found.real],
    }  # fmt: skip
    return json.dumps(plain(body), indent=2, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """Tuples with names as tables; null for what is no finite number."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def markdown(found: Benchmark) -> str:
    """The aims, and behind them all tables."""
    sections = {
        "Aims": verdicts(found),
        "Timing": timing(found),
        "Timing by group": by_group(found),
        "Alignment and kind": fitting(found),
        "Kind by kind": by_kind(found),
        "Vocoder": vocoders(found),
        "Real clips": real(found),
    }
    return "\n".join(f"## {name}\n\n{text}" for name, text in sections.items() if text)


def verdicts(found: Benchmark) -> str:
    """Every aim beside what was measured."""
    rows = ((aim.what, aim.of, number(aim.value), aim.asked, "yes" if aim.met else "**no**") for aim in found.aims())
    return table(("aim", "of", "measured", "asked", "met"), rows)


def timing(found: Benchmark) -> str:
    """F1 of all clips, chance, and foreign videos."""
    head = ("model", "clips", "generated", "true", "ratio", "95 % interval", "chance", "chance, 95th percentile")
    rows = []
    for name, one in found.models.items():
        if (struck := one.struck) is not None:
            every = struck.groups[ALL][ALL]
            controls = (struck.chance, struck.chance_95, struck.published_name, struck.foreign_chance)
            apart = struck.foreign - struck.foreign_chance
            rows.append((name, str(every.clips), *compared(every), *map(number, (*controls, apart))))
    return table((*head, "foreign videos", "their chance", "difference"), rows)


def by_group(found: Benchmark) -> str:
    """F1 by kind, level and pair, for all models side by side."""
    timed = {name: one.struck.groups for name, one in found.models.items() if one.struck}
    if not timed:
        return ""
    first = next(iter(timed.values()))
    rows = [
        (group, str(one.clips), number(one.true), *side_by_side([of[by][group] for of in timed.values()]))
        for by, some in first.items()
        for group, one in some.items()
    ]
    return table(("clips of", "clips", "true", *each(timed)), rows)


def fitting(found: Benchmark) -> str:
    """Shares that the classifier accepts, and that the tagger names."""
    head = ("share", "model", "clips", "generated", "true", "difference, or ratio", "95 % interval")
    rows = []
    for name, one in found.models.items():
        pairs = {"accepted, difference": one.alignment, "named, ratio": one.kinds.get(ALL)}
        rows += [(what, name, str(b.clips), *compared(b)) for what, b in pairs.items() if b is not None and b.clips]
    return table(head, rows, words=2)


def by_kind(found: Benchmark) -> str:
    """Shares that the tagger names by kind, for all models side by side."""
    first = next(iter(found.models.values())).kinds
    rows = [
        (kind, str(one.clips), number(one.true), *side_by_side([of.kinds[kind] for of in found.models.values()]))
        for kind, one in first.items()
    ]
    return table(("kind", "clips", "true", *each(found.models)), rows)


def vocoders(found: Benchmark) -> str:
    """Distances of resynthesised sounds, and by how much Griffin and Lim are further away."""
    rows = []
    for name, one in found.vocoders.items():
        for measure, of in one.measures.items():
            times = (one.times_nearer(way)[measure] for way in RIVALS)
            rows.append((name, measure, str(one.sounds), *map(number, (*of.values(), *times))))
    head = ("sounds", "measure", "number")
    notes = [f"\n{name}: {note}.\n" for name, one in found.vocoders.items() for note in one.notes]
    return table((*head, *WAYS, *(f"Griffin-Lim / {way}" for way in RIVALS)), rows, words=2) + "".join(notes)


def real(found: Benchmark) -> str:
    """F1 of real clips within 50 and 100 ms, beside chance."""
    within = [f"{name}, {ms} ms" for ms in (50, 100) for name in ("F1", "chance", "95th percentile")]
    rows = []
    for one in found.real:
        scores = (one.scores[f"onset_f1_{ms}ms"] for ms in (50, 100))
        values = [number(score[key]) for score in scores for key in ("value", "chance_mean", "chance_95")]
        rows.append((one.file, one.model, *map(str, one.onsets), *values))
    return table(("clip", "model", "onsets generated", "onsets true", *within), rows, words=2)


def compared(one: Beside) -> tuple[str, ...]:
    """Generated, true, how they compare, and its interval."""
    return (*map(number, one[:3]), span(one))


def side_by_side(models: Sequence[Beside]) -> list[str]:
    """Under the heads of `each`."""
    return [text for one in models for text in (number(one.made), number(one.value), span(one))]


def each(models: Sequence[str]) -> list[str]:
    """Heads of three columns for each model."""
    return [f"{name}{what}" for name in models for what in ("", " / true", ", 95 % interval")]


def span(one: Beside) -> str:
    return " … ".join(map(number, one.interval[:2])) if one.interval else "–"


def number(value: float | None) -> str:
    """Three decimals, or a dash."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.3f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> str:
    """A Markdown table whose first columns, so many, hold words and the others numbers; nothing of no rows."""
    body = [line(row) for row in rows]
    rule = "|" + "---|" * words + "--:|" * (len(head) - words)
    return "\n".join([line(head), rule, *body]) + "\n" if body else ""
