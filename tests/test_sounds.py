"""frieren.sounds: sound files, exact to the sample; nothing half-written."""

import os

import av
import clips
import numpy as np
import pytest
import soundfile
import torch

from frieren import sounds
from frieren.errors import OutputError, SamplingError, VideoError
from frieren.files import replacing


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".WAV"])
def test_what_is_written_is_read_to_the_sample(tmp_path, suffix):
    wave = np.random.default_rng(0).integers(-32768, 32768, 5001).astype(np.float32) / 32768
    path = sounds.write(tmp_path / f"a{suffix}", torch.from_numpy(wave), 16_000)
    assert np.array_equal(sounds.read(path, 16_000), wave)
    with soundfile.SoundFile(path) as file:
        assert file.comment == sounds.AI_GENERATED and file.samplerate == 16_000 and file.subtype == "PCM_16"
    assert os.listdir(tmp_path) == [path.name]


def test_ffmpeg_sees_the_comment_and_overshoot_is_limited(tmp_path):
    path = sounds.write(tmp_path / "a.wav", np.array([2.0, -2.0, 0.5], np.float32), 16_000)
    assert np.allclose(sounds.read(path, 16_000), [32767 / 32768, -1, 0.5])
    with av.open(path) as file:
        assert file.metadata["comment"] == sounds.AI_GENERATED


def test_channels_are_averaged_and_the_rate_changed(tmp_path):
    time = np.arange(48_000) / 48_000
    tone = np.sin(2 * np.pi * 440 * time)
    soundfile.write(tmp_path / "a.wav", np.stack([tone, 0.5 * tone], 1), 48_000, subtype="FLOAT")
    wave = sounds.read(tmp_path / "a.wav", 16_000)
    expected = 0.75 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert wave.shape == (16_000,) and np.abs(wave - expected)[200:-200].max() < 1e-3


def test_the_sound_of_a_video(tmp_path):
    wave = clips.noise(1.0, 16_000)
    path = clips.video(tmp_path / "a.mp4", [0, 0.5], sounds=[(wave, 16_000, 0.0)])
    found = sounds.read(path, 16_000)
    assert clips.lag(found, wave) == 0 and abs(len(found) - len(wave)) <= 1024


def test_gaps_in_the_timestamps_become_silence(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(path, "w") as out:
        stream = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for pts in (0, 16_000, 40_000):
            frame = av.AudioFrame.from_ndarray(np.full((1, 8000), 8192, np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16_000, pts
            out.mux(stream.encode(frame))
    wave, rate, start = sounds.decode(path)
    assert (rate, start, wave.shape) == (16_000, 0.0, (1, 48_000))
    assert np.array_equal(wave[0], np.repeat([0.25, 0, 0.25, 0, 0, 0.25], 8000))


def test_bad_input_is_one_line_with_name_and_remedy(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("hello")
    silent = clips.video(tmp_path / "silent.mp4", [0, 0.5])
    for path in (tmp_path / "none.wav", tmp_path / "empty.wav", tmp_path / "text.wav", silent, tmp_path):
        with pytest.raises(VideoError) as caught:
            sounds.read(path, 16_000)
        assert str(path) in str(caught.value) and ";" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.mp3", "a", "none/a.wav", "folder.wav"])
def test_places_where_nothing_can_be_written(tmp_path, name):
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(OutputError, match=name):
        sounds.write(tmp_path / name, np.zeros(10), 16_000)
    assert os.listdir(tmp_path) == ["folder.wav"]


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_full_disk_leaves_what_was_there(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"old")
    with clips.full_disk(20_000), pytest.raises(OutputError, match="make room"):
        sounds.write(path, clips.noise(10, 16_000), 16_000)
    assert os.listdir(tmp_path) == [path.name] and path.read_bytes() == b"old"


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError, OSError])
def test_an_interruption_leaves_nothing(tmp_path, interruption):
    with pytest.raises(OutputError if interruption is OSError else interruption):
        with replacing(tmp_path / "a.wav") as part:
            part.write_bytes(b"half")
            raise interruption
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("wave", [np.zeros((2, 10)), np.zeros(0), np.array([np.nan, 0])])
def test_waves_that_are_none(tmp_path, wave):
    with pytest.raises((ValueError, SamplingError), match="wave"):
        sounds.write(tmp_path / "a.wav", wave, 16_000)


def test_a_long_name_in_any_script_can_be_written(tmp_path):
    path = sounds.write(tmp_path / ("音" * 83 + ".wav"), np.zeros(10), 16_000)  # 253 of 255 bytes
    assert os.listdir(tmp_path) == [path.name]
    with pytest.raises(OutputError, match="shorter name"):
        sounds.write(tmp_path / ("a" * 300 + ".wav"), np.zeros(10), 16_000)


def tone_file(path, parts):
    """A file of 16-bit samples at 16 kHz; parts are (start in seconds, seconds, level)."""
    with av.open(path, "w") as out:
        stream = out.add_stream("pcm_s16le" if path.suffix == ".mkv" else "mp2", rate=16_000, layout="mono")
        for start, seconds, level in parts:
            for piece in range(round(seconds * 16_000 / 1152)):
                data = np.full((1, 1152), round(32768 * level), np.int16)
                frame = av.AudioFrame.from_ndarray(data, format="s16", layout="mono")
                frame.sample_rate, frame.pts = 16_000, round(start * 16_000) + piece * 1152
                out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def test_a_wild_timestamp_does_not_become_hours_of_silence(tmp_path):
    path = tone_file(tmp_path / "a.ts", [(0, 0.5, 0.25), (50_000, 0.5, 0.25)])
    assert sounds.decode(path).samples.shape[1] == pytest.approx(16_000, abs=3000)
    known = tone_file(tmp_path / "a.mkv", [(0, 0.5, 0.25), (30, 0.5, 0.25)])  # Matroska says that it lasts 30.5 s
    assert sounds.decode(known).samples.shape[1] == pytest.approx(30.5 * 16_000, abs=3000)
    assert sounds.decode(known, until=2.0).samples.shape[1] == pytest.approx(2.5 * 16_000, abs=3000)
    assert sounds.decode(known, until=-1.0) is None


def test_a_change_of_layout_and_rate_in_the_middle():
    def frame(channels, rate):
        data = np.full((channels, 1000), 0.25, np.float32)
        frame = av.AudioFrame.from_ndarray(data, format="fltp", layout=("mono", "stereo")[channels - 1])
        frame.sample_rate = rate
        return frame

    frames = iter([frame(1, 16_000), frame(2, 16_000), frame(2, 32_000)])
    wave = np.concatenate([piece for piece, _ in sounds._resampled(frames, 16_000, 1)], axis=1)
    assert abs(wave.shape[1] - 2500) < 20 and np.median(np.abs(wave)) > 0.2


def test_rounded_timestamps_leave_no_gaps(tmp_path):
    wave = clips.noise(3.0, 44_100)  # Matroska rounds to milliseconds, which 44.1 kHz does not divide
    path = clips.video(tmp_path / "a.mkv", [0, 0.5], sounds=[(wave, 44_100, 0.0)])
    found = sounds.decode(path)
    assert found.samples.shape == (1, len(wave)) and np.abs(found.samples[0] - wave).max() < 1e-4
