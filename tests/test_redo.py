"""A stretch made again: outside of it nothing changes, inside of it everything, and a record makes it again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from command import make_video, run

import frieren
from frieren.clock import Clock
from frieren.errors import ConfigError
from frieren.redo import Redo, parse_span
from frieren.solver import SOLVERS

RATE = 16_000


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("clips") / "clip.mp4", 2.0)


@pytest.mark.parametrize("solver", SOLVERS)
def test_what_is_kept_of_a_latent_is_kept_and_the_rest_is_of_the_other_seed(solver: str) -> None:
    model = frieren.load("tiny", device="cpu")
    features = torch.randn(50, 16, generator=torch.Generator().manual_seed(0))
    options = {"seconds": 2.0, "steps": 3, "solver": solver}
    first = model.sample(features, seed=1, **options)
    kept = first.clone()
    kept[:, 10:20] = torch.nan
    again = model.sample(features, seed=2, kept=kept, **options)
    free = torch.zeros(first.shape[-1], dtype=torch.bool)
    free[10:20] = True
    assert torch.equal(again[:, ~free], first[:, ~free])
    assert (again[:, free] - first[:, free]).abs().mean() > 0.1
    everything = model.sample(features, seed=2, kept=torch.full_like(first, torch.nan), **options)
    torch.testing.assert_close(everything, model.sample(features, seed=2, **options), rtol=0, atol=1e-6)


def test_the_field_sees_what_is_kept_on_its_straight_way() -> None:
    """At every evaluation the held columns are (1 - t) x0 + t x1."""
    model, seen = frieren.load("tiny", device="cpu"), []
    first = torch.randn(model.field.config.latent, 40, generator=torch.Generator().manual_seed(3))
    kept = first.clone()
    kept[:, 30:] = torch.nan
    noise = torch.randn(len(first), 160, generator=torch.Generator().manual_seed(4))
    handle = model.field.register_forward_pre_hook(lambda module, given: seen.append((given[0], given[1])))
    features = torch.zeros(50, 16)
    model.sample(features, seconds=40 / model.clock.latent_rate, noise=noise, kept=kept, steps=4, guidance=1.0)
    handle.remove()
    assert len(seen) == 4
    for x, t in seen:
        share = float(t[0])
        straight = (1 - share) * noise[:, :30] + share * first[:, :30]
        torch.testing.assert_close(x[0, :, :30], straight, rtol=0, atol=1e-5)


def test_a_wave_is_the_very_one_outside_and_another_inside(clip: Path) -> None:
    model = frieren.load("tiny", device="cpu")
    before = model.generate(clip, seed=1)
    after = model.generate(clip, seed=1, redo=[Redo(0.5, 1.0, 7)])
    assert torch.equal(after.wave[:8000], before.wave[:8000]) and torch.equal(after.wave[16000:], before.wave[16000:])
    change = (after.wave - before.wave)[8000:16000].abs()
    assert change[400:-400].mean() > 10 * change[[0, -1]].mean() > 0
    assert after.record["redo"] == [{"from": 0.5, "to": 1.0, "seed": 7}] and "redo" not in before.record
    both = model.generate(clip, seed=1, redo=[Redo(0.5, 1.0, 7), Redo(1.5, 9.0, 8)])
    assert torch.equal(both.wave[:24000], after.wave[:24000])
    assert not torch.allclose(both.wave[-200:], after.wave[-200:], atol=1e-4)
    assert both.record["wave_sha256"] != after.record["wave_sha256"]


def test_the_level_of_the_rest_stays(clip: Path, tmp_path: Path) -> None:
    model = frieren.load("tiny", device="cpu")
    before = model.generate(clip, seed=1)
    after = model.generate(clip, seed=1, redo=[Redo(0.5, 1.0, 7)])
    muted = after.wave.clone().index_fill_(0, torch.arange(9000, 15000), 0.0)
    loud = frieren.Sound(muted, RATE, level_of=after.level_of)
    files = [sound.save(tmp_path / f"{number}.wav") for number, sound in enumerate((before, after, loud))]
    one, other, third = (soundfile.read(file)[0] for file in files)
    assert np.array_equal(one[:8000], other[:8000]) and np.array_equal(one[16000:], third[16000:])


def test_a_record_is_redone_and_the_redone_one_replayed(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = tmp_path / "first.wav"
    assert run("generate", clip, "-o", first, "--model", "tiny", "--seed", 3, "--steps", 2) == 0
    for before, after, seed in (("first", "first_redo", 4), ("first_redo", "second", 9)):
        options = [] if seed == 4 else ["--seed", seed, "-o", tmp_path / "second.wav"]
        record = tmp_path / f"{before}.wav.json"
        assert run("generate", "--redo", "0.5:1.0" if seed == 4 else "1.2:1.6", "--from", record, *options) == 0
        assert json.loads((tmp_path / f"{after}.wav.json").read_text())["command"]["redo"][-1]["seed"] == seed
    waves = [soundfile.read(tmp_path / f"{name}.wav")[0] for name in ("first", "first_redo", "second")]
    changed = [np.flatnonzero(one != other) / RATE for one, other in zip(waves, waves[1:], strict=False)]
    for found, start, end in ((changed[0], 0.5, 1.0), (changed[1], 1.2, 1.6)):
        assert len(found) > 1000 and start <= found[0] < start + 0.02 and end - 0.02 < found[-1] < end
    capsys.readouterr()
    assert run("generate", "--replay", tmp_path / "second.wav.json") == 0
    assert "identical: every sample is the one recorded" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--redo", "1:2"], 2, "go together"),
        (["--redo", "2:1", "--from", "a.json"], 2, "from must lie before to"),
        (["--redo", "1-2", "--from", "a.json"], 2, "such as 2.0:3.5"),
        (["--redo", "1:1.01", "--from", "a.json"], 2, "at least 0.1 s"),
        (["--redo", "1:2", "--from", "a.json", "--steps", 3], 2, "leave out steps"),
        (["--redo", "5:6", "--from", "a.json"], 1, "lies beyond the end"),
        (["--redo", "1:2", "--from", "none.json"], 1, "none.json"),
    ],
)
def test_what_cannot_be_redone_is_said(
    options: list[object], code: int, said: str, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("generate", clip, "-o", tmp_path / "a.wav", "--model", "tiny", "--steps", 1) == 0
    (tmp_path / "a.wav.json").rename(tmp_path / "a.json")
    given = [tmp_path / option if str(option).endswith(".json") else option for option in options]
    assert run("generate", *given) == code
    assert said in " ".join(capsys.readouterr().err.replace("│", " ").split())


@pytest.mark.parametrize(("start", "end"), [(0.1, 0.3), (0.0, 0.3), (0.2, 9.0), (0.0, 0.5)])
def test_one_wave_gives_way_to_the_other_within_the_stretch(start: float, end: float) -> None:
    """Of zeros and ones the share of the new one is left: a ramp of 20 samples at each end that lies within."""
    whole = Redo(start, end, 1).spliced(torch.zeros(500), torch.ones(500), 1000)
    first, last = round(start * 1000), min(round(end * 1000), 500)
    wanted, ramp = torch.zeros(500), (torch.arange(20) + 0.5) / 20
    wanted[first:last] = 1
    if first:
        wanted[first : first + 20] = ramp
    if last < 500:
        wanted[last - 20 : last] = ramp.flip(0)
    torch.testing.assert_close(whole, wanted)


def test_the_columns_of_a_stretch_are_free() -> None:
    clock = Clock()
    free = Redo(0.5, 1.0, 1).freed(torch.zeros(2, 60), clock).isnan()
    assert free.tolist() == [[0.5 <= time < 1.0 for time in clock.column_times(60)]] * 2


def test_spans_and_stretches(tmp_path: Path) -> None:
    assert parse_span("2:3.5") == (2.0, 3.5) and parse_span(":1") == (0.0, 1.0)
    for wrong in ("", "2", "a:b", "1:2:3", "2:"):
        with pytest.raises(ValueError, match="such as 2"):
            parse_span(wrong)
    with pytest.raises(ValueError, match="seed"):
        Redo(1.0, 2.0, -1)
    for start, end in ((-0.5, 1.0), (1.0, 1.0), (2.0, 1.0), (1.0, float("inf"))):
        with pytest.raises(ValueError, match="from must lie before to"):
            Redo(start, end, 1)
    with pytest.raises(ValueError, match=r"at least 0\.1 s"):
        Redo(1.0, 1.05, 1)
    model = frieren.load("tiny", device="cpu")
    np.save(tmp_path / "a.npy", np.zeros((model.config.mel.bins, 60), np.float32))
    with pytest.raises(ConfigError, match="a mel is only vocoded"):
        list(model.takes(tmp_path / "a.npy", [0], kind="mel", redo=[Redo(0.0, 1.0, 1)]))
