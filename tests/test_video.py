"""frieren.video: frames by timestamps, packets untouched, sound in its place; odd input works, bad input says why."""

import contextlib
import itertools
import os
import shutil
import socket
import warnings
from pathlib import Path

import av
import clips
import numpy as np
import pytest

from frieren import picture, sounds, video
from frieren.clock import Clock
from frieren.errors import OutputError, VideoError

EVEN = [i / 10 for i in range(12)]
VFR = [0, 0.02, 0.05, 0.30, 0.31, 0.55, 0.90, 0.93, 1.10, 1.40, 1.44, 1.60]


def nearest(times, count, fps):
    """The frame nearest to each instant of the grid, the earlier of two; by brute force."""
    shifted = np.array(times) - times[0]
    return [int(np.argmin(np.round(np.abs(shifted - k / fps), 6))) for k in range(count)]


def frames_of(path, fps=4.0, size=16):
    return video.read(path, Clock(fps=fps), size)


# Reading


@pytest.mark.parametrize("times", [EVEN, VFR, [0.5 + t for t in VFR], [i / 120 for i in range(60)], [0, 0.2, 0.4, 0.6]])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_each_instant_gets_the_nearest_frame(tmp_path, times, suffix):
    path = clips.video(tmp_path / f"a{suffix}", times)
    for fps in (4.0, 7.3, 25.0):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            frames = frames_of(path, fps)
        shown = [t % clips.LEVELS for t in nearest(times, len(frames), fps)]
        assert clips.who(frames.images) == shown
        assert len(frames) == Clock(fps=fps).frames(frames.seconds)
        assert np.allclose(frames.times, np.arange(len(frames)) / fps)
    assert frames.seconds == pytest.approx(2 * times[-1] - times[-2] - times[0], abs=0.06)
    assert video.probe(path).start == pytest.approx(times[0], abs=0.25 if suffix == ".mkv" else 1e-3)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.mp4", "libx265", "yuv420p10le"),
        ("a.mp4", "libx264", "yuv422p10le"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("a.mkv", "prores_ks", "yuv422p10le"),
        ("a.mov", "prores_ks", "yuv422p10le"),
        ("a.avi", "mpeg4", "yuv420p"),
        ("a.mov", "mjpeg", "yuvj420p"),
        ("a.ts", "libx264", "yuv420p"),
        ("a.flv", "libx264", "yuv420p"),
        ("a.mkv", "ffv1", "yuv444p"),
    ],
)
def test_codecs_and_containers(tmp_path, name, codec, pix_fmt):
    path = clips.video(tmp_path / name, EVEN, codec=codec, pix_fmt=pix_fmt)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frames = frames_of(path, 5.0)
    assert frames.seconds == pytest.approx(1.2, abs=0.01)
    assert clips.who(frames.images) == [0, 2, 4, 6, 8, 10]


@pytest.mark.parametrize("size", [(64, 48), (48, 64)])
@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_rotation_is_applied(tmp_path, rotation, size):
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[: size[1] // 2, : size[0] // 2] = [255, 0, 0]
    image[size[1] // 2 :, : size[0] // 2] = [0, 0, 255]
    path = clips.video(tmp_path / "a.mp4", [0, 0.5], rotation=rotation, size=size, images=[image, image])
    info, seen = video.probe(path), frames_of(path, 4.0, 32).images[0].permute(1, 2, 0).numpy()
    assert (info.width, info.height) == (size if rotation in (0, 180) else size[::-1])
    assert info.rotation == rotation % 360
    square = np.repeat(np.repeat([[[1, 0, 0], [0, 0, 0]], [[0, 0, 1], [0, 0, 0]]], 16, 0), 16, 1)
    # The display matrix turns to the left (av_display_rotation_get), as np.rot90 does.
    assert np.abs(np.rot90(square, rotation // 90) - seen).mean() < 0.06
    copy = video.write(path, np.zeros(8000), tmp_path / "b.mp4", 16_000)
    assert video.probe(copy).rotation == rotation % 360


@pytest.mark.parametrize(("transfer", "white"), [(16, 0.58), (18, 0.75)])
def test_high_dynamic_range_becomes_plausible(tmp_path, transfer, white):
    # A signal of reference white must come out bright, one of a tenth of its light mid-grey, black black.
    levels = [0.0, 0.5 * white if transfer == 18 else 0.36, white]
    images = [np.full((48, 64, 3), round(255 * level), np.uint8) for level in levels]
    path = clips.video(
        tmp_path / "a.mp4", [0, 0.2, 0.4], codec="libx265", pix_fmt="yuv420p10le", transfer=transfer, images=images
    )
    black, middle, bright = frames_of(path, 5.0).images.mean(dim=(1, 2, 3)).tolist()
    assert black < 0.02 and 0.3 < middle < 0.65 and bright > 0.85


def test_blocks_are_the_whole_in_pieces(tmp_path):
    path = clips.video(tmp_path / "a.mp4", VFR)
    whole, blocks = frames_of(path, 10.0), list(video.stream_frames(path, 10.0, 16, block=4))
    assert [len(block) for block in blocks][:-1] == [4] * (len(blocks) - 1)
    assert np.array_equal(np.concatenate([block.images for block in blocks]), whole.images)
    assert np.array_equal(np.concatenate([block.times for block in blocks]), whole.times)
    assert {block.seconds for block in blocks} == {whole.seconds}


@pytest.mark.parametrize("rate", [12, 24, 25, 29.97, 30, 50])
@pytest.mark.parametrize("fps", [2.0, 4.0])
def test_published_frames_are_those_of_the_fps_filter(tmp_path, rate, fps):
    path = clips.video(tmp_path / "a.mkv", [index / rate for index in range(round(3 * rate))], codec="ffv1")
    with av.open(path) as container:
        stream = container.streams.video[0]
        graph = av.filter.Graph()
        filters = [graph.add_buffer(template=stream), graph.add("fps", str(fps)), graph.add("buffersink")]
        for one, other in itertools.pairwise(filters):
            one.link_to(other)
        graph.configure()
        wanted = []

        def pull() -> None:
            with contextlib.suppress(BlockingIOError, EOFError):
                while True:
                    wanted.append(round(graph.pull().to_ndarray(format="rgb24").mean() / clips.STEP))

        for frame in container.decode(stream):
            graph.push(frame)
            pull()
        graph.push(None)
        pull()
    frames = video.read(path, Clock(fps=fps, published_frames=True), 16)
    count = min(len(wanted), len(frames.images))  # at the very end the filter rounds, and we cover the rest
    assert clips.who(frames.images)[:count] == wanted[:count] and abs(len(wanted) - len(frames.images)) <= 1
    assert frames.times.tolist() == [index / fps for index in range(len(frames.images))]


def test_the_published_resize_is_pils(tmp_path):
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for shape, size in (((90, 160, 3), 64), ((333, 200, 3), 224), ((48, 64, 3), 224)):
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        expected = np.asarray(image.fromarray(pixels).resize((size, size), image.BILINEAR)).astype(int)
        difference = np.abs(picture.resized(pixels, size, size, "bilinear") - expected)
        assert difference.max() <= 2 and difference.mean() < 0.3  # PIL rounds between its two passes
    path = clips.video(tmp_path / "a.mkv", [0, 0.5], codec="ffv1", pix_fmt="bgr0", images=[pixels, pixels])
    seen = video.read(path, Clock(published_frames=True), 224).images[0].permute(1, 2, 0).numpy()
    assert np.abs(255 * seen - expected).max() <= 2.01


def test_one_frame_two_streams_and_what_probe_says(tmp_path):
    single = clips.video(tmp_path / "one.mp4", [0])
    assert len(frames_of(single)) == 1
    sound = (clips.noise(3, 16_000), 16_000, 0.0)
    path = clips.video(tmp_path / "a.mkv", EVEN, streams=2, sounds=[sound, sound])
    info = video.probe(path)
    assert (info.width, info.height, info.codec, info.has_audio) == (64, 48, "h264", True)
    assert info.seconds == pytest.approx(1.2, abs=0.01) and info.fps == pytest.approx(10, abs=0.1)
    assert clips.who(frames_of(path, 10.0).images) == list(range(12))


# Writing


@pytest.mark.parametrize("target", ["b.mp4", "b.mov", "b.mkv"])
@pytest.mark.parametrize("times", [EVEN, VFR, [0.5 + t for t in VFR], [i / 120 for i in range(120)]])
def test_packets_are_copied_and_the_sound_starts_with_the_picture(tmp_path, target, times):
    source = clips.video(tmp_path / "a.mp4", times, sounds=[(clips.noise(3, 44_100, 1), 44_100, 0.0)])
    wave = clips.noise(video.probe(source).seconds, 16_000)
    written = video.write(source, wave, tmp_path / target, 16_000)
    before, after = clips.packets(source), clips.packets(written)
    assert written.name == target and [data for data, _ in before] == [data for data, _ in after]
    shift = after[0][1] - before[0][1]
    assert np.allclose([t for _, t in before], [t - shift for _, t in after], atol=1e-3)
    assert abs(shift) < 1e-3 or target == "b.mkv"  # Matroska has no negative times: all streams move together
    found, rate, start = sounds.decode(written)
    late = clips.lag(found[0], wave) / rate + start - video.probe(written).start
    assert rate == 16_000 and found.shape[0] == 1 and abs(late) < 0.005
    surplus = found.shape[1] - len(wave) - round((video.probe(written).start - start) * rate)
    assert -16 <= surplus <= 1024
    with av.open(written) as file:
        tags = {key.lower(): value for key, value in file.metadata.items()}
        assert tags["comment"] == sounds.AI_GENERATED
        assert len(file.streams.video) == len(file.streams.audio) == 1
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", target]


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "suffix"),
    [
        ("a.mov", "prores_ks", "yuv422p10le", ".mkv"),
        ("a.mkv", "ffv1", "yuv444p", ".mp4"),
        ("a.webm", "libvpx-vp9", "yuv420p", ".mp4"),
        ("a.mp4", "libx265", "yuv420p10le", ".mp4"),
        ("a.avi", "mpeg4", "yuv420p", ".mp4"),
        ("a.mov", "mjpeg", "yuvj420p", ".mp4"),
    ],
)
def test_a_codec_that_mp4_cannot_hold_goes_to_mkv(tmp_path, name, codec, pix_fmt, suffix):
    source = clips.video(tmp_path / name, EVEN, codec=codec, pix_fmt=pix_fmt)
    wave = clips.noise(1.2, 16_000)
    written = video.write(source, wave, tmp_path / "b.mp4", 16_000)
    assert written == tmp_path / f"b{suffix}"
    with av.open(source) as file:
        before = [bytes(packet) for packet in file.demux(video=0) if packet.size]
    assert before == [data for data, _ in clips.packets(written)]
    found, rate, start = sounds.decode(written)
    assert abs(clips.lag(found[0], wave) / rate + start - video.probe(written).start) < 0.005


@pytest.mark.parametrize("offset", [0.0, 0.3])
@pytest.mark.parametrize("seconds", [0.6, 3.0])
def test_keep_original_mixes_at_both_instants(tmp_path, offset, seconds):
    old, new = clips.noise(seconds, 48_000, 1), clips.noise(1.2, 16_000, 2)
    source = clips.video(tmp_path / "a.mkv", [0.2 + t for t in EVEN], sounds=[(old, 48_000, offset)])
    picture = video.probe(source).start
    _, _, heard = sounds.decode(source)
    written = video.write(source, new, tmp_path / "b.mkv", 16_000, keep_original=True)
    mix, rate, start = sounds.decode(written)
    shift = video.probe(written).start - picture
    fine = sounds.resample(new, 16_000, 48_000)
    assert rate == 48_000 and np.abs(mix).max() <= 1
    assert abs(clips.lag(mix[0], old) / rate + start - shift - heard) < 0.005
    assert abs(clips.lag(mix[0], fine) / rate + start - shift - picture) < 0.005
    at = round((picture + shift - start) * rate)
    level = np.dot(mix[0][at : at + len(fine)], fine[: len(mix[0]) - at]) / np.dot(fine, fine)
    assert 20 * np.log10(level) == pytest.approx(-6, abs=0.6)


def test_keep_original_where_there_is_none_and_own_comment_stays(tmp_path):
    source = clips.video(tmp_path / "a.mp4", EVEN, metadata={"title": "Rain", "comment": "mine"})
    wave = clips.noise(1.2, 16_000)
    written = video.write(source, wave, tmp_path / "b.mp4", 16_000, keep_original=True)
    found = sounds.decode(written)[0][0][: len(wave)]
    assert np.dot(found, wave) / np.dot(wave, wave) == pytest.approx(1, abs=0.05)
    with av.open(written) as file:
        assert file.metadata["title"] == "Rain" and file.metadata["comment"] == f"mine; {sounds.AI_GENERATED}"


def test_a_trimmed_video_stays_trimmed(tmp_path):
    # An edit list hides what comes before zero: those packets are copied too, and the sound starts where one sees.
    source = clips.video(tmp_path / "a.mp4", [i / 10 - 0.4 for i in range(15)])
    info, wave = video.probe(source), clips.noise(1.1, 16_000)
    assert info.start == pytest.approx(0, abs=1e-3) and info.seconds == pytest.approx(1.1, abs=0.06)
    written = video.write(source, wave, tmp_path / "b.mp4", 16_000)
    assert [data for data, _ in clips.packets(source)] == [data for data, _ in clips.packets(written)]
    for path in (source, written):
        assert clips.who(frames_of(path, 10.0).images) == list(range(4, 15))
    found, rate, start = sounds.decode(written)
    assert abs(clips.lag(found[0], wave) / rate + start - video.probe(written).start) < 0.005


def test_odd_sample_rates_and_names(tmp_path):
    source = clips.video(tmp_path / "http:%03d a.mp4", EVEN)
    written = video.write(source, clips.noise(1.2, 17_000), tmp_path / "pipe:1 ü.mp4", 17_000)
    assert sounds.decode(written)[1] == 48_000 and clips.packets(written) == clips.packets(source)


# Bad input


def cut_together(path: Path, jump: float) -> Path:
    """A transport stream of two times 0.6 s, the second `jump` seconds late."""
    halves = [clips.video(path.with_name(f"{late}.ts"), [late + t for t in EVEN[:6]]) for late in (0, jump)]
    path.write_bytes(b"".join(half.read_bytes() for half in halves))
    return path


@pytest.mark.parametrize("jump", [20.0, 50_000.0])
def test_a_jump_of_the_timestamps_does_not_decide_the_length(tmp_path, jump):
    path = cut_together(tmp_path / "a.ts", jump)
    with pytest.warns(UserWarning, match=r"a\.ts: its timestamps jump"):
        frames = frames_of(path, 10.0)
    assert frames.seconds == pytest.approx(1.2, abs=0.15) and max(clips.who(frames.images)[6:]) == 5
    written = video.write(path, clips.noise(1.2, 16_000), tmp_path / "b.mp4", 16_000)
    assert video.probe(written).seconds == pytest.approx(1.2, abs=0.15) and video.probe(written).jumps == 0
    assert len(clips.packets(written)) == len(clips.packets(path)) == 12


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_long_still_that_the_file_announces_stays(tmp_path, suffix):
    path = clips.video(tmp_path / f"a{suffix}", EVEN[:6] + [30 + t for t in EVEN[6:]])
    info = video.probe(path)
    assert info.jumps == 0 and info.seconds == pytest.approx(31.2, abs=1.0)


def test_packets_that_the_container_refuses_are_the_sources_fault(tmp_path, monkeypatch):
    source = clips.video(tmp_path / "a.mp4", EVEN)

    def backwards(container, stream):
        found = list(packets_of(container, stream))
        if stream is not None:
            found[3].pts = found[3].dts - 1
        return found

    packets_of = video.packets
    monkeypatch.setattr(video, "packets", backwards)
    with pytest.raises(VideoError, match=r"a\.mp4: .* refuses its packets .*; write an \.mkv"):
        video.write(source, clips.noise(1.2, 16_000), tmp_path / "b.mp4", 16_000)
    assert os.listdir(tmp_path) == ["a.mp4"]


def test_a_frame_that_cannot_be_converted_is_one_line(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise ValueError("no such conversion")

    monkeypatch.setattr(video.picture, "image", broken)
    with pytest.raises(VideoError, match=r"a\.mp4: a frame cannot be converted \(no such conversion\);"):
        frames_of(clips.video(tmp_path / "a.mp4", EVEN))


def bad_files(folder: Path) -> dict[str, Path]:
    """One file for each thing that can be wrong, by a word that the message must hold."""
    good = clips.video(folder / "good.mp4", EVEN, sounds=[(clips.noise(1, 16_000), 16_000, 0.0)])
    made = {
        name: folder / f"{name}.mp4" for name in ("empty", "not a video", "truncated", "no video stream", "decoded")
    }
    made["empty"].touch()
    made["not a video"].write_text("#!/bin/sh\necho hello\n" * 100)
    made["truncated"].write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    sounds.write(folder / "s.wav", clips.noise(1, 16_000), 16_000)
    shutil.move(folder / "s.wav", made["no video stream"])
    whole = bytearray(good.read_bytes())
    begin = whole.index(b"mdat") + 4
    whole[begin : whole.index(b"moov") - 4] = bytes(whole.index(b"moov") - 4 - begin)
    made["decoded"].write_bytes(whole)
    key = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "01" * 16, "encryption_kid": "02" * 16}
    made["encrypted"] = clips.video(folder / "encrypted.mp4", EVEN, options=key)
    return made | {"no such file": folder / "nothing.mp4", "not a file": folder}


def test_bad_input_is_one_line_with_name_reason_and_remedy(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    for word, path in bad_files(tmp_path / "in").items():
        calls = [lambda p=path: video.probe(p), lambda p=path: video.stream_frames(p, 4, 16)]
        calls.append(lambda p=path: video.write(p, np.zeros(100), tmp_path / "out" / "b.mp4", 16_000))
        for call in calls:
            with pytest.raises(VideoError) as caught:
                call()
            message = str(caught.value)
            assert message.startswith(f"{path}: ") and "\n" not in message and ";" in message
            assert word in message.replace(str(tmp_path), ""), message
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_file_that_breaks_off_gives_what_it_has(tmp_path, suffix):
    options = {"movflags": "+faststart"} if suffix == ".mp4" else {}
    images = list(np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), np.uint8))
    path = clips.video(tmp_path / f"a{suffix}", [i / 10 for i in range(20)], options=options, images=images)
    whole = frames_of(path, 10.0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.warns(UserWarning, match="breaks off"):
        part = frames_of(path, 10.0)
    assert 0.5 < part.seconds < 1.5 and len(part) < len(whole)
    assert (part.images - whole.images[: len(part)])[: len(part) - 4].abs().max() < 1e-6
    written = video.write(path, clips.noise(part.seconds, 16_000), tmp_path / "b.mkv", 16_000)
    assert video.probe(written).seconds == pytest.approx(part.seconds, abs=0.2)


def test_a_playlist_cannot_reach_the_network_or_other_files(tmp_path):
    clip = clips.video(tmp_path / "a.ts", EVEN)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        for address in (f"http://127.0.0.1:{port}/a.ts", str(clip), clip.name):
            head = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.2,\n"
            for name, text in [
                ("a.m3u8", f"{head}{address}\n#EXT-X-ENDLIST\n"),
                ("a.ffconcat", f"ffconcat version 1.0\nfile '{address}'\n"),
            ]:
                (tmp_path / name).write_text(text)
                shutil.copy(tmp_path / name, tmp_path / "disguised.mp4")
                for path in (tmp_path / name, tmp_path / "disguised.mp4"):
                    with pytest.raises(VideoError, match="playlist"):
                        video.probe(path)
        with pytest.raises(TimeoutError):
            server.accept()


def test_output_that_cannot_be(tmp_path):
    source = clips.video(tmp_path / "a.mp4", EVEN)
    data, wave = source.read_bytes(), clips.noise(1.2, 16_000)
    (tmp_path / "link.mp4").symlink_to(source)
    (tmp_path / "folder.mp4").mkdir()
    for name in ("a.mp4", "link.mp4", "folder.mp4", "none/b.mp4", "b.avi", "b"):
        with pytest.raises(OutputError, match=name):
            video.write(source, wave, tmp_path / name, 16_000)
    with pytest.raises(OutputError, match="choose a place"):
        video.write(source, wave, "/proc/b.mp4", 16_000)
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", "folder.mp4", "link.mp4"] and source.read_bytes() == data


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_full_disk_leaves_what_was_there(tmp_path, suffix):
    source, target = clips.video(tmp_path / "a.mp4", EVEN), tmp_path / f"b{suffix}"
    target.write_bytes(b"old")
    with clips.full_disk(8_000), pytest.raises(OutputError, match="make room"):
        video.write(source, clips.noise(10, 16_000), target, 16_000)
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", target.name] and target.read_bytes() == b"old"


def test_an_interruption_leaves_nothing(tmp_path, monkeypatch):
    source = clips.video(tmp_path / "a.mp4", EVEN)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(video, "_mux", interrupted)
    with pytest.raises(KeyboardInterrupt):
        video.write(source, clips.noise(1, 16_000), tmp_path / "b.mp4", 16_000)
    assert os.listdir(tmp_path) == ["a.mp4"]
