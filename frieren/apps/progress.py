"""Progress bars on the terminal: one per stage of a video, or one per part of a training run.

Where the output is not a terminal a video prints nothing, and a training run a line now and then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as Remaining

QUIET = 30.0  # seconds between two lines of a training run that is not on a terminal


class Bars:
    """The bars of one video. Call it as `on_progress(stage, done, total)`."""

    def __init__(self, name: str) -> None:
        console = Console(stderr=True)
        # File names are shown as they are: square brackets in them are not markup.
        text = TextColumn("{task.description}", markup=False)
        columns = (text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self.name = name
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        self.progress.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.progress.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage not in self.tasks:
            self.tasks[stage] = self.progress.add_task(f"{self.name}  {stage:<6}", total=None)
        self.progress.update(self.tasks[stage], completed=done, total=total or None)


class Losses:
    """The bars of a training run. `announce(heading)` begins one and returns `report(step, steps, losses)`.

    Args:
        shown: False prints nothing: of several processes one reports for all.
    """

    def __init__(self, shown: bool = True) -> None:
        self.console = Console(stderr=True, quiet=not shown)
        text = TextColumn("{task.description}", markup=False)
        columns = (text, BarColumn(20), MofNCompleteColumn(), Remaining(), TextColumn("{task.fields[losses]}"))
        # Reports may be minutes apart, so the time left is estimated from the speed of the last ten.
        self.progress = Progress(
            *columns, console=self.console, disable=not (shown and self.console.is_terminal), speed_estimate_period=600
        )

    def __enter__(self) -> Losses:
        self.progress.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.progress.stop()

    def announce(self, heading: str) -> Callable[[int, int, dict[str, float]], None]:
        task = self.progress.add_task(heading, total=None, losses="")
        printed = float("-inf")

        def report(step: int, steps: int, losses: dict[str, float]) -> None:
            nonlocal printed
            terms = [f"{name} {value:.4g}" for name, value in losses.items() if "/" in name]
            if "items_per_second" in losses:
                terms.append(f"{losses['items_per_second']:.3g} clips/s")
            text = "  ".join(terms)
            self.progress.update(task, completed=step, total=steps, losses=text)
            if not self.console.is_terminal and (step == steps or time.monotonic() - printed > QUIET):
                self.console.print(f"{heading}  {step}/{steps}  {text}", markup=False, highlight=False, soft_wrap=True)
                printed = time.monotonic()

        return report
