"""A stretch of a sound that is made again with another seed, while all around it stays as it is.

The latent outside is held while the flow is solved, so what is made anew fits what is there; the wave outside is the
very one of before, and the two are faded into one another within the stretch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from frieren.clock import Clock

if TYPE_CHECKING:
    from torch import Tensor

FADE = 0.02  # seconds at either end of a stretch in which the old wave gives way to the new one
SHORTEST = 0.1  # seconds; in less there is no column to be made


@dataclass(frozen=True)
class Redo:
    """A stretch and its seed.

    Attributes:
        start, end: seconds ("from" and "to" in records).

    Raises:
        ValueError: an empty or very short stretch, one that begins before the sound, or no seed.
    """

    start: float = field(metadata={"key": "from"})
    end: float = field(metadata={"key": "to"})
    seed: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end < math.inf:
            raise ValueError(f"from must lie before to, and neither below 0, got {self.start:g} and {self.end:g}")
        if self.end - self.start < SHORTEST:
            raise ValueError(f"a stretch must last at least {SHORTEST:g} s, got {self.end - self.start:g}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must lie in 0..2^63-1, got {self.seed}")

    def table(self) -> dict[str, float | int]:
        """As records have it."""
        return {"from": self.start, "to": self.end, "seed": self.seed}

    def freed(self, latent: Tensor, clock: Clock) -> Tensor:
        """A latent [C, L] with NaN in the columns of the stretch: those that are to be made anew."""
        import torch  # here, since the command line has stretches among its options, and `--help` costs no torch

        times = torch.tensor(clock.column_times(latent.shape[-1]), dtype=torch.float64)
        inside = (times >= self.start) & (times < self.end)
        return latent.masked_fill(inside.to(latent.device), math.nan)

    def spliced(self, before: Tensor, after: Tensor, sample_rate: int) -> Tensor:
        """The wave `before` [S], and `after` in the stretch; outside of it every sample is that of `before`."""
        import torch

        begin, end = round(self.start * sample_rate), min(round(self.end * sample_rate), len(before))
        fade = round(FADE * sample_rate)
        share = torch.ones(end - begin)
        ramp = (torch.arange(fade) + 0.5) / fade
        if begin > 0:
            share[:fade] = ramp
        if end < len(before):
            share[-fade:] = ramp.flip(0)
        whole = before.clone()
        whole[begin:end] = (1 - share) * before[begin:end] + share * after[begin:end]
        return whole


def parse_span(text: str) -> tuple[float, float]:
    """ "2.0:3.5" -> 2.0 and 3.5 seconds.

    Raises:
        ValueError: something else.
    """
    start, colon, end = text.partition(":")
    try:
        return float(start or (0 if colon else "")), float(end)
    except ValueError:
        raise ValueError(f"a stretch is written as seconds from and to, such as 2.0:3.5, got {text[:80]!r}") from None
