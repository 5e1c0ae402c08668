"""Scores with everything that they depend on: as JSON, and as Markdown that reads well on a terminal."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from frieren.evaluation.protocol import Preset
from frieren.evaluation.scores import Score
from frieren.evaluation.tables import NOT_DEFINED, table
from frieren.files import replacing
from frieren.version import __version__

PACKAGES = ("torch", "numpy", "scipy", "av", "soundfile", "soxr")
DIGITS = 12  # of a hash, in words


@dataclass(frozen=True)
class Lengths:
    """Durations of a set of sounds, seconds."""

    shortest: float
    median: float
    longest: float

    def __str__(self) -> str:
        same = self.longest - self.shortest < 0.0005
        return (
            f"{self.median:.3f} s"
            if same
            else f"{self.shortest:.3f} to {self.longest:.3f} s, median {self.median:.3f} s"
        )


@dataclass(frozen=True)
class Report:
    """One evaluation.

    Attributes:
        scores: in order.
        preset: every setting.
        changed: settings that are not the preset's own.
        generated, reference: the folders.
        list_sha256: of the ids, see `protocol.list_hash`.
        files_sha256: of the contents of all files that were read.
        videos, files: how many videos and generated files.
        samples: least and most samples of one video.
        generated_lengths, reference_lengths: durations that were used.
        left_out: files that were not compared, and why.
        notes: warnings about the whole.
        timing: constants, shifts and seed of the timing scores, and the number of scripts with reference onsets;
            empty if timing was not measured.
    """

    scores: Sequence[Score]
    preset: Preset
    changed: Mapping[str, Any]
    generated: str
    reference: str
    list_sha256: str
    files_sha256: str
    videos: int
    files: int
    samples: tuple[int, int]
    generated_lengths: Lengths
    reference_lengths: Lengths
    left_out: Mapping[str, str]
    notes: tuple[str, ...] = ()
    timing: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def protocol(self) -> dict[str, str]:
        """Return what a reader has to know besides the numbers, in words."""
        few, many = self.samples
        changed = ", ".join(f"{name} = {value}" for name, value in self.changed.items())
        timing = {}
        if self.timing:
            scripts = self.timing["scripts"]
            known = f"visible events of {scripts} scripts, detected onsets of {self.videos - scripts} reference sounds"
            timing["timing"] = f"{known}; {self.timing['shifts']} circular shifts, seed {self.timing['seed']}"
        return {
            "preset": self.preset.name + (f", but {changed}" if changed else ""),
            "generated": self.generated,
            "reference": self.reference,
            "videos": f"{self.videos}, {few if few == many else f'{few} to {many}'} samples each, {self.files} files",
            "list of videos": f"SHA-256 {self.list_sha256[:DIGITS]}",
            "contents of files": f"SHA-256 {self.files_sha256[:DIGITS]}",
            "generated sounds": str(self.generated_lengths),
            "reference sounds": f"{self.reference_lengths}, crop {self.preset.crop}",
            **timing,
            "versions": ", ".join(f"{name} {number}" for name, number in versions().items()),
        }

    def to_json(self) -> str:
        """Return everything, in full, but for what comparisons need."""
        body = dataclasses.asdict(self)
        for entry, score in zip(body["scores"], self.scores, strict=True):
            entry["interval"] = score.interval._asdict() if score.interval else None
            del entry["terms"], entry["without"]
        return json.dumps(body | {"versions": versions()}, indent=2) + "\n"

    def markdown(self) -> str:
        """Return the table of scores; below it baselines, methods, warnings, and the protocol."""
        lines = [table(("score", "better", "value", "95 % interval"), map(row, self.scores), words=2)]
        for title, of in (("Baselines", baselines), ("Made of", made_of)):
            lines += section(title, ((score.name, of(score)) for score in self.scores))
        notes = [(score.name, note) for score in self.scores for note in score.notes]
        lines += section("Notes", [*notes, *(("all", note) for note in self.warnings())])
        lines += section("Protocol", self.protocol().items())
        return "\n".join(lines)

    def warnings(self) -> list[str]:
        """Return warnings about the whole, and files that were left out."""
        return [*self.notes, *(f"left out: {name} ({reason})" for name, reason in self.left_out.items())]

    def save(self, folder: Path) -> None:
        """Write `scores.json` and `scores.md`.

        Raises:
            OutputError: if the folder cannot be written to.
        """
        for name, text in (("scores.json", self.to_json()), ("scores.md", self.markdown())):
            with replacing(folder / name) as part:
                part.write_text(text, encoding="utf-8")


def row(score: Score) -> tuple[str, ...]:
    """Return a score as a row of the table."""
    value = NOT_DEFINED if score.value is None else number(score.value)
    interval = f"{number(score.interval.low)} … {number(score.interval.high)}" if score.interval else ""
    return score.name, score.better, value, interval


def baselines(score: Score) -> str:
    """Return a score's baselines in words."""
    return ", ".join(f"{what} {number(value)}" for what, value in score.baselines.items())


def made_of(score: Score) -> str:
    """Return a score's count, network, method of its interval, and spread, in words."""
    network = f"{score.backbone} {score.digest[:DIGITS]}".strip()
    method = score.interval.method if score.interval else ""
    spread = "" if score.spread is None else f"spread over splits or subsets {number(score.spread)}"
    return "; ".join(filter(None, (str(score.count) if score.count else "", network, method, spread)))


def section(title: str, entries: Iterable[tuple[str, str]]) -> list[str]:
    """Return a list under a heading, one line an entry; nothing without entries."""
    lines = [f"- {name}: {text}" for name, text in entries if text]
    return [f"{title}:\n", *lines, ""] if lines else []


def number(value: float) -> str:
    """Return four digits; what rounding made of 0 is 0."""
    return "0" if abs(value) < 1e-9 else f"{value:.4g}"


def versions() -> dict[str, str]:
    """Return the versions of what computed the scores."""
    return {
        "frieren": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }
