"""`frieren reproduce`: differences with their intervals, claims, cells that are kept, the command from end to end."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch

for package in ("librosa", "matplotlib", "scipy"):
    pytest.importorskip(package)

from frieren import sounds  # noqa: E402
from frieren.apps.cli import main  # noqa: E402
from frieren.dataset.shards import Shards  # noqa: E402
from frieren.errors import FrierenError  # noqa: E402
from frieren.evaluation.intervals import Interval  # noqa: E402
from frieren.evaluation.scores import Score  # noqa: E402
from frieren.reproduction import speed  # noqa: E402
from frieren.reproduction.cells import Cell, Sampling  # noqa: E402
from frieren.reproduction.claims import CLAIMS, Claim, check, outcome  # noqa: E402
from frieren.reproduction.clips import ClipsError, prepared_clips  # noqa: E402
from frieren.reproduction.differences import (  # noqa: E402
    DifferenceError,
    difference,
    over_seeds,
    pooled,
    seeds_apart,
)
from frieren.reproduction.results import NAMES, rows_of  # noqa: E402
from frieren.reproduction.systems import SYSTEMS, NotTrainedError, RecipeStage, Workshop  # noqa: E402
from frieren.reproduction.tables import ACC, FAD, FIGURES, TABLES  # noqa: E402
from frieren.tiny import tiny_model  # noqa: E402
from frieren.training.recipe import read_recipe  # noqa: E402
from frieren.weights import save_model_config, save_part  # noqa: E402

RNG = np.random.default_rng(0)
EASE = RNG.normal(size=80)  # what makes a video easy for both systems


def ratio_score(values: np.ndarray, weights: np.ndarray | None = None, name: str = "alignment_world") -> Score:
    weights = np.ones(len(values)) if weights is None else weights
    videos = [f"video{k:03d}" for k in range(len(values))]
    terms = tuple(zip(videos, (values * weights).tolist(), weights.tolist(), strict=True))
    return Score(name, float((values * weights).sum() / weights.sum()), "higher", None, len(values), terms=terms)


def set_score(value: float, without: np.ndarray, name: str = "fad_world") -> Score:
    return Score(name, value, "lower", None, 100, without=tuple(without.tolist()))


# -- differences --


def test_a_difference_of_means_has_the_interval_of_the_paired_t_test() -> None:
    noise = RNG.normal(scale=0.1, size=80)
    found = difference(ratio_score(EASE + 0.05 + noise), ratio_score(EASE))
    error = np.std(noise, ddof=1) / math.sqrt(80)
    middle = 0.05 + noise.mean()
    assert found.value == pytest.approx(middle)
    assert found.interval is not None
    assert found.interval[:2] == pytest.approx((middle - 1.99 * error, middle + 1.99 * error), abs=0.2 * error)


def test_videos_that_one_system_lacks_count_for_the_other() -> None:
    ours, theirs = ratio_score(np.array([1.0, 2.0, 3.0, 6.0])), ratio_score(np.array([1.0, 2.0, 3.0]))
    found = difference(ours, theirs)
    assert found.value == 1.0 and found.interval is None  # some draws have none of the three


def test_a_difference_of_distances_is_the_jackknife_of_the_difference() -> None:
    shared, own = RNG.normal(size=20), RNG.normal(scale=0.01, size=20)
    found = difference(set_score(3.0, 3 + shared + own), set_score(2.5, 2.5 + shared))
    reach = 2.093 * math.sqrt(19 / 20 * ((own - own.mean()) ** 2).sum())  # t of 19 degrees of freedom
    assert found.interval is not None and found.value == 0.5
    assert found.interval[:2] == pytest.approx((0.5 - reach, 0.5 + reach), rel=1e-3)


def test_scores_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(DifferenceError, match="cannot be compared"):
        difference(ratio_score(EASE), set_score(1.0, EASE[:20]))
    with pytest.raises(DifferenceError, match="other videos"):
        difference(set_score(1.0, EASE[:20]), set_score(1.0, EASE[:19]))
    with pytest.raises(DifferenceError, match="not measured"):
        difference(ratio_score(EASE), replace(ratio_score(EASE), value=None))


def test_trainings_are_pooled_with_videos_as_the_unit() -> None:
    first, second = ratio_score(EASE), ratio_score(EASE + 1)
    both = pooled([first, second])
    assert both.value == pytest.approx((first.value + second.value) / 2) and both.count == 160
    # As sure as one of them: what the second adds is of the same videos.
    alone = pooled([first, first])
    assert both.interval is not None and alone.interval is not None
    assert both.interval.high - both.interval.low == pytest.approx(alone.interval.high - alone.interval.low)
    assert pooled([set_score(1.0, EASE[:20]), set_score(3.0, EASE[:20] + 2)]).value == 2.0


def test_intervals_over_trainings_are_those_of_the_t_distribution() -> None:
    assert over_seeds([1.0, 2.0]) is None
    found = over_seeds([1.0, 2.0, 3.0])
    assert found is not None and found[:2] == pytest.approx(
        (2 - 4.3027 / math.sqrt(3), 2 + 4.3027 / math.sqrt(3)), 1e-4
    )
    assert seeds_apart([1.0], [2.0, 3.0]) is None
    apart = seeds_apart([1.0, 2.0, 3.0], [11.0, 12.0, 13.0])  # equal variances: 4 degrees of freedom
    reach = 2.7764 * math.sqrt(2 / 3)
    assert apart is not None and apart[:2] == pytest.approx((-10 - reach, -10 + reach), 1e-4)


# -- claims --


def interval(low: float, high: float) -> Interval:
    return Interval(low, high, "")


@pytest.mark.parametrize(
    ("sign", "intervals", "expected"),
    [
        (1, [interval(0.1, 0.2)], "holds"),
        (1, [interval(-0.2, -0.1)], "does not hold"),
        (-1, [interval(-0.2, -0.1)], "holds"),
        (-1, [interval(0.1, 0.2)], "does not hold"),
        (1, [interval(-0.1, 0.2)], "undecided"),
        (1, [interval(0.1, 0.2), interval(-0.1, 0.4)], "undecided"),
        (1, [interval(0.1, 0.2), None], "holds"),
        (1, [None], "undecided"),
    ],
)
def test_verdicts(sign, intervals, expected) -> None:
    assert outcome(sign, *intervals) == expected


def test_a_claim_goes_by_the_better_side_of_its_score() -> None:
    low, high = (
        Cell("", {}, {one.name: one for one in scores}, {}, Path())
        for scores in (
            (ratio_score(EASE), set_score(1.0, np.full(20, 1.0))),
            (ratio_score(EASE + 1), set_score(2.0, np.full(20, 2.0))),
        )
    )
    cells = {"low": [low], "high": [high]}
    better, worse = Claim("", "high", "low", (ACC, FAD)), Claim("", "high", "low", (ACC, FAD), worse=True)
    assert [one.outcome for one in check([better, worse], cells)] == [
        "holds",
        "does not hold",
        "does not hold",
        "holds",
    ]
    assert check([Claim("", "low", "gone", (ACC,))], cells)[0].outcome == "not measured"


def test_every_row_of_tables_and_claims_is_there_and_means_one_thing() -> None:
    rows = {}
    for name in NAMES:
        for row, body in rows_of(name).items():
            assert rows.setdefault(row, body).sampling == body.sampling and rows[row].system == body.system
            assert body.system in SYSTEMS
    assert {name for claim in CLAIMS for name in (claim.first, claim.second)} <= rows.keys()
    for table in TABLES.values():
        assert all(len(row.labels) == len(table.heads) for row in table.rows.values())
    assert all(row in one.rows for one in FIGURES.values() for curve in one.curves.values() for row in curve.values())


# -- systems --


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A folder of the random model."""
    config, parts = tiny_model()
    for name, part in parts.items():
        save_part(tmp_path / "tiny" / name, part, part.config)
    save_model_config(tmp_path / "tiny", config)
    return tmp_path / "tiny"


def workshop(out: Path, **options) -> Workshop:
    recipes = options.pop("recipes", Path(__file__).parent.parent / "recipes")
    return Workshop(out, recipes, lambda heading: lambda *_: None, **{"given": {}, "train": False, **options})


def test_a_system_without_a_model_says_what_trains_it(tmp_path: Path) -> None:
    with pytest.raises(NotTrainedError, match="about 1500 minutes") as error:
        workshop(tmp_path).model("foleyworld")
    assert error.value.command.startswith("frieren train ") and "foleyworld/field.toml" in error.value.command
    with pytest.raises(NotTrainedError, match="no recipe here"):
        workshop(tmp_path, given={"foleyworld": tmp_path}, recipes=tmp_path).model("im2wav")
    with pytest.raises(FrierenError, match="no such system"):
        workshop(tmp_path, given={"nobody": tmp_path})


def test_a_run_is_found_again_until_its_recipe_changes(tmp_path: Path) -> None:
    here = workshop(tmp_path, quick=True)
    recipes = [RecipeStage(here.recipes / file) for file in SYSTEMS["foleyworld"].quick]
    run = tmp_path / "runs" / f"tiny-{here.digest(recipes, [])}" / "model"
    run.mkdir(parents=True)
    (run / "config.json").write_text("{}")
    assert here.model("foleyworld") == run
    with pytest.raises(NotTrainedError):
        here.model("foleyworld-1step")  # of the same run, but not there
    with pytest.raises(NotTrainedError):
        here.model("foleyworld", seed=1)
    assert here.digest(recipes, ["optim.lr=1"]) != here.digest(recipes, [])


def test_every_systems_recipes_can_be_read(tmp_path: Path) -> None:
    """Their changes go with their keys; distillation alone begins with the run's field."""
    here = workshop(tmp_path, given={"foleyworld": tmp_path / "model"}, data=tmp_path / "data")
    for system in SYSTEMS.values():
        for file, *own in map(str.split, system.recipes):
            if not (here.recipes / file).exists():
                continue
            recipe = read_recipe(
                here.recipes / file, RecipeStage(Path(file), own).changes(here.changes(system, 1), tmp_path)
            )
            assert recipe.seed == 1
            if system.lent:
                assert recipe.shared.frozen == str(tmp_path / "model")
                assert recipe.shared.data == (str(tmp_path / "data") if system.prepared else "")
            if own == ["init={run}/field"]:
                assert recipe.init == f"{tmp_path}/field" and recipe.part == "distillation"


# -- clips --


def test_clips_of_a_prepared_data_set(tmp_path: Path) -> None:
    """Its waves are the references, bit for bit; videos are found by the ids."""
    data = datasets.write(tmp_path / "data", [datasets.Item(split, 1.0) for split in ("train", "test", "test", "test")])
    (data / "dataset.json").write_text(json.dumps({"clock": {"sample_rate": 16_000}}))
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "clip1.mp4").touch()
    with pytest.raises(ClipsError, match="no video of clip2"):
        prepared_clips(tmp_path / "out", data, "test", 2, videos)
    (videos / "clip2.mp4").write_bytes(b"another")
    found = prepared_clips(tmp_path / "out", data, "test", 2, videos)
    assert found.names == ("clip1", "clip2") and found.videos["clip2"] == videos / "clip2.mp4"
    shards = Shards(data, "test")
    for item, name in enumerate(found.names):
        wave = sounds.read(found.references / f"{name}.flac", 16_000)
        assert torch.equal(torch.as_tensor(wave), shards.read(item, "wave").float() / 32768)
    before = found.digest()
    (videos / "clip2.mp4").write_bytes(b"changed")
    assert found.digest() != before


# -- the command --


def code(*arguments: object) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code or 0


def test_tables_from_end_to_end_and_again(tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out"
    asked = ["reproduce", "table9", "table8", "--quick", "--no-train", "--model", f"foleyworld={tiny}", "-o", out]
    assert code(*asked) == 0
    text = capsys.readouterr().out
    assert "## Table 9" in text and "## Table 8" in text and "## Not run" in text and "no recipe here" in text
    assert "A learned vocoder beats Griffin-Lim: FAD" in text
    cells = sorted((out / "cells").glob("[!s]*"))
    assert len(cells) == 2  # learned and Griffin-Lim, of the one model that is there
    bodies = [json.loads(path.read_text()) for path in cells]
    assert {body["settings"]["sampling"]["vocoder"] for body in bodies} == {"model", "griffin-lim"}
    folder = out / "sounds" / cells[0].stem
    assert len(list(folder.iterdir())) == 4
    # `frieren evaluate` gives the same numbers for the same sounds.
    references, videos = (out / "clips" / "test-4" / name for name in ("references", "videos"))
    assert code("evaluate", folder, references, "--videos", videos, "-o", tmp_path / "scores") == 0
    expected = json.loads((tmp_path / "scores" / "scores.json").read_text())["scores"]
    assert not {"terms", "without"} & expected[0].keys()  # what comparisons need is kept with cells alone
    assert [one["value"] for one in bodies[0]["scores"]] == pytest.approx([one["value"] for one in expected])
    # A sound that is lost is made again, the same, and finished cells are left alone.
    lost = folder / "test-000002.flac"
    before, made = lost.read_bytes(), cells[1].stat().st_mtime_ns
    lost.unlink()
    cells[0].unlink()
    assert code(*asked) == 0
    assert lost.read_bytes() == before and cells[1].stat().st_mtime_ns == made and cells[0].exists()
    # With --kept the page is written of what is there: a row without its cell is left, times are those of before.
    cells[0].unlink()
    page = (out / "results.md").read_text()
    assert code(*asked, "--kept") == 0
    again = (out / "results.md").read_text()
    assert not cells[0].exists() and "without `--kept`" in again and "without `--kept`" not in page
    assert again.partition("## Table 8")[2].partition("##")[0] == page.partition("## Table 8")[2].partition("##")[0]


def test_an_unknown_table_is_a_wrong_option(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert code("reproduce", "table7", "-o", tmp_path) == 2
    assert "table7: choose among" in capsys.readouterr().err


def test_times_faster_are_of_the_same_rounds() -> None:
    """The second system takes half of the first one's time in every round, whatever else the machine does."""
    busy = np.array([1.0, 3.0, 2.0])[:, None]
    table = busy * np.array([[1.0, 0.5, 0.5, 9.0]])  # sample, decode, vocode, clock
    found = speed.summary(0.5 * table, table[:, :3].sum(axis=1))
    assert found.ratio == pytest.approx(2.0) and found.interval is not None
    assert found.interval[:2] == pytest.approx((2.0, 2.0)) and found.total == pytest.approx(2.0)
    assert found.stages == pytest.approx({"sample": 1.0, "decode": 0.5, "vocode": 0.5})


def test_options_leave_out_what_is_the_models_own() -> None:
    assert Sampling(steps=5, vocoder="griffin-lim").options() == {"steps": 5}
