"""frieren.remux: packets untouched, the sound in its place, and nothing half-written."""

import errno
import itertools
import os
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import av
import clips
import numpy as np
import pytest

from frieren import openvideo, remux, sounds, video
from frieren.clock import Clock
from frieren.errors import OutputError, VideoError
from frieren.longwave import LongWave
from frieren.remux.audio import new_track


@pytest.mark.parametrize("target", ["b.mp4", "b.mov", "b.mkv"])
@pytest.mark.parametrize("times", [clips.EVEN, clips.VFR, [0.5 + t for t in clips.VFR], [i / 120 for i in range(120)]])
def test_packets_are_copied_and_the_sound_starts_with_the_first_frame(tmp_path, target, times):
    source = clips.video(tmp_path / "a.mp4", times, sounds=[(clips.noise(3, 44_100, 1), 44_100, 0.0)])
    wave = clips.noise(video.probe(source).seconds, 16_000)
    written = remux.write_video(source, wave, tmp_path / target, 16_000)
    before, after = clips.packets(source), clips.packets(written)
    assert written.name == target and [data for data, _ in before] == [data for data, _ in after]
    shift = after[0][1] - before[0][1]
    assert np.allclose([t for _, t in before], [t - shift for _, t in after], atol=1e-3)
    assert after[0][1] == pytest.approx(0, abs=1e-3)
    found, rate, start = sounds.decode(written)
    late = clips.lag(found[0], wave) / rate + start - video.probe(written).start
    assert rate == 16_000 and found.shape[0] == 1 and abs(late) < 0.005
    excess = found.shape[1] - len(wave) - round((video.probe(written).start - start) * rate)
    assert -16 <= excess <= 1024
    with av.open(written) as file:
        tags = {key.lower(): value for key, value in file.metadata.items()}
        assert tags["comment"] == sounds.AI_GENERATED
        assert len(file.streams.video) == len(file.streams.audio) == 1
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", target]


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "suffix"),
    [
        ("a.mov", "prores_ks", "yuv422p10le", ".mov"),
        ("a.mkv", "ffv1", "yuv444p", ".mkv"),
        ("a.webm", "libvpx-vp9", "yuv420p", ".mp4"),
        ("a.mp4", "libx265", "yuv420p10le", ".mp4"),
        ("a.avi", "mpeg4", "yuv420p", ".mp4"),
        ("a.mov", "mjpeg", "yuvj420p", ".mp4"),
        ("a.mp4", "libsvtav1", "yuv420p", ".mp4"),  # its decoder, libdav1d, is not called like its encoder
        ("a.mp4", "libsvtav1", "yuv420p", ".mkv"),
    ],
)
def test_every_codec_is_copied_where_a_container_takes_it(tmp_path, name, codec, pix_fmt, suffix):
    if codec not in av.codec.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    source = clips.video(tmp_path / name, clips.EVEN, codec=codec, pix_fmt=pix_fmt)
    wave = clips.noise(1.2, 16_000)
    written = remux.write_video(source, wave, tmp_path / f"b{suffix}", 16_000, encode=False)
    assert written == tmp_path / f"b{suffix}"
    with av.open(source) as file:
        before = [bytes(packet) for packet in file.demux(video=0) if packet.size]
    assert before == [data for data, _ in clips.packets(written)]
    found, rate, start = sounds.decode(written)
    assert abs(clips.lag(found[0], wave) / rate + start - video.probe(written).start) < 0.005


@pytest.mark.parametrize("offset", [0.0, 0.3])
@pytest.mark.parametrize("seconds", [0.6, 3.0])
def test_keep_original_mixes_at_both_times(tmp_path, offset, seconds):
    old, new = clips.noise(seconds, 48_000, 1), clips.noise(1.2, 16_000, 2)
    source = clips.video(tmp_path / "a.mkv", [0.2 + t for t in clips.EVEN], sounds=[(old, 48_000, offset)])
    first_frame = video.probe(source).start
    _, _, old_start = sounds.decode(source)
    written = remux.write_video(source, new, tmp_path / "b.mkv", 16_000, keep_original=True)
    mix, rate, start = sounds.decode(written)
    shift = video.probe(written).start - first_frame
    fine = sounds.resample(new, 16_000, 48_000)
    assert rate == 48_000 and np.abs(mix).max() <= 1
    assert abs(clips.lag(mix[0], old) / rate + start - shift - old_start) < 0.005
    assert abs(clips.lag(mix[0], fine) / rate + start - shift - first_frame) < 0.005
    at = round((first_frame + shift - start) * rate)
    level = np.dot(mix[0][at : at + len(fine)], fine[: len(mix[0]) - at]) / np.dot(fine, fine)
    assert 20 * np.log10(level) == pytest.approx(-6, abs=0.6)


@pytest.mark.parametrize("levels", [(-6.0, 0.0), (0.0, -12.0), (3.0, -100.0)])
def test_levels_of_the_mix(tmp_path, levels):
    old, new = (0.2 * clips.noise(1.2, 16_000, seed) for seed in (1, 2))
    source = clips.video(tmp_path / "a.mkv", clips.EVEN, sounds=[(old, 16_000, 0.0)])
    options = {} if levels == (-6.0, 0.0) else {"levels": levels}  # the default
    written = remux.write_video(source, new, tmp_path / "b.mkv", 16_000, keep_original=True, **options)
    mix = sounds.read(written, 16_000)[: len(new)]
    found = np.linalg.lstsq(np.stack([new, old[: len(new)]], 1)[: len(mix)], mix, rcond=None)[0]
    assert found == pytest.approx([10 ** (level / 20) for level in levels], abs=1e-3)


def test_keep_original_where_there_is_none_and_own_comment_stays(tmp_path):
    source = clips.video(tmp_path / "a.mp4", clips.EVEN, metadata={"title": "Rain", "comment": "mine"})
    wave = clips.noise(1.2, 16_000)
    written = remux.write_video(source, wave, tmp_path / "b.mp4", 16_000, keep_original=True)
    found = sounds.decode(written)[0][0][: len(wave)]
    assert np.dot(found, wave) / np.dot(wave, wave) == pytest.approx(1, abs=0.05)
    with av.open(written) as file:
        assert file.metadata["title"] == "Rain" and file.metadata["comment"] == f"mine; {sounds.AI_GENERATED}"


def test_a_trimmed_video_stays_trimmed(tmp_path):
    # An edit list hides what comes before zero: those packets are copied too; the sound starts with what is displayed.
    source = clips.video(tmp_path / "a.mp4", [i / 10 - 0.4 for i in range(15)])
    info, wave = video.probe(source), clips.noise(1.1, 16_000)
    assert info.start == pytest.approx(0, abs=1e-3) and info.seconds == pytest.approx(1.1, abs=0.06)
    written = remux.write_video(source, wave, tmp_path / "b.mp4", 16_000)
    assert [data for data, _ in clips.packets(source)] == [data for data, _ in clips.packets(written)]
    assert clips.indices(video.read_frames(written, Clock(fps=10.0), 16).images) == list(range(4, 15))
    found, rate, start = sounds.decode(written)
    assert abs(clips.lag(found[0], wave) / rate + start - video.probe(written).start) < 0.005


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_the_rotation_stays(tmp_path, rotation):
    source = clips.video(tmp_path / "a.mp4", [0, 0.5], rotation=rotation)
    written = remux.write_video(source, np.zeros(8000), tmp_path / "b.mp4", 16_000)
    assert video.probe(written).rotation == video.probe(source).rotation == rotation % 360


def test_odd_sample_rates_and_names(tmp_path, monkeypatch):
    source = clips.video(tmp_path / "http:%03d a.mp4", clips.EVEN)
    monkeypatch.chdir(tmp_path)
    written = tmp_path / remux.write_video(source.name, clips.noise(1.2, 17_000), "pipe:1 ü.mp4", 17_000)
    assert sorted(os.listdir(tmp_path)) == [source.name, "pipe:1 ü.mp4"]
    assert sounds.decode(written)[1] == 48_000 and clips.packets(written) == clips.packets(source)


@pytest.mark.parametrize("jump", [20.0, 50_000.0])
def test_a_jump_of_the_timestamps_is_not_copied(tmp_path, jump):
    source = clips.cut_together(tmp_path / "a.ts", jump)
    written = remux.write_video(source, clips.noise(1.2, 16_000), tmp_path / "b.mp4", 16_000)
    assert video.probe(written).seconds == pytest.approx(1.2, abs=0.15) and video.probe(written).jumps == 0
    assert len(clips.packets(written)) == len(clips.packets(source)) == 12


def test_a_truncated_source_gives_what_it_has(tmp_path):
    images = list(np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), np.uint8))
    source = clips.video(tmp_path / "a.mkv", [i / 10 for i in range(20)], images=images)
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    seconds = video.probe(source).seconds
    written = remux.write_video(source, clips.noise(seconds, 16_000), tmp_path / "b.mkv", 16_000)
    assert 0.5 < seconds < 1.5 and video.probe(written).seconds == pytest.approx(seconds, abs=0.2)


def test_packets_that_the_container_refuses_are_the_sources_fault(tmp_path, monkeypatch):
    source = clips.video(tmp_path / "a.mp4", clips.EVEN)

    def refused(*_):
        raise av.error.ArgumentError(22, "Invalid argument")

    film = remux.choose(source, tmp_path / "b.mp4")
    with pytest.raises(VideoError, match=r"a\.mp4: .* refuses its packets .*; write an \.mkv"):
        remux._mux(film, SimpleNamespace(mux=refused), None)


def test_what_is_refused_after_all_is_encoded(tmp_path, monkeypatch):
    source = clips.video(tmp_path / "a.mp4", clips.EVEN)
    mux = remux._mux

    def refused(choice, output, packet):
        if choice.copied and packet.stream.type == "video":
            raise remux.RefusedError("a.mp4: refused")
        mux(choice, output, packet)

    monkeypatch.setattr(remux, "_mux", refused)
    with pytest.raises(VideoError, match="refused"):
        remux.write_video(source, clips.noise(1.2, 16_000), tmp_path / "b.mp4", 16_000, encode=False)
    assert os.listdir(tmp_path) == ["a.mp4"]
    written = remux.write_video(source, clips.noise(1.2, 16_000), tmp_path / "b.mp4", 16_000)
    assert clips.indices(video.read_frames(written, Clock(fps=10.0), 16).images) == list(range(12))


def test_fewer_frames_than_came_in_are_an_error(tmp_path, monkeypatch):
    source = clips.video(tmp_path / "a.mp4", clips.EVEN)
    copy_video = remux.copy_video
    monkeypatch.setattr(remux, "copy_video", lambda *arguments: itertools.islice(copy_video(*arguments), 11))
    with pytest.raises(VideoError, match="only 11 of its 12 frames"):
        remux.write_video(source, clips.noise(1.2, 16_000), tmp_path / "b.mp4", 16_000, encode=False)
    assert os.listdir(tmp_path) == ["a.mp4"]


def test_a_source_that_cannot_be_read_is_one_line_and_leaves_nothing(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    for word, path in clips.bad_files(tmp_path / "in").items():
        with pytest.raises(VideoError) as caught:
            remux.write_video(path, np.zeros(100), tmp_path / "out" / "b.mp4", 16_000)
        assert str(caught.value).startswith(f"{path}: ") and word in str(caught.value).replace(str(path), "")
    assert os.listdir(tmp_path / "out") == []


def forbidden(*_, **__):
    raise PermissionError(errno.EACCES, "Permission denied")


def test_output_that_cannot_be(tmp_path, monkeypatch):
    source = clips.video(tmp_path / "a.mp4", clips.EVEN)
    data, wave = source.read_bytes(), clips.noise(1.2, 16_000)
    (tmp_path / "link.mp4").symlink_to(source)
    (tmp_path / "folder.mp4").mkdir()
    for name in ("a.mp4", "link.mp4", "folder.mp4", "none/b.mp4", "b.avi", "b"):
        with pytest.raises(OutputError, match=name):
            remux.write_video(source, wave, tmp_path / name, 16_000)
    with monkeypatch.context() as patch, pytest.raises(OutputError, match="choose a place"):
        patch.setattr(Path, "touch", forbidden)
        remux.write_video(source, wave, tmp_path / "b.mp4", 16_000)
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", "folder.mp4", "link.mp4"] and source.read_bytes() == data


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_full_disk_leaves_what_was_there(tmp_path, suffix):
    source, target = clips.video(tmp_path / "a.mp4", clips.EVEN), tmp_path / f"b{suffix}"
    target.write_bytes(b"old")
    with clips.full_disk(8_000), pytest.raises(OutputError, match="make room"):
        remux.write_video(source, clips.noise(10, 16_000), target, 16_000)
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", target.name] and target.read_bytes() == b"old"


def test_an_interruption_leaves_nothing(tmp_path, monkeypatch):
    source = clips.video(tmp_path / "a.mp4", clips.EVEN)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(remux, "mux", interrupted)
    with pytest.raises(KeyboardInterrupt):
        remux.write_video(source, clips.noise(1, 16_000), tmp_path / "b.mp4", 16_000)
    assert os.listdir(tmp_path) == ["a.mp4"]


def track(samples: np.ndarray, start: float, piece: int = 7) -> sounds.Track:
    """A sound at 100 samples per second in small pieces."""
    samples = samples.astype(np.float32)
    parts = [samples[:, begin : begin + piece] for begin in range(0, samples.shape[1], piece)]
    return sounds.Track(lambda: iter(parts), len(samples), 100, start)


@pytest.mark.parametrize("piece", [13, 10_000])
def test_the_two_sounds_are_mixed_at_their_own_times(piece, monkeypatch):
    monkeypatch.setattr("frieren.remux.audio.PIECE", piece)
    half = 0.5 * 10 ** (-6 / 20)
    cases = [
        (0.0, 200, 1.0, 400, [half, 0.5 + half, 0.5], [100, 100, 300]),
        (1.0, 400, 0.0, 200, [0.5, 0.5 + half, half], [100, 100, 300]),
        (0.5, 100, 0.0, 400, [0.5, 0.5 + half, 0.5], [50, 100, 250]),
    ]
    for new_start, new_size, old_start, old_size, levels, counts in cases:
        old = track(np.full((2, old_size), 0.5), 3.0 + old_start)
        new = track(np.full((1, new_size), 0.5), 3.0 + new_start)
        mixed = remux.mix(new, old)
        samples = np.concatenate(list(mixed.pieces()), axis=1)
        assert (mixed.rate, mixed.start, mixed.channels) == (100, 3.0, 2)
        assert samples.shape == (2, sum(counts)) and np.allclose(samples, np.repeat([levels], counts, axis=1))
    loud = remux.mix(track(np.ones((1, 10)), 0.0), track(np.ones((2, 400)), 0.0))
    whole = np.concatenate(list(loud.pieces()), axis=1)
    assert np.abs(whole).max() == 1 and np.allclose(whole[:, 10:], 1 / (1 + 10 ** (-6 / 20)))  # as a whole


def test_keeping_the_old_sound_does_not_hold_it_in_memory(tmp_path):
    """Twenty minutes of stereo at 48 kHz are 460 MB of samples; what is held of them is a few pieces."""
    minutes = 20

    def pieces():
        return (np.full((2, 48_000), 0.5, np.float32) for _ in range(60 * minutes))

    wave = LongWave(lambda: (np.full(16_000, 0.5, np.float32) for _ in range(60 * minutes)), 960_000 * minutes)
    tracemalloc.start()
    mixed = new_track(wave, 16_000, 0.0, sounds.Track(pieces, 2, 48_000, 0.25), "opus")
    length = sum(piece.shape[1] for piece in mixed.pieces())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert length == 48_000 * 60 * minutes + 12_000 and peak < 40e6


def test_a_sound_is_decoded_piece_by_piece(tmp_path):
    source = clips.video(tmp_path / "a.mkv", clips.EVEN, sounds=[(clips.noise(60, 48_000), 48_000, 0.5)])
    found = sounds.open_track(source)
    sizes = [piece.shape[1] for piece in found.pieces()]
    assert max(sizes) <= 8192 and sum(sizes) == pytest.approx(60 * 48_000, abs=8192)
    assert found.start == pytest.approx(0.5, abs=0.002)
    assert np.array_equal(np.concatenate(list(found.pieces()), axis=1), sounds.decode(source).samples)


@pytest.mark.parametrize("seconds", [0.3, 3.0])
def test_a_sound_of_another_length_than_the_video_is_kept_whole(tmp_path, seconds):
    source, wave = clips.video(tmp_path / "a.mp4", clips.EVEN), clips.noise(seconds, 16_000)
    written = remux.write_video(source, wave, tmp_path / "b.mkv", 16_000)
    found, rate, start = sounds.decode(written)
    assert rate == 16_000 and np.abs(found[0][: len(wave)] - wave).max() <= 0.5 / 32768 + 1e-7  # FLAC of 16 bits
    assert found.shape[1] == len(wave) and start == pytest.approx(video.probe(written).start, abs=1e-3)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_title_and_the_like_are_kept_but_not_what_describes_the_old_container(tmp_path, suffix):
    source = clips.video(tmp_path / "a.mp4", clips.EVEN, metadata={"title": "Rain", "artist": "me"})
    with av.open(source) as file:
        assert {"major_brand", "encoder", "title", "artist"} <= file.metadata.keys()
    written = remux.write_video(source, clips.noise(1.2, 16_000), tmp_path / f"b{suffix}", 16_000, comment=None)
    with av.open(written) as file:
        tags = {key.lower(): value for key, value in file.metadata.items()}
    assert (tags["title"], tags["artist"], "comment" in tags) == ("Rain", "me", False)
    if suffix == ".mkv":
        assert not {"major_brand", "compatible_brands", "minor_version"} & tags.keys()


def test_an_mp4_can_be_played_before_it_has_arrived(tmp_path):
    source = clips.video(tmp_path / "a.mp4", clips.EVEN)
    data = remux.write_video(source, clips.noise(1.2, 16_000), tmp_path / "b.mp4", 16_000).read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_video_and_sound_are_muxed_in_step(tmp_path):
    source, times = clips.video(tmp_path / "a.mp4", [index / 10 for index in range(60)]), {"audio": 0.0, "video": 0.0}

    class Watched:
        """An output that measures how far one stream is ahead of the other."""

        def __init__(self, output):
            self.output = output

        def __getattr__(self, name):
            return getattr(self.output, name)

        def mux(self, packet):
            times[packet.stream.type] = float(packet.dts * packet.time_base)
            times["ahead"] = max(times.get("ahead", 0.0), abs(times["audio"] - times["video"]))
            self.output.mux(packet)

    choice, info = remux.choose(source, tmp_path / "b.mkv"), video.probe(source)
    with (
        openvideo.open_video(source) as opened,
        openvideo.open_video(source) as beside,
        av.open(tmp_path / "b.mkv", "w") as output,
    ):
        wave = sounds.as_pieces(clips.noise(6, 16_000))
        sound = new_track(wave, 16_000, 0.0, None, choice.audio_codec)
        remux.mux(opened, Watched(output), sound, choice=choice, info=info, beside=beside)
    assert times["audio"] > 5 and times["video"] > 5 and times["ahead"] < 0.5
