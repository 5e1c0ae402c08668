"""The benchmark: counted by hand, with stand-ins of known quality, and compared with `evaluate scorers`."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

for package in ("librosa", "matplotlib", "scipy"):
    pytest.importorskip(package)

import clips  # noqa: E402
import soundfile  # noqa: E402

import frieren  # noqa: E402
from frieren import world  # noqa: E402
from frieren.apps.cli import main  # noqa: E402
from frieren.clock import Clock  # noqa: E402
from frieren.evaluation.foleyworld import benchmark, fitting, report, resynthesis  # noqa: E402
from frieren.evaluation.foleyworld.aims import fitting_aims  # noqa: E402
from frieren.evaluation.foleyworld.observed import ObservedClip, ObservedSound, Observer, images  # noqa: E402
from frieren.evaluation.foleyworld.quality import PAIRS, TAGGER, Decisions, QualityReport  # noqa: E402
from frieren.evaluation.foleyworld.quality import measure as measure_scorers  # noqa: E402
from frieren.evaluation.foleyworld.takes import Takes  # noqa: E402
from frieren.evaluation.intervals import clopper_pearson  # noqa: E402
from frieren.evaluation.paired import PairedScore, capped, paired_difference, paired_ratio  # noqa: E402
from frieren.evaluation.scorers.alignment import WorldAlignment  # noqa: E402
from frieren.evaluation.scorers.extractors import load_world  # noqa: E402
from frieren.evaluation.timing import aims  # noqa: E402
from frieren.evaluation.timing.by_kind import OnsetTiming, mismatches  # noqa: E402
from frieren.evaluation.timing.onset_detector import Onsets  # noqa: E402
from frieren.evaluation.timing.protocol import SoundTiming  # noqa: E402
from frieren.spectrogram import log_mel, spectral_distance  # noqa: E402
from frieren.world.script import Event  # noqa: E402

RATE = 16_000


def sound_timing(*times: float) -> SoundTiming:
    return SoundTiming(Onsets(np.array(times), np.ones(len(times))), np.zeros(800), 8.0)


def impacts(kind: str, level: int, unseen: bool, events: tuple, reference: tuple, generated: tuple) -> ObservedClip:
    """A clip with `events`; the detector finds `reference` in its sound, `generated` in that of the model "m"."""
    contacts = tuple(Event(kind, "wood", time, 1.0, 0.5, 0.5, True, 100.0) for time in events)
    clip = SimpleNamespace(kinds=(kind,), level=level, unseen=unseen, events=contacts)
    sounds = (ObservedSound(sound_timing(*times), None, None) for times in (reference, generated))
    return ObservedClip(clip, next(sounds), {"m": next(sounds)})


CLIPS = [
    impacts("ball", 0, False, (1, 2, 3, 4), (1, 2, 3, 4), (1.04, 2, 3.06, 4)),  # 3 of 4 within 50 ms; reference: 4 of 4
    impacts("ball", 1, True, (1, 2), (1, 5), (1,)),  # 2 * 1 / (2 + 1); reference: 2 * 1 / (2 + 2)
    impacts("drum", 1, False, (1.03, 6), (1.03, 6), ()),  # nothing
]
RAIN = ObservedClip(
    SimpleNamespace(kinds=("rain",), level=0, unseen=False, events=()),
    ObservedSound(None, 1.0, "rain"),
    {"m": ObservedSound(None, 1.0, "rain")},
)


def onset_timing(observed: list[ObservedClip], shifts: int) -> OnsetTiming | None:
    """Onset F1 of the model "m", with few shifts."""
    with pytest.MonkeyPatch.context() as patch:
        few = functools.partial(benchmark.measure_onsets, shifts=shifts)
        patch.setattr(benchmark, "measure_onsets", few)
        return benchmark.onset_timing(observed, "m")


def test_timing_is_what_a_hand_counts() -> None:
    found = onset_timing([*CLIPS[:2], RAIN, CLIPS[2]], 50)
    every = found.groups["all"]["all"]
    generated, reference = 2 * (3 + 1) / (4 + 4 + 2 + 1 + 2), 2 * (4 + 1 + 2) / (4 + 4 + 2 + 2 + 2 + 2)
    assert every[:3] == pytest.approx((generated, reference, generated / reference)) and every.clips == 3
    assert every.interval is None, "three clips carry no interval"
    flat = {group: (round(one.value, 6), one.clips) for some in found.groups.values() for group, one in some.items()}
    ball = (2 * 4 / 11) / (2 * 5 / 12)
    known = {
        "ball": (ball, 2), "drum": (0, 1), "level 0": (0.75, 1), "level 1": ((2 / 5) / (2 * 3 / 8), 2),
        "an unseen pair": ((2 / 3) / 0.5, 1), "seen pairs": ((2 * 3 / 10) / 1, 2),
    }  # fmt: skip
    assert {group: flat[group] for group in known} == {k: (round(v, 6), n) for k, (v, n) in known.items()}
    assert 0 < found.chance < found.chance_95 < generated


def test_mismatched_sounds_share_no_kind_and_are_compared_with_these_events() -> None:
    events = [one.clip for one in CLIPS]
    assert all(events[a].kinds != events[b].kinds for a, b in mismatches(events, 0))
    # The drum's silence matches neither ball; either ball's 1 or 1.04 matches the drum's 1.03.
    counts = {4: 2 * 1 / (4 + 2 + 2 + 4), 1: 2 * 1 / (4 + 2 + 2 + 1)}
    assert onset_timing(CLIPS, 5).mismatched in [pytest.approx(f1) for f1 in counts.values()]
    alone = onset_timing(CLIPS[:2], 5)
    assert np.isnan(alone.mismatched) and onset_timing([RAIN], 5) is None


def test_a_ratio_and_its_interval() -> None:
    hits, ones = np.tile([3.0, 1.0, 2.0, 4.0], 15), np.full(60, 5.0)
    assert paired_ratio(hits, ones, hits, ones)[2:4] == (1, (1, 1, "bootstrap"))
    assert paired_ratio(hits / 2, ones, hits, ones)[2] == 0.5 and paired_ratio(hits / 2, ones, hits, ones).interval[
        :2
    ] == (0.5, 0.5)
    low, high, _ = paired_ratio(hits, ones, hits[::-1].copy(), ones).interval
    assert low < 1 < high
    once = np.eye(60)[0]
    undefined = paired_ratio(np.zeros(60), np.ones(60), once, np.ones(60))
    assert undefined.value == 0 and undefined.interval is None  # many draws have no reference hit
    assert paired_ratio(hits[:59], ones[:59], hits[:59], ones[:59]).interval is None
    assert paired_difference(hits, hits / 2).interval and paired_difference(hits[:59], hits[:59] / 2).interval is None


def paired(generated: float, reference: float, clips: int = 10) -> PairedScore:
    return PairedScore(generated, reference, generated / reference if reference else np.inf, None, clips)


def test_what_one_kind_gains_does_not_make_up_for_what_another_lacks() -> None:
    """Ratios 2, 0.5 and 0.9 are 1, 0.5 and 0.9; a kind that no reference sound is named as has none."""
    kinds = {"all": paired(0.8, 0.8), "bell": paired(0.8, 0.4), "hammer": paired(0.3, 0.6), "drum": paired(0.9, 1.0)}
    found = capped(kinds | {"saw": paired(0.5, 0.0)})
    assert found == (pytest.approx(2.4 / 3), "hammer", 0.5, 3) and capped({"saw": paired(0.5, 0.0)}) is None
    mean, worst = list(fitting_aims("m", paired_difference([], []), kinds))
    assert (mean.value, mean.bound, worst.value, worst.met) == (pytest.approx(0.8), 0.95, 0.5, False)
    assert "hammer" in worst.what


def test_the_misses_of_the_scorers_are_among_the_aims() -> None:
    """The classifier that rejects a sixth of what fits is no more right for the models that it is to measure."""
    decisions = {
        name: Decisions([1.0] * hits + [0.0] * (100 - hits), list(range(100)))
        for name, hits in zip((TAGGER, *PAIRS), (92, 84, 5, 6, 50), strict=True)
    }
    found = benchmark.Benchmark({}, {}, 100, {}, QualityReport(decisions, "test", 100, {})).aims()
    assert {aim.what: aim.met for aim in found} == {
        "tagger, single source: accepted": True,
        "matched: accepted": False,
        "shifted: accepted": True,
        "mismatched, another kind: accepted": False,
    }
    assert [aim.requirement for aim in found] == ["≥ 0.9", "≥ 0.95", "≤ 0.1", "≤ 0.05"]


def test_a_share_by_kind_has_an_exact_interval() -> None:
    """Clopper-Pearson: for none of 11 the upper bound is 1 - 0.025^(1 / 11); it covers whatever the truth is."""
    assert clopper_pearson(0.0, 11)[:2] == pytest.approx((0, 1 - 0.025 ** (1 / 11)))
    assert clopper_pearson(1.0, 8)[:2] == pytest.approx((0.025 ** (1 / 8), 1))
    assert clopper_pearson(np.nan, 0) is None
    bounds = [clopper_pearson(hits / 9, 9) for hits in range(10)]
    for truth in np.linspace(0.01, 0.99, 50):
        chances = [math.comb(9, hits) * truth**hits * (1 - truth) ** (9 - hits) for hits in range(10)]
        assert sum(chances[hits] for hits in range(10) if bounds[hits][0] <= truth <= bounds[hits][1]) >= 0.95
    row = report.by_kind_row(("hammer", paired(0.0, 8 / 11, 11)))
    assert row == ("hammer", "11", "0.000", "0.000 … 0.285", "0.727", "0.000")


def test_shares_are_of_the_clips_that_allow_them() -> None:
    def observe(kind: str, accepted: tuple, names: tuple) -> ObservedClip:
        clip = SimpleNamespace(kinds=(kind,), level=0, unseen=False)
        reference, generated = (ObservedSound(None, *one) for one in zip(accepted, names, strict=True))
        return ObservedClip(clip, reference, {"m": generated})

    observed = [
        observe("ball", (1.0, 0.0), ("ball", "ball")),
        observe("ball", (1.0, 1.0), ("ball", "drum")),
        observe("drum", (0.0, 1.0), ("ball", "drum")),
        observe("drum", (1.0, 0.0), (None, None)),
        observe("bell", (None, None), ("bell", "bell")),
    ]
    assert fitting.alignment(observed, "m")[:3] == (0.5, 0.75, -0.25)
    kinds = fitting.kinds(observed, "m")
    assert kinds["all"][:3] == pytest.approx((3 / 4, 3 / 4, 1)) and kinds["all"].clips == 4
    assert kinds["ball"][:3] == (0.5, 1, 0.5) and kinds["drum"][:2] == (1, 0) and kinds["drum"].value == np.inf
    assert paired_difference([], []).clips == 0


def test_a_sound_is_generated_once_and_is_the_models_own(tmp_path: Path) -> None:
    model, rendered = frieren.load("tiny", device="cpu"), []

    def render(fps: float, size: int) -> np.ndarray:
        rendered.append((fps, size))
        return images(7, fps, size)

    takes = Takes("tiny", model, tmp_path)
    first = takes.sound(7, render, RATE)
    assert rendered == [(25.0, 32)] and torch.equal(takes.sound(7, render, RATE), first) and len(rendered) == 1
    latent = model.sample(model.encode(torch.from_numpy(images(7, 25.0, 32)).float() / 255), seconds=8.0, seed=7)
    expected = model.vocode(model.decode(latent))[:128_000]
    assert first.shape == (128_000,) and (first - expected).abs().max() <= 0.5 / 32768 + 1e-7
    (takes.folder / "0007.flac").unlink()
    assert torch.equal(Takes("tiny", model, tmp_path).sound(7, render, RATE), first) and len(rendered) == 2


def test_other_settings_have_another_folder(tmp_path: Path) -> None:
    model = frieren.load("tiny", device="cpu")
    before = Takes("tiny", model, tmp_path)
    assert Takes("tiny", model, tmp_path).folder == before.folder
    model.digest = "other weights"
    after = Takes("tiny", model, tmp_path)
    assert after.folder != before.folder and before.folder.exists()
    assert json.loads((before.folder / "takes.json").read_text()) == before.settings and before.settings["steps"] == 4


class ReferenceSounds:
    """A stand-in for `Takes`: the clips' own sounds, late."""

    def __init__(self, name: str, late: float) -> None:
        self.name, self.late = name, late

    def sound(self, index, render, sample_rate):
        wave = world.clip("test", index, Clock(sample_rate=sample_rate), picture=False).wave
        return torch.from_numpy(np.roll(wave, round(self.late * sample_rate)))


def test_reference_sounds_reach_the_ceiling_and_late_ones_do_not() -> None:
    takes = [ReferenceSounds("own", 0.0), ReferenceSounds("late", 0.09)]
    tagger, classifier = load_world(), WorldAlignment()
    observed = list(Observer(takes, tagger, classifier).observe(8))
    assert observed and [one.clip.index for one in observed] == sorted(one.clip.index for one in observed)
    own, late = (benchmark.onset_timing(observed, name).overall for name in ("own", "late"))
    assert own.reference > 0.95 and own.value == 1 and late.value < 0.4
    # By the same networks, another way through the code.
    decisions = measure_scorers("test", 8, tagger, classifier).decisions
    assert fitting.alignment(observed, "own").reference == decisions["matched"].share
    assert fitting.alignment(observed, "own").value == 0
    assert fitting.kinds(observed, "late")["all"].reference == decisions["tagger, single source"].share


class Hum(torch.nn.Module):
    """A stand-in for a vocoder: a tone as loud as the mel."""

    context = None

    def __init__(self, *_: object) -> None:
        super().__init__()

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        level = (10 ** mel.mean(dim=1)).repeat_interleave(256, dim=-1)
        return level * torch.sin(torch.arange(level.shape[-1]) / 3)


def test_a_vocoder_that_is_griffin_lims_is_as_near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resynthesis, "GriffinLim", Hum)
    model = frieren.load("tiny", device="cpu")
    model.parts["vocoder"] = Hum()
    waves = [torch.from_numpy(clips.noise(1.0, RATE, seed)) for seed in (0, 1)]
    found = resynthesis.measure(model, waves, load_world())
    assert found.times_nearer(resynthesis.VOCODER) == {"stft": 1, "fad_world": 1} and found.rows == 2
    assert found.times_nearer(resynthesis.AUTOENCODER) == {"stft": 1, "fad_world": 1}  # from the mel that it has
    assert found.interval(resynthesis.VOCODER)[:2] == (1, 1) and "2 rows for 128 dimensions" in found.notes[0]
    hummed = [Hum()(log_mel(wave[None, :15_872], model.config.mel)) for wave in waves]
    distances = [spectral_distance(one, wave[None, :15_872]) for one, wave in zip(hummed, waves, strict=True)]
    assert found.measures["stft"][resynthesis.VOCODER] == pytest.approx(float(np.mean(distances)))
    assert found.measures["stft"][resynthesis.AUTOENCODER] != found.measures["stft"][resynthesis.VOCODER]


def test_a_vocoder_is_compared_with_griffin_lim_from_its_own_mel() -> None:
    far = dict(zip(resynthesis.METHODS, (1.0, 3.0, 2.0, 12.0), strict=True))  # vocoder, after the autoencoder, rivals
    found = resynthesis.Resynthesis({method: np.full(4, one) for method, one in far.items()}, far, 300)
    assert found.times_nearer(resynthesis.VOCODER) == {"stft": 2, "fad_world": 2}
    assert found.times_nearer(resynthesis.AUTOENCODER) == {"stft": 4, "fad_world": 4}
    assert found.interval(resynthesis.AUTOENCODER)[:2] == pytest.approx((4, 4))


def test_models_that_share_their_vocoder_are_measured_once() -> None:
    first, second, third = (frieren.load("tiny", device="cpu") for _ in range(3))
    next(third.vocoder.parameters()).data.add_(1)
    assert list(resynthesis.distinct({"a": first, "b": second, "c": third})) == ["a", "c"]
    second.config = dataclasses.replace(second.config, griffin_lim_iterations=2)
    assert list(resynthesis.distinct({"a": first, "b": second})) == ["a", "b"]


def test_recordings_are_of_the_test_split_and_fill_a_window(tmp_path: Path) -> None:
    for name, seconds in (("a", 0.5), ("b", 12.0), ("c", 1.5)):
        soundfile.write(tmp_path / f"{name}.wav", clips.noise(seconds, RATE), RATE)
    (tmp_path / "manifest.csv").write_text("path,split\na.wav,test\nb.wav,test\nc.wav,train\n")
    model = frieren.load("tiny", device="cpu")
    short, long = resynthesis.recorded_sounds(model, tmp_path, 2)
    assert len(long) == 10 * RATE and len(short) == 2 * 8000 and torch.equal(short[:8000], short[8000:16_000])
    (only,) = resynthesis.recorded_sounds(model, tmp_path, 1)
    assert torch.equal(only, short)


def test_an_aim_is_met_from_its_bound_on_and_never_by_what_is_not_defined() -> None:
    assert aims.Aim("", "", 0.9, 0.9).met and not aims.Aim("", "", 0.89, 0.9).met
    assert aims.Aim("", "", 0.05, 0.05, least=False).met and not aims.Aim("", "", 0.06, 0.05, least=False).met
    assert not aims.Aim("", "", np.nan, 0.0).met and not aims.Aim("", "", np.nan, 9.0, least=False).met
    found = onset_timing(CLIPS, 5)
    many, worst, control = aims.timing_aims("m", 25, found)
    assert (many.bound, next(aims.timing_aims("m", 1, found)).bound) == (0.9, 0.85)
    assert (
        "drum" in worst.what and worst.value == 0 and control.value == abs(found.mismatched - found.mismatched_chance)
    )


def test_the_command_measures_writes_and_goes_on_where_it_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "VOCODED", 1)
    out, folder = tmp_path / "out", tmp_path / "recordings"
    folder.mkdir()
    command = ["foleyworld", out, "--model", "tiny", "--limit", 4, "--recordings", folder]
    soundfile.write(folder / "a.wav", clips.noise(2.0, RATE), RATE)
    assert code("evaluate", *command) == 0
    printed = capsys.readouterr().out
    assert printed == (out / "benchmark.md").read_text() + "\n" and "| timing: F1, generated / reference " in printed
    assert max(len(line) for line in printed.splitlines() if line.startswith("|")) <= 80
    body = json.loads((out / "benchmark.json").read_text())
    assert body["clips"] == 4
    assert list(body["vocoders"]) == ["tiny, FoleyWorld", "tiny, recordings"] and body["models"]["tiny"]["timing"]
    assert {"timing.png", "kinds.png", "sounds"} < {path.name for path in out.iterdir()}
    made = sorted(out.glob("sounds/tiny-*/*.flac"))
    before = {path: path.stat().st_mtime_ns for path in made}
    made[0].unlink()
    assert code("evaluate", *command, "--check") == 1  # noise meets no aim
    assert [path for path in made if path.stat().st_mtime_ns != before[path]] == made[:1]
    again = json.loads((out / "benchmark.json").read_text())
    assert again == body


def code(*arguments: object) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code or 0
