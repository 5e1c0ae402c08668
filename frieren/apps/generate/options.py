"""Options of `generate`: everything that decides how a take sounds and is written, and the model."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

from frieren.apps.checks import UnavailableError, check_device, needs_extra
from frieren.apps.weights import fetched
from frieren.cues import Cues, parse_sounds
from frieren.formats import LEVELS, AudioCodec, Levels, SampleRate
from frieren.redo import Redo

if TYPE_CHECKING:
    from frieren import Model, Sound
    from frieren.apps.progress import Bars
    from frieren.unfinished import Unfinished

Solver = Literal["euler", "midpoint", "heun", "rk4", "dopri5", "average", "ddim", "pndm", "dpm++", "autoregressive"]
Precision = Literal["float32", "bfloat16", "float16", "auto"]
Vocoder = Literal["model", "griffin-lim"]
Refinement = Literal["windows", "regulator", "time"]
Kind = Literal["video", "features", "mel"]
MOST_STEPS, LONGEST_NAME = 10_000, 1_000
DEVICE = r"auto|cpu|mps|cuda(:\d+)?"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of one take; the defaults are those of the keywords of the same name in `frieren`.

    Raises:
        ValueError: a number out of range, or a device of another name than torch's.
        ConfigError: sounds that the table of categories does not have.
    """

    model: str = "mini"
    steps: int | None = None
    guidance: float | None = None
    solver: Solver | None = None
    seed: int = 0
    vocoder: Vocoder = "model"
    device: str = "auto"
    precision: Precision = "float32"
    loudness: float | None = -20.0
    keep_original: bool = False
    levels: Levels = LEVELS
    as_track: bool = False
    audio_codec: AudioCodec | None = None
    encode: bool = True
    max_length: float = 360.0
    refine: tuple[Refinement, ...] | None = None
    kind: Kind = "video"
    cues: Cues | None = None
    sounds: str | None = None
    redo: tuple[Redo, ...] = ()
    isolate: bool = False
    sample_rate: SampleRate | None = None

    def __post_init__(self) -> None:
        if self.steps is not None and not 1 <= self.steps <= MOST_STEPS:
            raise ValueError(f"steps must lie in 1..{MOST_STEPS}, got {self.steps}")
        if not 1 <= len(self.model) <= LONGEST_NAME:
            raise ValueError(f"model must be a name of 1..{LONGEST_NAME} letters, got {len(self.model)}")
        if self.guidance is not None and not 0 <= self.guidance < math.inf:
            raise ValueError(f"guidance must be a finite number of at least 0, got {self.guidance}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must lie in 0..2^63-1, got {self.seed}")
        if not re.fullmatch(DEVICE, self.device):
            raise ValueError(f"device must be auto, cpu, cuda, cuda:N or mps, got {self.device!r}")
        if self.sounds is not None:
            parse_sounds(self.sounds)
        if self.loudness is not None and not -70 <= self.loudness <= 0:
            raise ValueError(f"loudness must lie in -70..0 LUFS or be off, got {self.loudness}")
        if not all(-100 <= level <= 40 for level in self.levels):
            raise ValueError(f"levels must lie in -100..40 dB, got {self.levels[0]:g} and {self.levels[1]:g}")
        if not 0 < self.max_length < math.inf:
            raise ValueError(f"max_length must be a positive number of minutes, got {self.max_length}")
        if self.keep_original and self.as_track:
            raise ValueError("--keep-original mixes, --as-track does not; leave one of them out")

    def needs_video(self) -> bool:
        """Return whether an option has a meaning only where the output is a video."""
        return self.keep_original or self.as_track or self.audio_codec is not None

    def settled(self) -> Options:
        """These options with the precision that "auto" is here, so that a record says what was used."""
        if self.precision != "auto":
            return self
        from frieren.catalogue import choose_device, choose_precision

        chosen = choose_precision(self.precision, choose_device(self.device))
        return replace(self, precision=cast(Precision, chosen))

    def is_half_on_cpu(self) -> bool:
        """Return whether float16 would have to run on a CPU, which has no arithmetic for it."""
        if self.precision != "float16":
            return False
        from frieren.catalogue import choose_device

        return choose_device(self.device) == "cpu"

    def load(self) -> Model:
        """The model, downloaded first if it is a published one.

        Raises:
            UnavailableError, MissingExtraError: this machine lacks the device, or the extra.
            WeightsError: see `frieren.load`.
        """
        import frieren
        from frieren.official.releases import RELEASES

        check_device(self.device)
        if self.is_half_on_cpu():
            raise UnavailableError("float16 needs a GPU, and there is none here; replay it where it was made")
        if self.vocoder == "griffin-lim":
            needs_extra("griffin-lim")
        if self.model in RELEASES:
            fetched(self.model)
        return frieren.load(
            self.model, device=self.device, precision=self.precision, vocoder=self.vocoder, refine=self.refine
        )

    def takes(
        self, model: Model, source: Path, seeds: Sequence[int], on_progress: Bars, unfinished: Mapping[int, Unfinished]
    ) -> Iterator[Sound]:
        """The sounds of a source, one per seed."""
        return model.takes(
            source,
            seeds,
            kind=self.kind,
            cues=self.cues,
            sounds=self.sounds,
            redo=self.redo,
            steps=self.steps,
            guidance=self.guidance,
            solver=self.solver,
            isolate=self.isolate,
            on_progress=on_progress,
            unfinished=unfinished,
        )


def parse_loudness(text: str) -> float | None:
    """ "-20" -> -20.0, "off" -> None.

    Raises:
        ValueError: not a number.
    """
    if text == "off":
        return None
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"loudness must be a number of LUFS such as -20, or off, got {text!r}") from None


def parse_levels(text: str) -> Levels:
    """ "-6,0" -> (-6.0, 0.0).

    Raises:
        ValueError: not two numbers.
    """
    try:
        new, original = map(float, text.split(","))
    except ValueError:
        raise ValueError(f"levels are two numbers of dB such as -6,0, got {text[:80]!r}") from None
    return new, original


def parse_sample_rate(text: str | None) -> SampleRate | None:
    """ "48000" -> 48000; None stays.

    Raises:
        ValueError: another rate.
    """
    known = {str(rate): rate for rate in get_args(SampleRate)}
    if text is not None and text not in known:
        raise ValueError(f"sample rate must be one of {', '.join(known)}, got {text!r}")
    return None if text is None else known[text]


def parse_refinements(names: Sequence[str]) -> tuple[Refinement, ...] | None:
    """Refinements by their names; None without any.

    Raises:
        ValueError: an unknown name.
    """
    known: dict[str, Refinement] = {name: name for name in get_args(Refinement)}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"refine must be one of {', '.join(known)}, got {unknown[0]!r}")
    return tuple(known[name] for name in names) or None
