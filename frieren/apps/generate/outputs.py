"""What becomes of inputs: how many takes of each are made, how many stay, and where they go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import typer

from frieren.apps.checks import needs_extra
from frieren.apps.generate.batch import Make, make
from frieren.apps.generate.best import make_best
from frieren.apps.generate.options import Options
from frieren.apps.generate.plan import BatchItem, Format, NamingError, plan_outputs, wrong_option


@dataclass(frozen=True)
class Outputs:
    """The outputs that a command asks for.

    Attributes:
        out: a file or a folder; None: beside the input.
        form: file type where we choose the names.
        options: of every take, but for the seed.
        samples: takes of each input, with seeds counting up.
        best: of these, that are kept; None: all.
        overwrite: whether existing files are replaced; None: those that have a record of ours.
        resume: go on from what an earlier run has finished.

    Raises:
        typer.BadParameter: these cannot be.
        MissingExtraError: what scores takes is not installed.
    """

    out: str | None
    form: Format | None
    options: Options
    samples: int = 1
    best: int | None = None
    overwrite: bool | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        if self.options.is_half_on_cpu():
            raise typer.BadParameter("--precision float16 needs a GPU; on a CPU take bfloat16 or float32")
        if self.best is not None:
            if self.best > self.samples:
                wanted = f"--best {self.best} of --samples {self.samples}"
                raise typer.BadParameter(f"{wanted} cannot be; ask for more samples")
            needs_extra("eval")

    def plan(self, sources: Sequence[Path]) -> list[BatchItem]:
        """Names of all outputs of some inputs; one that cannot be is a wrong option."""
        seed, best = self.options.seed, self.best
        with wrong_option(NamingError):
            return plan_outputs(
                sources,
                self.out,
                self.form,
                range(seed, seed + self.samples) if best is None else range(1, best + 1),
                label="seed" if best is None else "best",
                kind=self.options.kind,
                needs_video=self.options.needs_video(),
            )

    def maker(self) -> Make:
        """What generates and saves those of one input."""
        if self.best is None:
            return partial(make, overwrite=self.overwrite, resume=self.resume)
        return partial(make_best, samples=self.samples, overwrite=self.overwrite)
