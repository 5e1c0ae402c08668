"""The benchmark as JSON, as tables, and as plots: `benchmark.json`, `benchmark.md`, `timing.png`, `kinds.png`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from frieren import world
from frieren.evaluation.foleyworld.aims import KIND
from frieren.evaluation.foleyworld.benchmark import Benchmark
from frieren.evaluation.foleyworld.resynthesis import RIVALS
from frieren.evaluation.intervals import clopper_pearson
from frieren.evaluation.paired import ALL, PairedScore, capped
from frieren.evaluation.pictures import plot_groups
from frieren.evaluation.report import versions
from frieren.evaluation.tables import decimals, span, table
from frieren.evaluation.timing.aims import WORST_KIND, Aim
from frieren.evaluation.timing.protocol import SHIFTS, WINDOW
from frieren.files import replacing

COMPARED, SPAN = ("clips", "generated", "reference"), "95 % interval"


def save(found: Benchmark, folder: Path) -> None:
    """Write all four.

    Raises:
        OutputError: if the folder cannot be written to.
    """
    for name, text in (("benchmark.json", to_json(found)), ("benchmark.md", markdown(found))):
        with replacing(folder / name) as part:
            part.write_text(text, encoding="utf-8")
    timing = {name: one.timing.groups["kind"] for name, one in found.models.items() if one.timing}
    named = {name: {kind: k for kind, k in one.kinds.items() if kind != ALL} for name, one in found.models.items()}
    f1 = f"onset F1 within {1e3 * WINDOW:g} ms, generated / reference"
    plots = (
        ("timing.png", timing, f1, WORST_KIND),
        ("kinds.png", named, "named by the tagger, generated / reference", KIND),
    )
    for name, scores, label, aim in plots:
        points = {
            model: {kind: (one.value, one.interval) for kind, one in kinds.items()}
            for model, kinds in scores.items()
            if kinds
        }
        if points:
            plot_groups(folder / name, points, score=label, aim=aim)


def to_json(found: Benchmark) -> str:
    """Return all numbers and what they depend on; what is not defined is null."""
    body = {
        "world_version": world.WORLD_VERSION, "split": "test", "clips": found.clips, "shifts": SHIFTS,
        "scorers": dict(found.digests), "versions": versions(),
        "decisions of the scorers": found.scorers.rows() if found.scorers else [],
        "aims": [asdict(aim) | {"met": aim.met} for aim in found.aims()],
        "models": {
            name: {
                "sounds": one.takes,
                "timing": one.timing and asdict(one.timing),
                "alignment": one.alignment, "kinds": one.kinds, "kinds, capped": capped(one.kinds),
            }
            for name, one in found.models.items()
        },
        "vocoders": {
            name: {"sounds": one.sounds, "rows": one.rows, "notes": one.notes, **one.measures,
                   "Griffin-Lim is further, times": {
                       method: one.times_nearer(method) | {"interval of stft": one.interval(method)}
                       for method in RIVALS
                   }}
            for name, one in found.vocoders.items()
        },
    }  # fmt: skip
    return json.dumps(plain(body), indent=2, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """Turn named tuples into dictionaries, and what is no finite number into None."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def markdown(found: Benchmark) -> str:
    """Return the aims, then all tables."""
    sections = {
        "Aims": aims(found),
        "Timing": timing(found),
        "Timing by group": by_group(found),
        "Alignment": alignment(found),
        "Kind": kinds(found),
        "Kind by kind": by_kind(found),
        "Vocoder": vocoders(found),
    }
    return "\n".join(f"## {name}\n\n{text}" for name, text in sections.items() if text)


def aims(found: Benchmark) -> str:
    """Return a table of the aims of each model, vocoder and the detector, and what was measured."""
    head = ("aim", "required", "met", "measured")
    by_owner: dict[str, list[Aim]] = {}
    for aim in found.aims():
        by_owner.setdefault(aim.of, []).append(aim)
    return headed(
        (of, table(head, (aim_row(aim) for aim in some), words=3)) for of, some in by_owner.items()
    )  # fmt: skip


def timing(found: Benchmark) -> str:
    """Return tables of F1 over all clips, of chance, and of mismatched videos."""
    timings = {name: one.timing for name, one in found.models.items() if one.timing}
    scores = ((name, *compared(one.overall)) for name, one in timings.items())
    controls = (
        (
            name,
            *map(decimals, (one.chance, one.chance_95, one.mismatched, one.mismatched_chance)),
            decimals(one.mismatched - one.mismatched_chance),
        )
        for name, one in timings.items()
    )
    names = ("model", "chance", "its 95 %", "mismatched", "its chance", "difference")
    return "\n".join(filter(None, (table(("model", *COMPARED, "ratio", SPAN), scores), table(names, controls))))


def by_group(found: Benchmark) -> str:
    """Return a table of F1 by kind, level and pair for each model; few clips have no interval."""
    head = ("clips of", *COMPARED, "ratio", SPAN)
    return headed(
        (name, table(head, ((group, *compared(k)) for some in one.timing.groups.values() for group, k in some.items())))
        for name, one in found.models.items()
        if one.timing
    )


def alignment(found: Benchmark) -> str:
    """Return a table of the shares that the classifier accepts."""
    rows = ((name, *compared(one.alignment)) for name, one in found.models.items() if one.alignment.clips)
    return table(("model", *COMPARED, "difference", SPAN), rows)


def kinds(found: Benchmark) -> str:
    """Return tables of the shares of clips whose kind the tagger names, and of its ratios by kind, 1 at most."""
    rows = ((name, *compared(one.kinds[ALL])) for name, one in found.models.items() if ALL in one.kinds)
    means = ((name, capped(one.kinds)) for name, one in found.models.items())
    by_kind = (
        (name, str(one.groups), decimals(one.mean), decimals(one.value), one.worst) for name, one in means if one
    )
    return "\n".join(
        filter(
            None,
            (
                table(("model", *COMPARED, "ratio", SPAN), rows),
                table(("model", "kinds", "mean of capped ratios", "lowest ratio", "of"), by_kind),
            ),
        )
    )


def by_kind(found: Benchmark) -> str:
    """Return a table of the same shares by kind, for each model; the interval is that of the generated share."""
    head = ("kind", "clips", "generated", SPAN, "reference", "ratio")
    return headed((name, table(head, map(by_kind_row, one.kinds.items()))) for name, one in found.models.items())


def vocoders(found: Benchmark) -> str:
    """Return tables of the distances of resynthesised sounds, and by how much Griffin-Lim is further away."""
    head = ("measure", "method", "distance", "Griffin-Lim", "ratio")
    sections = []
    for name, one in found.vocoders.items():
        rows = (
            (measure, method, *map(decimals, (of[method], of[rival], of[rival] / of[method])))
            for measure, of in one.measures.items()
            for method, rival in RIVALS.items()
        )
        notes = "".join(f"\nNote: {note}.\n" for note in one.notes)
        sections.append((f"{name} ({one.sounds} sounds)", table(head, rows, words=2) + notes))
    return headed(sections)


def headed(sections: Iterable[tuple[str, str]]) -> str:
    """Return texts under headings of the third level; nothing of an empty text."""
    return "\n".join(f"### {name}\n\n{text}" for name, text in sections if text)


def aim_row(aim: Aim) -> tuple[str, ...]:
    """Return one aim as a row."""
    return aim.what, aim.requirement, "yes" if aim.met else "no", decimals(aim.value)


def by_kind_row(named: tuple[str, PairedScore]) -> tuple[str, ...]:
    """Return kind, clips, generated with its Clopper-Pearson interval, reference and ratio."""
    kind, one = named
    span_of = span(clopper_pearson(one.generated, one.clips))
    return kind, str(one.clips), decimals(one.generated), span_of, *map(decimals, (one.reference, one.value))


def compared(one: PairedScore) -> tuple[str, ...]:
    """Return clips, generated, reference, how they compare, and its interval."""
    return (str(one.clips), *map(decimals, (one.generated, one.reference, one.value)), span(one.interval))
