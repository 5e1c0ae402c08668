"""How much the best of several takes lifts what is heard as asked, and what strikes when asked, on written sheets.

python tests/best_of.py --model mini-1step --samples 4 --every 2
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from command import make_video

import frieren
from frieren.categories import Category, categories
from frieren.cues import Cues, SoundCue, Strike
from frieren.evaluation.best import score
from frieren.sound_recognition import recognise_sound

SECONDS = 4.0
STRIKES = (0.5, 1.1, 1.9, 2.3, 3.2)  # seconds, of what strikes


def sheet_of(category: Category) -> Cues:
    """A sheet of one category alone, as a person would write it."""
    is_struck = category.behaviour == "impact"
    return Cues((SoundCue(category.name),), tuple(map(Strike, STRIKES)) if is_struck else ())


def measure(model: frieren.Model, every: int, samples: int) -> Iterator[dict[str, object]]:
    """Each take of each sheet: its scores, and whether the likeliest category is the one that was asked for."""
    with tempfile.TemporaryDirectory() as folder:
        video = make_video(Path(folder) / "blank.mp4", SECONDS)
        for category in categories()[::every]:
            sheet = sheet_of(category)
            for seed, take in enumerate(model.takes(video, range(samples), cues=sheet)):
                heard = recognise_sound(take.samples, take.sample_rate)
                named = categories()[int(heard.within(0, SECONDS).argmax())].name
                scores = score(take)
                yield {
                    "category": category.name, "seed": seed, "named": named, "what": scores.what, "when": scores.when,
                    "total": scores.total, "windows": heard.logits.softmax(-1).round(decimals=4).tolist(),
                }  # fmt: skip


def summary(takes: list[dict[str, object]]) -> dict[str, float]:
    """Shares over all takes, and over the best of each sheet."""
    sheets: dict[str, list[dict[str, object]]] = {}
    for take in takes:
        sheets.setdefault(str(take["category"]), []).append(take)
    chosen = [max(each, key=lambda take: take["total"]) for each in sheets.values()]
    found = {"sheets": len(sheets)}
    for name, some in (("any", takes), ("best", chosen)):
        found[f"named as asked, {name}"] = float(np.mean([take["named"] == take["category"] for take in some]))
        found[f"onset F1, {name}"] = float(np.mean([take["when"] for take in some if take["when"] is not None]))
    return found


def main() -> None:
    """Measure, write every take to a file, and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mini-1step")
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--every", type=int, default=2, help="Every how many categories of the table.")
    parser.add_argument("--out", type=Path, default=Path("best_of.json"))
    asked = parser.parse_args()
    takes = []
    for take in measure(frieren.load(asked.model, device="cpu"), asked.every, asked.samples):
        takes.append(take)
        asked.out.write_text(json.dumps(takes))
    print(json.dumps(summary(takes), indent=2))


if __name__ == "__main__":
    main()
