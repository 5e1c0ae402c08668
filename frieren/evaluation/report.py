"""Scores with everything that they hang on: as JSON, as Markdown, as a table for the terminal."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import frieren
from frieren.evaluation.protocol import Preset
from frieren.evaluation.scores import Score
from frieren.files import replacing

if TYPE_CHECKING:
    from rich.table import Table

PACKAGES = ("torch", "numpy", "scipy", "av", "soundfile", "soxr")
DIGITS = 12  # of a hash, in tables
COLUMNS = ("score", "value", "95 % interval", "better", "count", "beside it", "warnings", "seen through", "method")
SHOWN, UNDER = ("score", "value", "95 % interval", "better"), ("seen through", "method")  # on a terminal


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
        files_sha256: of the contents of all files that were heard.
        videos, files: how many videos and generated files.
        samples: least and most samples of one video.
        generated_lengths, reference_lengths: durations that were heard.
        left_out: files that were not compared, and why.
        notes: warnings about the whole.
        timing: constants, shifts and seed of the timing scores, and the number of scripts that true instants are from;
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
        """What a reader has to know beside the numbers, in words."""
        few, many = self.samples
        changed = ", ".join(f"{name} = {value}" for name, value in self.changed.items())
        timing = {}
        if self.timing:
            scripts = self.timing["scripts"]
            known = f"visible events of {scripts} scripts, onsets heard in {self.videos - scripts} true sounds"
            timing["timing"] = f"{known}; {self.timing['shifts']} circular shifts, seed {self.timing['seed']}"
        return {
            "preset": self.preset.name + (f", but {changed}" if changed else ""),
            "generated": self.generated,
            "reference": self.reference,
            "videos": f"{self.videos}, {few if few == many else f'{few} to {many}'} samples each, {self.files} files",
            "list of videos": f"SHA-256 {self.list_sha256[:DIGITS]}",
            "contents of files": f"SHA-256 {self.files_sha256[:DIGITS]}",
            "generated sounds": str(self.generated_lengths),
            "true sounds": f"{self.reference_lengths}, crop {self.preset.crop}",
            **timing,
            "versions": ", ".join(f"{name} {number}" for name, number in versions().items()),
        }

    def to_json(self) -> str:
        """Everything, in full."""
        body = dataclasses.asdict(self)
        for row, score in zip(body["scores"], self.scores, strict=True):
            row["interval"] = score.interval._asdict() if score.interval else None
        return json.dumps(body | {"versions": versions()}, indent=2) + "\n"

    def markdown(self) -> str:
        """The table of scores, warnings, and the protocol."""
        lines = [line(COLUMNS), "|---|--:|--:|---|--:|---|---|---|---|"]
        lines += [line(cells(score)) for score in self.scores]
        lines += ["", *(f"Note: {note}." for note in self.warnings()), ""]
        lines += ["| protocol | |", "|---|---|", *(line(pair) for pair in self.protocol().items())]
        return "\n".join(lines) + "\n"

    def warnings(self) -> list[str]:
        """About the whole, and files that were left out."""
        return [*self.notes, *(f"left out: {name} ({reason})" for name, reason in self.left_out.items())]

    def table(self) -> Table:
        """The scores for a terminal; what does not fit there is in `remarks`."""
        from rich.table import Table
        from rich.text import Text

        table = Table(title=f"preset {self.protocol()['preset']}")
        for name in (*SHOWN, "beside it, warnings"):
            right = name in ("value", "95 % interval")
            table.add_column(name, justify="right" if right else "left", no_wrap=name in SHOWN)
        for score in self.scores:
            row = dict(zip(COLUMNS, cells(score), strict=True))
            last = "; ".join(filter(None, (row["beside it"], *score.notes)))
            table.add_row(*(Text(text) for text in (*map(row.get, SHOWN), last)))  # Text: brackets are no markup
        return table

    def remarks(self) -> list[str]:
        """Lines below the table: the rest of each row, warnings, and the protocol."""
        rest = [dict(zip(COLUMNS, cells(score), strict=True)) for score in self.scores]
        lines = [f"{row['score']}: {'; '.join(row[name] for name in UNDER if row[name])}" for row in rest]
        lines += [f"note: {note}" for note in self.warnings()]
        return lines + [f"{name}: {text}" for name, text in self.protocol().items()]

    def save(self, folder: Path) -> None:
        """Write `scores.json` and `scores.md`.

        Raises:
            OutputError: if the folder cannot be written to.
        """
        for name, text in (("scores.json", self.to_json()), ("scores.md", self.markdown())):
            with replacing(folder / name) as part:
                part.write_text(text, encoding="utf-8")


def cells(score: Score) -> tuple[str, ...]:
    """A score as one row of a table."""
    interval = f"{number(score.interval.low)} … {number(score.interval.high)}" if score.interval else ""
    spread = () if score.spread is None else (f"spread over splits or subsets {number(score.spread)}",)
    beside = "; ".join(f"{what} {number(value)}" for what, value in score.beside.items())
    method = (score.interval.method,) if score.interval else ()
    return (
        score.name,
        "–" if score.value is None else number(score.value),
        interval,
        score.better,
        str(score.count) if score.count else "",
        beside,
        "; ".join(score.notes),
        f"{score.backbone} {score.digest[:DIGITS]}".strip(),
        "; ".join((*method, *spread)),
    )


def number(value: float) -> str:
    """Four digits; what rounding made of 0 is 0."""
    return "0" if abs(value) < 1e-9 else f"{value:.4g}"


def line(texts: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


def versions() -> dict[str, str]:
    """What computed the scores."""
    return {
        "frieren": frieren.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }
