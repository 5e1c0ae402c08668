"""frieren.Sound: saved alone or with its video, at the loudness that was asked for."""

from __future__ import annotations

import clips
import numpy as np
import pytest
import torch

import frieren
from frieren import loudness, sounds, video
from frieren.errors import OutputError
from frieren.longwave import LongWave

RATE = 16_000


@pytest.fixture
def sound(tmp_path) -> frieren.Sound:
    """1.2 s of quiet noise for a video with a sound of its own."""
    old = (clips.noise(1.2, RATE, 1), RATE, 0.0)
    source = clips.video(tmp_path / "source.mp4", clips.EVEN, sounds=[old])
    return frieren.Sound(torch.from_numpy(0.3 * clips.noise(1.2, RATE)), RATE, source)


def test_its_length_in_seconds(sound):
    assert sound.seconds == pytest.approx(1.2)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "A.WAV"])
def test_a_sound_file_without_a_loudness_has_the_samples_themselves(tmp_path, sound, name):
    path = sound.save(tmp_path / name, loudness=None)
    assert path == tmp_path / name
    assert np.abs(sounds.read(path, RATE) - sound.wave.numpy()).max() <= 0.5 / 32768 + 1e-7


@pytest.mark.parametrize("target", [-20.0, -30.0])
def test_the_loudness_is_reached(tmp_path, sound, target):
    found = sounds.read(sound.save(tmp_path / "a.wav", loudness=target), RATE)
    assert loudness.integrated(found, RATE) == pytest.approx(target, abs=0.1)
    before = loudness.integrated(sound.wave, RATE)
    gain = 10 ** ((target - before) / 20)
    assert np.abs(found - gain * sound.wave.numpy()).max() < 1e-3  # one gain, nothing else


def test_by_default_the_loudness_is_minus_20(tmp_path, sound):
    found = sounds.read(sound.save(tmp_path / "a.wav"), RATE)
    assert loudness.integrated(found, RATE) == pytest.approx(-20, abs=0.1)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_video_gets_the_sound_in_place_of_its_own(tmp_path, sound, suffix):
    path = sound.save(str(tmp_path / f"a{suffix}"), loudness=None)
    assert [data for data, _ in clips.packets(path)] == [data for data, _ in clips.packets(sound.source)]
    found, rate, start = sounds.decode(path)
    wave = sound.wave.numpy()
    late = clips.lag(found[0], wave)
    assert rate == RATE and abs(late / RATE + start - video.probe(path).start) < 0.005
    assert correlation(found[0], wave) > 0.9 and abs(correlation(found[0], clips.noise(1.2, RATE, 1))) < 0.1


def test_the_original_sound_is_kept_on_request(tmp_path, sound):
    found = sounds.decode(sound.save(tmp_path / "a.mkv", loudness=None, keep_original=True)).samples[0]
    assert correlation(found, clips.noise(1.2, RATE, 1)) > 0.9 > correlation(found, sound.wave.numpy()) > 0.05


def correlation(found: np.ndarray, wave: np.ndarray) -> float:
    """Correlation of a wave with the best-matching part of a sound, -1..1."""
    late = max(0, clips.lag(found, wave))
    length = min(len(wave), len(found) - late)
    return float(np.corrcoef(found[late : late + length], wave[:length])[0, 1])


def test_the_path_that_was_written_is_returned(tmp_path):
    source = clips.video(tmp_path / "source.mov", clips.EVEN, codec="prores_ks", pix_fmt="yuv422p10le")
    sound = frieren.Sound(torch.zeros(RATE), RATE, source)
    assert sound.save(tmp_path / "a.mkv") == tmp_path / "a.mkv"
    with pytest.raises(frieren.VideoError, match=r"its video \(prores\) cannot be copied into \.mp4"):
        sound.save(tmp_path / "a.mp4", encode=False)


def test_without_a_video_there_is_only_a_sound_file(tmp_path):
    sound = frieren.Sound(torch.zeros(RATE), RATE)
    assert sound.save(tmp_path / "a.wav").exists()
    with pytest.raises(OutputError, match=r"a\.mp4: this sound has no video; save it as \.wav or \.flac"):
        sound.save(tmp_path / "a.mp4")


@pytest.mark.parametrize("name", ["out.wav", "out.flac", "out.mkv", "out.mp4"])
@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_a_tone_is_the_same_tone_at_another_rate(sound, tmp_path, name, rate):
    """Its closed form at the new rate, and its length in seconds."""
    seconds = 1.2
    tone = 0.3 * torch.sin(2 * torch.pi * 440 * torch.arange(round(seconds * RATE)) / RATE)
    frieren.Sound(tone, RATE, sound.source).save(tmp_path / name, loudness=None, sample_rate=rate)
    found, found_rate = sounds.read_channels(tmp_path / name)
    assert found_rate == rate and abs(found.shape[1] - seconds * rate) < 1100
    wanted = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    middle = slice(rate // 4, rate)
    assert np.abs(found[0][middle] - wanted[middle]).max() < (0.02 if name == "out.mp4" else 1e-4)


def test_pieces_are_resampled_as_the_whole(tmp_path):
    wave = clips.noise(40.0, RATE)
    long = LongWave(lambda: np.split(wave, [1, 1000, 400_000]), len(wave))
    for name, samples in (("a.wav", torch.from_numpy(wave)), ("b.wav", long)):
        frieren.Sound(samples, RATE).save(tmp_path / name, sample_rate=44_100)
    one, other = (sounds.read(tmp_path / name, 44_100) for name in ("a.wav", "b.wav"))
    assert one.shape == other.shape == (40 * 44_100,) and np.abs(one - other).max() <= 1 / 32768


def test_pieces_of_two_channels_are_resampled_as_the_whole():
    wave = np.stack([clips.noise(3.0, RATE, seed) for seed in (1, 2)])
    for channels in (1, 2):
        part = wave[:channels]
        pieces = np.split(part, [1, 1000, 30_000], axis=1)
        found = np.concatenate(list(sounds.resample_pieces(pieces, RATE, 44_100, channels)), axis=1)
        assert np.abs(found - sounds.resample(part, RATE, 44_100)).max() < 1e-5
