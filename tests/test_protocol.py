"""The protocol: which files are compared and how they are read, caches, reports, and the command itself.

Most of it uses fakes, which are exact and free; what needs the networks that ship uses random ones.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

pytest.importorskip("scipy")

from frieren import world  # noqa: E402
from frieren.apps.cli import main  # noqa: E402
from frieren.apps.world import write_clip  # noqa: E402
from frieren.clock import Clock  # noqa: E402
from frieren.errors import WeightsError  # noqa: E402
from frieren.evaluation import run
from frieren.evaluation.protocol import PRESETS, FrontEnd, ProtocolError, list_hash, pair  # noqa: E402
from frieren.evaluation.run import evaluate  # noqa: E402
from frieren.evaluation.scorers import catalogue, extractors
from frieren.evaluation.scorers.alignment import WorldAlignment  # noqa: E402
from frieren.evaluation.scorers.cache import FeatureCache  # noqa: E402
from frieren.evaluation.scorers.features import WindowedExtractor, front_wave, load_extractor  # noqa: E402
from frieren.evaluation.scorers.resampling import resample_sinc  # noqa: E402
from frieren.nets.scorers.alignment import AlignmentClassifier, AlignmentConfig  # noqa: E402
from frieren.nets.scorers.tagger import Tagger, TaggerConfig  # noqa: E402
from frieren.weights import save_part  # noqa: E402

RATE = 16_000
WORLD = PRESETS["world"]


class FakeExtractor:
    """Loudness of eight pieces of a wave as the embedding, and as logits; counts its calls."""

    name, sample_rate = "fake", RATE

    def __init__(self, digest: str = "0" * 64) -> None:
        self.digest, self.calls = digest, 0

    def __call__(self, wave: torch.Tensor) -> dict[str, torch.Tensor]:
        self.calls += 1
        pieces = torch.stack([piece.std() for piece in wave.tensor_split(8)])
        return {"embedding": pieces[None], "logits": 20 * pieces}


class FakeScorer:
    """Accepts a sound whose first half is louder; counts the videos that it encodes."""

    name, digest, sample_rate, better, share, shortest = "fake scorer", "1" * 64, RATE, "higher", True, 0.5

    def __init__(self) -> None:
        self.videos = 0

    def encode_video(self, path: Path, seconds: float) -> torch.Tensor:
        self.videos += 1
        return torch.tensor(float(path.stem == "b"))

    def encode_sound(self, wave: torch.Tensor) -> torch.Tensor:
        first, second = wave.tensor_split(2)
        return (first.std() > second.std()).float()

    def score(self, video: torch.Tensor, sound: torch.Tensor) -> torch.Tensor:
        return sound.reshape(1)


def wave(seed: int, seconds: float = 1.0) -> np.ndarray:
    """Noise that swells where the seed says."""
    count = round(seconds * RATE)
    noise = 0.1 * np.random.default_rng(seed).normal(size=count)
    return noise * (1 + 4 * (np.arange(count) * 8 // count == seed % 8))


def fill(folder: Path, names: list[str], seconds: float = 1.0, change: float = 0.0) -> Path:
    """A folder of sounds; those of one video resemble each other."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        other = change * np.random.default_rng(100 + index).normal(size=round(seconds * RATE))
        soundfile.write(folder / f"{name}.wav", wave(ord(name.strip("Y")[0]), seconds) + other, RATE, subtype="FLOAT")
    return folder


@pytest.fixture
def extractor(monkeypatch: pytest.MonkeyPatch) -> FakeExtractor:
    fake = FakeExtractor()
    monkeypatch.setattr(run, "load_extractor", lambda name: fake)
    return fake


@pytest.fixture
def measure(extractor: FakeExtractor, tmp_path: Path) -> Callable:
    """`evaluate` of two folders, without scorers of video and without a cache."""

    def call(generated: Path, reference: Path, preset: str = "world", **options: object):
        options = {"scores": run.SETS, "cache": FeatureCache(False)} | options
        settings = {name: options.pop(name) for name in ("crop", "is_splits") if name in options}
        return evaluate(generated, reference, dataclasses.replace(PRESETS[preset], **settings), **options)

    return call


def values(report: run.Report) -> dict[str, float]:
    return {score.name: score.value for score in report.scores}


# -- names --


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("clip", ("clip", 0)),
        ("clip_7", ("clip", 7)),
        ("Yclip_7", ("clip", 7)),
        ("clip_frieren", ("clip", 0)),
        ("clip_frieren_seed12", ("clip", 12)),
        ("Y-0jeONf82dE_000021_3", ("-0jeONf82dE_000021", 3)),
        ("Y_a_b_0", ("_a_b", 0)),
        ("Yes_1", ("Yes", 1)),
    ],
)
def test_names_of_samples(tmp_path: Path, name: str, meant: tuple[str, int]) -> None:
    fill(tmp_path / "made", [name])
    fill(tmp_path / "true", ["x"])
    (tmp_path / "true" / "x.wav").rename(tmp_path / "true" / f"{meant[0]}.wav")
    (found,), left_out = pair(tmp_path / "made", tmp_path / "true")
    assert (found.video, found.sample) == meant and found.reference.stem == meant[0] and not left_out


def test_a_name_that_may_mean_two_things_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match=r"a_1 \(a or a_1\): may belong to more than one reference; name samples Y"):
        pair(fill(tmp_path / "made", ["a", "a_1"]), fill(tmp_path / "true", ["a", "a_1"]))
    with pytest.raises(ProtocolError, match="two files for the same video and sample: a 0; remove one"):
        pair(fill(tmp_path / "twice", ["a", "a_0"]), fill(tmp_path / "one", ["a"]))
    fill(tmp_path / "one", ["a"])
    (tmp_path / "one" / "a.flac").write_bytes(b"x")
    with pytest.raises(ProtocolError, match="a.flac, a.wav: names differ in the suffix alone"):
        pair(tmp_path / "made", tmp_path / "one")


def test_what_has_no_partner_is_named_and_stops(tmp_path: Path) -> None:
    made, true = fill(tmp_path / "made", ["a", "b", "x"]), fill(tmp_path / "true", ["a", "b", "c"])
    with pytest.raises(ProtocolError, match=r"no reference for x.wav; add it, .*--allow-missing"):
        pair(made, true)
    (made / "x.wav").unlink()
    with pytest.raises(ProtocolError, match=r"no generated file for c.wav; make it, .*--allow-missing"):
        pair(made, true)
    fill(made, ["x"])
    pairs, left_out = pair(made, true, allow_missing=True)
    assert [one.video for one in pairs] == ["a", "b"]
    assert left_out == {"x.wav": "no reference", "c.wav": "no generated file"}
    with pytest.raises(ProtocolError, match="no file has the name of one in"):
        pair(fill(tmp_path / "other", ["z"]), true, allow_missing=True)
    with pytest.raises(ProtocolError, match="not a folder"):
        pair(tmp_path / "nowhere", true)


def test_the_hash_of_a_list_depends_on_names_alone() -> None:
    assert list_hash(["b", "a", "b"]) == list_hash(["a", "b"]) != list_hash(["a", "c"])


# -- front ends --


def test_front_ends_are_those_of_their_tools() -> None:
    stereo = np.stack([np.full(3 * RATE, 0.5), np.linspace(0, 1, 3 * RATE)]).astype(np.float32)
    first = front_wave(stereo, RATE, RATE, PRESETS["paper"].front, 1.0)
    assert len(first) == 2 * RATE and not first.any()  # the first channel without its mean, filled up to 2 s
    mean = front_wave(stereo, RATE, RATE, PRESETS["av-bench"].front, 1.0)
    assert len(mean) == RATE and mean.mean() == pytest.approx(0.5 * (1 / 6 - 1 / 2), abs=1e-4)  # cut after centring
    plain = front_wave(stereo, RATE, RATE, FrontEnd(), 1.0)
    assert plain.mean() == pytest.approx(0.25 + 1 / 12, abs=1e-4)


def test_the_sinc_resampler_is_torchaudios() -> None:
    table = np.load(Path(__file__).parent / "data" / "metrics_golden_resampling.npz")
    given = torch.from_numpy(table["net.resample.in44100"])
    for rate, name in (
        (44_100, "out16000_default"),
        (44_100, "out16000_T_Resample"),
        (48_000, "from48000_same_samples"),
    ):
        np.testing.assert_allclose(resample_sinc(given, rate, RATE), table[f"net.resample.{name}"], atol=1e-5)
    kaiser = table["net.resample.out16000_fadtk_kaiser_best"]
    assert np.abs(resample_sinc(given, 44_100, RATE).numpy() - kaiser).max() == pytest.approx(0.0344725, rel=1e-3)
    assert resample_sinc(given, RATE, RATE) is given


# -- what is compared --


def test_the_reference_is_cut_to_the_generated_sound_by_default(measure: Callable, tmp_path: Path) -> None:
    made, true = fill(tmp_path / "made", ["a", "b", "c"]), fill(tmp_path / "true", ["a", "b", "c"], seconds=1.5)
    assert measure(made, true).reference_lengths.longest == 1.0
    assert measure(made, true, crop="none").reference_lengths.longest == 1.5
    both = measure(made, true, crop=0.75)
    assert both.generated_lengths.longest == both.reference_lengths.longest == 0.75
    assert measure(true, made).notes == ("3 of 3 reference sounds are shorter than the generated ones",)


def test_identical_sounds_score_nothing(measure: Callable, tmp_path: Path) -> None:
    folder = fill(tmp_path / "true", list("abcdefghijkl"))
    found = values(measure(folder, folder))
    assert abs(found["fd_world"]) < 1e-9 and abs(found["kl_world"]) < 1e-9


def test_scores_do_not_depend_on_how_files_are_called_or_ordered(measure: Callable, tmp_path: Path) -> None:
    names = list("abcdefghijkl")
    made, true = fill(tmp_path / "made", names, change=0.02), fill(tmp_path / "true", names)
    before = values(measure(made, true))
    for folder in (made, true):
        for name, new in zip(names, reversed("mnopqrstuvwx"), strict=True):
            (folder / f"{name}.wav").rename(folder / f"{new}.wav")
    after = values(measure(made, true))
    assert after == pytest.approx(before, rel=1e-6, abs=1e-12)


def test_samples_share_their_reference_and_the_paper_counts_it_once_for_each(measure: Callable, tmp_path: Path) -> None:
    videos = list("abcdefghijkl")
    made = fill(tmp_path / "made", [f"Y{name}_{k}" for name in videos for k in range(10)], change=0.02)
    true = fill(tmp_path / "true", videos)
    copies = fill(tmp_path / "copies", [f"Y{name}_{k}" for name in videos for k in range(10)])
    paper = {"preset": "paper", "is_splits": 1}
    report = measure(made, true, **paper)
    assert (report.videos, report.files, report.samples, report.notes) == (12, 120, (10, 10), ())
    copied = values(measure(made, copies, **paper))  # what the released evaluation asks for: copies by name
    assert values(report) == pytest.approx(copied, rel=1e-9, abs=1e-12)
    assert values(measure(made, true, "av-bench", is_splits=1))["fd_panns"] != pytest.approx(
        copied["fd_panns"], rel=1e-3
    )


def test_another_number_of_samples_than_the_presets_is_noted(measure: Callable, tmp_path: Path) -> None:
    true = fill(tmp_path / "true", ["a", "b", "c"])
    uneven = fill(tmp_path / "made", ["a_0", "a_1", "b_0", "c_0"])
    assert "world wants equally many samples of every video, here are 1 to 2" in measure(uneven, true).notes
    assert "paper wants 10 samples of every video, here are 1 to 1" in measure(true, true, "paper").notes


# -- files that cannot be read --


def test_unreadable_files_are_named_and_stop_the_run(measure: Callable, tmp_path: Path) -> None:
    made, true = fill(tmp_path / "made", ["a", "b", "c", "d"]), fill(tmp_path / "true", ["a", "b", "c", "d"])
    (made / "b.wav").write_bytes(b"no sound")
    soundfile.write(true / "c.wav", np.array([0.0, np.nan]), RATE, subtype="FLOAT")
    with pytest.raises(ProtocolError, match=r"cannot be read: .*b.wav .*c.wav \(holds samples that are not finite"):
        measure(made, true)
    report = measure(made, true, allow_missing=True)
    assert report.videos == 2 and {Path(name).name for name in report.left_out} == {"b.wav", "c.wav"}
    assert "left out: " in report.markdown() and "b.wav" in report.markdown()
    for path in made.glob("*.wav"):
        path.write_bytes(b"")
    with pytest.raises(ProtocolError, match="no file is left"):
        measure(made, true, allow_missing=True)


def test_an_unknown_score_is_refused(measure: Callable, tmp_path: Path) -> None:
    with pytest.raises(
        ProtocolError, match="fid: no such score; choose among fd, fad, is, kl, kid, onsets, envelope, alignment_world"
    ):
        measure(tmp_path, tmp_path, scores=["fid"])


# -- scores of video and sound --


@pytest.fixture
def scorer(monkeypatch: pytest.MonkeyPatch) -> FakeScorer:
    fake = FakeScorer()
    monkeypatch.setitem(catalogue.SCORERS, "alignment_world", lambda: fake)
    return fake


def films(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    for name in names:
        (folder / f"{name}.mp4").write_bytes(name.encode())
    return folder


def test_a_score_has_controls_as_baselines(measure: Callable, scorer: FakeScorer, tmp_path: Path) -> None:
    videos = list("abcdefgh")  # the swell of video i lies in eighth (i + 1) % 8, in the first half for a, b, c, h
    made, true = fill(tmp_path / "made", videos, 2.0), fill(tmp_path / "true", videos, 2.0)
    (score,) = measure(made, true, videos=films(tmp_path / "films", videos), scores=["alignment_world"]).scores
    assert score.value == 0.5 and score.count == 8 and score.interval.low < 0.5 < score.interval.high
    # Shifted by half of its length, what was early is late.
    shares = {
        "reference sounds": 0.5, "reference sounds shifted by 1 s": 0.5, "reference sounds of other videos": 0.5
    }  # fmt: skip
    assert score.baselines == pytest.approx(shares | {"mean probability": 0.5})
    assert scorer.videos == 8


def test_a_score_that_is_not_available_has_its_reason_in_the_report(
    measure: Callable, scorer: FakeScorer, extractor: FakeExtractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill(tmp_path / "true", ["a", "b", "c"])
    report = measure(folder, folder, scores=())
    assert report.scores[-1].value is None and "--videos FOLDER" in report.scores[-1].notes[0]
    assert re.search(r"\| alignment_world +\| higher +\| +– \|", report.markdown())
    with pytest.raises(ProtocolError, match="no video among the references for a, b, c"):
        measure(folder, folder, scores=["alignment_world"])
    monkeypatch.setenv("FRIEREN_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imagebind", None)
    for name, message in (
        ("desync", "the weights of synchformer are not here; fetch them with: frieren weights fetch synchformer"),
        ("imagebind", "imagebind needs the package imagebind"),
        ("clap", "clap needs transformers|no CLAP model is here"),
    ):
        with pytest.raises(WeightsError, match=message):
            measure(folder, folder, scores=[name], videos=films(tmp_path / name, ["a", "b", "c"]))


def test_a_scorer_may_come_from_an_installed_package(
    measure: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entry = EntryPoint("desync", "test_protocol:FakeScorer", catalogue.PLUGINS)
    monkeypatch.setattr(catalogue, "entry_points", lambda group: [entry] if group == catalogue.PLUGINS else [])
    folder = fill(tmp_path / "true", ["a", "b", "c"])
    (score,) = measure(folder, folder, scores=["desync"], videos=films(tmp_path / "films", ["a", "b", "c"])).scores
    assert score.backbone == "fake scorer" and score.value is not None


# -- cache --


def test_a_second_run_extracts_nothing_and_gives_the_same(
    measure: Callable, extractor: FakeExtractor, scorer: FakeScorer, tmp_path: Path
) -> None:
    made, true = fill(tmp_path / "made", ["a", "b", "c"], change=0.02), fill(tmp_path / "true", ["a", "b", "c"])
    options = {
        "videos": films(tmp_path / "films", ["a", "b", "c"]),
        "scores": (),
        "cache": FeatureCache(tmp_path / "kept"),
    }
    before = measure(made, true, **options)
    sounds, videos = extractor.calls, scorer.videos
    assert sounds == 6 and videos == 3
    assert measure(made, true, **options).scores == before.scores
    assert (extractor.calls, scorer.videos) == (sounds, videos)
    extractor.digest = "2" * 64  # other weights
    measure(made, true, **options)
    assert extractor.calls == sounds + 6
    soundfile.write(made / "a.wav", wave(5), RATE)  # another file under the same name
    measure(made, true, **options)
    assert extractor.calls == sounds + 7
    measure(made, true, "paper", **(options | {"scores": ["fd"]}))  # another front end
    assert extractor.calls == sounds + 13


def test_a_broken_entry_of_the_cache_is_made_again(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    key = FeatureCache.key(a=1)
    assert cache.get(key) is None
    cache.put(key, {"x": np.arange(3)})
    assert cache.get(key)["x"].tolist() == [0, 1, 2] and key != FeatureCache.key(a=2)
    cache.path(tmp_path, key).write_bytes(cache.path(tmp_path, key).read_bytes()[:50])
    assert cache.get(key) is None


def test_the_cache_is_read_without_a_parser_that_threads_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = FeatureCache(tmp_path)
    cache.put("key", {"x": np.zeros((3, 1, 2))})
    monkeypatch.setattr("ast.parse", lambda *_, **__: pytest.fail("CPython 3.11 cannot do that in two threads at once"))
    assert cache.get("key")["x"].shape == (3, 1, 2)


def test_the_cache_lies_in_the_users_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FRIEREN_CACHE", str(tmp_path))
    assert FeatureCache().folder == tmp_path / "features"


# -- the networks that ship --


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Random networks where the trained ones ship."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for name, network, config in (
            ("tagger", Tagger, TaggerConfig(classes=("a", "b", "c"), widths=(4, 4, 4), embed=8)),
            ("alignment", AlignmentClassifier, AlignmentConfig(widths=(8, 8), embed=16, hidden=8)),
        ):
            save_part(tmp_path / "scorers" / name, network(config), config)
    monkeypatch.setattr(extractors, "SHIPPED", tmp_path)
    monkeypatch.setitem(
        catalogue.SCORERS, "alignment_world", lambda: WorldAlignment(tmp_path / "scorers" / "alignment")
    )
    return tmp_path


def test_windows_are_rows_and_a_tail_is_left_out(shipped: Path) -> None:
    whole, pieces = load_extractor("world"), load_extractor("world-windows")
    sound = torch.from_numpy(wave(0, 2.5)).float()
    rows = pieces(sound)["embedding"]
    assert rows.shape == (2, 8) and pieces.name == "world-windows" and pieces.digest == whole.digest
    assert torch.equal(rows[1:], whole(sound[15_360:30_720])["embedding"])
    with pytest.raises(ValueError, match="fills no window; pad it to 15360"):
        WindowedExtractor(whole)(sound[:15_000])
    assert all(torch.isfinite(value).all() for value in whole(torch.zeros(100)).values())


def test_the_command_from_end_to_end(
    shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRIEREN_CACHE", str(tmp_path / "cache"))
    made, true, out = tmp_path / "made", tmp_path / "true", tmp_path / "new" / "out"
    made.mkdir(), true.mkdir()
    for index in range(2):
        clip = world.clip("valid", index, Clock(fps=25.0), 32)
        write_clip(clip, true / f"{index:04d}.mp4", 25.0)
        for sample in range(2):
            soundfile.write(made / f"{index:04d}_{sample}.wav", np.roll(clip.wave, 8000 * sample), clip.sample_rate)
    assert code("evaluate", made, true, "--out", out) == 0
    printed = capsys.readouterr().out
    report = json.loads((out / "scores.json").read_text())
    names = [score["name"] for score in report["scores"]]
    onsets = [f"onset_{rate}_{window}ms" for window in (50, 100) for rate in ("precision", "recall", "f1", "ap")]
    sets = ["fd_world", "fad_world", "is_world", "kl_world", "kid_world"]
    assert names == [*sets, *onsets, "onset_offset_ms", "envelope", "alignment_world"]
    assert report["timing"]["scripts"] == 2 and report["timing"]["shifts"] == 1000
    assert all(score["value"] is not None and len(score["digest"]) == 64 for score in report["scores"])
    assert report["scores"][-1]["count"] == 4  # one score for each sound
    assert set(report["scores"][3]["interval"]) == {"low", "high", "method"}
    assert report["preset"]["kid_size"] == 1000 and report["versions"]["torch"] == torch.__version__
    text = (out / "scores.md").read_text()
    assert "2, 2 samples each, 4 files" in text and report["list_sha256"][:12] in text and "singular" in text
    assert "fd_world" in printed and report["files_sha256"][:12] in printed
    assert code("evaluate", made, true, "--scores", "kl", "--kl", "sigmoid", "--crop", "6", "--no-cache") == 0
    assert "world, but crop = 6.0, kl_over = sigmoid" in capsys.readouterr().out


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert code("evaluate", tmp_path, tmp_path, "--crop", "long") == 2
    assert code("evaluate", tmp_path, tmp_path, "--preset", "mine") == 2
    capsys.readouterr()
    folder = fill(tmp_path / "true", ["a"])
    assert code("evaluate", tmp_path / "nowhere", folder) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "frieren: " in error


def test_the_published_networks_are_asked_for_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("FRIEREN_CACHE", str(tmp_path))
    folder = fill(tmp_path / "true", ["a"])
    assert code("evaluate", folder, folder, "--preset", "paper") == 1
    assert "frieren weights fetch panns" in capsys.readouterr().err


def code(*arguments: object) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code or 0


def test_command_line_and_presets_have_the_same_names() -> None:
    from typing import get_args

    from frieren.apps import evaluate as verb
    from frieren.evaluation import divergence

    assert get_args(verb.Preset) == tuple(PRESETS)
    assert get_args(verb.Over) == get_args(divergence.Over)
    for preset in PRESETS.values():
        assert {*preset.scorers} <= catalogue.loaders().keys()
        assert preset.name == "world" or "world" not in preset.labels
