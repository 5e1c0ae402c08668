"""The picture of cost against length that `frieren bench generate --seconds ... --picture FILE` draws."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from frieren.pipeline.bench import GenerationBenchmark

WIDTH, HEIGHT = 8.0, 3.2  # inches


def draw(reports: Sequence[GenerationBenchmark], path: Path) -> None:
    """Seconds that each stage takes, stacked, and memory, against seconds of sound; the suffix says which format."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    first = reports[0]
    lengths = [report.sound_seconds for report in reports]
    figure, (cost, memory) = plt.subplots(1, 2, figsize=(WIDTH, HEIGHT), layout="constrained")
    stages = [name for name in first.stages["fast"] if name != "all"]
    times = [[report.stages["fast"][name] for report in reports] for name in stages]
    spent = [[time.cpu_median if first.on_cpu else time.median for time in each] for each in times]
    cost.stackplot(lengths, spent, labels=stages)
    cost.legend(loc="upper left")
    cost.set(xlabel="seconds of sound", ylabel="CPU seconds" if first.on_cpu else "seconds", title=first.model)
    memory.plot(lengths, [report.memory / 2**30 for report in reports], marker="o")
    memory.set(xlabel="seconds of sound", ylabel="GiB", title="memory of the process", ylim=(0, None))
    figure.savefig(path)
    plt.close(figure)
