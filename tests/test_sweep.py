"""A setting that is swept: measured once each, with ceiling and chance, the same numbers as `evaluate timing`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

for package in ("librosa", "matplotlib", "scipy"):
    pytest.importorskip(package)

from frieren.apps.cli import main  # noqa: E402
from frieren.clock import Clock  # noqa: E402
from frieren.evaluation.foleyworld.sweep import measure  # noqa: E402
from frieren.evaluation.timing.clipsets import impact_clips  # noqa: E402

CLOCK = Clock()
OWN = {"steps": 25, "guidance": 2.0}


def test_each_setting_is_measured_once_and_drawn(tmp_path: Path) -> None:
    clips, asked = impact_clips("valid", 3, CLOCK, scan=24, picture=False), Counter()

    def generate(clip, at):
        """The later the fewer steps: 80 ms at one."""
        asked[tuple(at.items())] += 1
        return np.roll(clip.wave, round(CLOCK.sample_rate * 0.08 / at["steps"]))

    settings = {"steps": (4, 1, 1), "guidance": (2.0, 3.0)}
    report = measure(generate, clips, CLOCK.sample_rate, settings, model="late", own=OWN, shifts=20)
    assert asked == {(("steps", steps), ("guidance", gamma)): 3 for steps, gamma in ((1, 2), (4, 2), (25, 2), (25, 3))}
    scores = {at: timing.pooled["onset_f1_50ms"] for at, timing in report.curves["steps"].items()}
    assert list(scores) == [1, 4] and scores[1].value < 0.3 and scores[4].value > 0.95
    assert all(one.ceiling > 0.95 and one.chance_upper < 0.6 for one in scores.values())
    report.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"sweep.json", "sweep.md", "steps.png", "guidance.png"}
    body = json.loads((tmp_path / "sweep.json").read_text())
    assert body["own"] == OWN and body["clips"] == 3 and body["shifts"] == 20
    assert [point["guidance"] for point in body["sweeps"]["guidance"]] == [2.0, 3.0]
    assert body["sweeps"]["steps"][1]["scores"]["onset_f1_50ms"]["value"] == scores[4].value
    text = (tmp_path / "sweep.md").read_text()
    assert "against steps (guidance 2)" in text and "| guidance | value |" in text


def test_the_command_gives_what_timing_gives(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    common = ["--model", "tiny", "--clips", 2, "--split", "valid", "--seed", 3, "--steps", 1]
    assert code("evaluate", "sweep", *common, "--steps", 2, "--out", tmp_path / "sweep") == 0
    assert "onset F1, 50 ms of tiny against steps" in capsys.readouterr().out
    assert code("evaluate", "timing", *common, "--steady", 0, "--pictures", 0, "--out", tmp_path / "timing") == 0
    first, _ = json.loads((tmp_path / "sweep" / "sweep.json").read_text())["sweeps"]["steps"]
    assert first["scores"] == json.loads((tmp_path / "timing" / "timing.json").read_text())["scores"]
    assert not (tmp_path / "sweep" / "guidance.png").exists()


def code(*arguments: object) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code or 0
