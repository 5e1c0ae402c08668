"""frieren.remux: what is copied with all that its container says of it, what is encoded, what is left out."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import clips
import numpy as np
import pytest

from frieren import remux, sounds, video
from frieren.clock import Clock
from frieren.errors import OutputError, VideoError
from frieren.openvideo import open_video

WAVE = clips.noise(1.2, 16_000)


def remade(source: Path, suffix: str, **options) -> Path:
    return remux.write_video(source, WAVE, source.with_name(f"out{suffix}"), 16_000, **options)


def copied_into(source: Path, target: Path, adapt, options: dict[str, str] | None = None) -> Path:
    """A copy of a video whose output stream, and container, `adapt` has changed: what only containers can say."""
    with av.open(source) as old, av.open(target, "w", options=options or {}) as new:
        copies = {stream.index: new.add_stream_from_template(stream, opaque=True) for stream in old.streams}
        adapt(new, copies[old.streams.video[0].index])
        for packet in old.demux():
            if packet.size:
                packet.stream = copies[packet.stream_index]
                new.mux(packet)
    return target


def film(path: Path):
    """The video stream of a file, closed again."""
    with open_video(path) as opened:
        stream = opened.stream
        return stream.codec_context.codec_tag, stream.sample_aspect_ratio, dict(stream.metadata)


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("source", ["hvc1.mov", "hvc1.mp4", "a.mkv"])
def test_hevc_comes_back_as_apple_wants_it(tmp_path, source, suffix):
    made = clips.video(tmp_path / "plain.mkv", clips.EVEN, codec="libx265")

    def tagged(_, stream):
        if source != "a.mkv":
            stream.codec_context.codec_tag = "hvc1"

    copy = copied_into(made, tmp_path / source, tagged)
    assert film(remade(copy, suffix))[0] == "hvc1"


def test_a_tag_that_says_how_it_is_decoded_stays(tmp_path):
    source = clips.video(tmp_path / "a.mov", clips.EVEN, codec="prores_ks", pix_fmt="yuva444p10le")
    assert film(source)[0] == "ap4h"
    for suffix in (".mov", ".mkv"):
        written = remade(source, suffix, encode=False)
        assert film(written)[0] == "ap4h" and clips.packets(written) == clips.packets(source)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("source", ["a.mp4", "a.mov"])
def test_the_aspect_ratio_that_only_the_container_knows_stays(tmp_path, source, suffix, codec):
    def wide(_, stream):
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    copy = copied_into(clips.video(tmp_path / "plain.mp4", clips.EVEN, codec=codec), tmp_path / source, wide)
    assert film(copy)[1] == Fraction(4, 3)
    written = remade(copy, suffix)
    assert film(written)[1] == Fraction(4, 3)
    assert clips.indices(video.read_frames(written, Clock(fps=10.0), 16).images) == list(range(12))
    again = remade(written, ".mov" if suffix != ".mov" else ".mp4")  # out of Matroska as well
    assert film(again)[1] == Fraction(4, 3)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_chapters_time_code_and_languages_go_with_it(tmp_path, suffix):
    made = clips.video(
        tmp_path / "plain.mp4", [5 + t for t in clips.EVEN], sounds=[(clips.noise(6.2, 16_000), 16_000, 0.0)] * 2
    )

    def described(container, stream):
        stream.codec_context.framerate = 10
        container.set_chapters(
            [
                {"id": 1, "start": 5000, "end": 5500, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}},
                {"id": 2, "start": 5500, "end": 6200, "time_base": Fraction(1, 1000), "metadata": {"title": "Two"}},
            ]
        )
        stream.metadata["timecode"] = "01:00:00:00"
        for audio, language in zip(container.streams.audio, ("jpn", "ger"), strict=True):
            audio.metadata["language"] = language

    source = copied_into(made, tmp_path / "a.mov", described)
    written = remade(source, suffix, as_track=True)
    with av.open(written) as file:
        _, chapter = file.chapters()
        assert chapter["metadata"]["title"] == "Two"
        assert float(chapter["start"] * chapter["time_base"]) == pytest.approx(0.5)  # the film begins at zero now
        assert {key.lower() for key in file.streams.video[0].metadata} >= {"timecode"}
        assert [stream.language for stream in file.streams.audio][1:] == ["jpn", "ger"]
    assert remux.choose(source, written.with_name(f"other{suffix}")).left_out == ()


def subtitled(path: Path) -> Path:
    """A Matroska file with subtitles that .mp4 does not have, and a font."""
    text = path.with_name("text.srt")
    text.write_text("1\n00:00:00,500 --> 00:00:01,000\nRain.\n")
    with av.open(clips.video(path.with_name("plain.mkv"), clips.EVEN)) as old, av.open(text) as words:
        with av.open(path, "w") as new:
            new.add_attachment("a.ttf", "font/ttf", b"font")
            copies = []
            for file in (old, words):
                copy = new.add_stream_from_template(file.streams[0], opaque=True)
                copy.metadata["language"] = "deu"
                packets = [packet for packet in file.demux() if packet.size]
                copies.append((copy, packets))
            for copy, packets in copies:
                for packet in packets:
                    packet.stream = copy
                    new.mux(packet)
    return path


def test_what_cannot_be_held_is_named_before_the_work(tmp_path):
    source = subtitled(tmp_path / "a.mkv")
    choice = remux.choose(source, tmp_path / "b.mp4")
    assert choice.copied and set(choice.left_out) == {"subtitles (srt in deu)", "attachment (a.ttf)"}
    assert list(choice.notes()) == [f"a.mkv: .mp4 cannot hold its {', '.join(choice.left_out)}: left out"]
    assert remux.choose(source, tmp_path / "b.mkv").left_out == ()
    with av.open(remade(source, ".mkv")) as file:
        assert len(file.streams.subtitles) == 1 and file.streams.attachments[0].data == b"font"


def test_transparency_is_carried_or_named(tmp_path):
    def transparent(_, stream):
        stream.metadata["alpha_mode"] = "1"

    made = clips.video(tmp_path / "plain.webm", clips.EVEN, codec="libvpx-vp9")
    source = copied_into(made, tmp_path / "a.webm", transparent)
    assert remux.choose(source, tmp_path / "b.mp4").left_out == ("transparency",)
    assert "ALPHA_MODE" in film(remade(source, ".mkv"))[2]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_directions_of_a_360_degree_video_stay(tmp_path, suffix):
    source = spherical(clips.video(tmp_path / "a.mp4", clips.EVEN))
    with av.open(remade(source, suffix)) as file:
        assert "SPHERICAL" in {data.type.name for data in next(file.decode(video=0)).side_data}


def box(name: bytes, *content: bytes) -> bytes:
    return (8 + len(b"".join(content))).to_bytes(4, "big") + name + b"".join(content)


def spherical(path: Path) -> Path:
    """Say in an .mp4 whose index comes last that it shows all directions: sv3d of Google's version 2."""
    empty = bytes(4)
    projection = box(b"proj", box(b"prhd", empty, bytes(12)), box(b"equi", empty, bytes(16)))
    added = box(b"sv3d", box(b"svhd", empty, b"frieren\0"), projection)
    data = bytearray(path.read_bytes())
    entry = data.index(b"avc1", data.index(b"stsd")) - 4
    end = entry + int.from_bytes(data[entry : entry + 4], "big")
    data[end:end] = added
    for name in (b"avc1", b"stsd", b"stbl", b"minf", b"mdia", b"trak", b"moov"):  # every box around it grows
        at = data.rindex(name, 0, end) - 4
        data[at : at + 4] = (int.from_bytes(data[at : at + 4], "big") + len(added)).to_bytes(4, "big")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("thumbnail_first", [True, False])
def test_the_stream_that_plays_is_the_film(tmp_path, thumbnail_first):
    picture = clips.video(tmp_path / "picture.mov", [0], codec="mjpeg", pix_fmt="yuvj420p")
    made, source = clips.video(tmp_path / "plain.mov", clips.EVEN), tmp_path / "a.mov"
    with av.open(picture) as still, av.open(made) as moving, av.open(source, "w") as new:
        files = [still, moving] if thumbnail_first else [moving, still]
        copies = [new.add_stream_from_template(file.streams.video[0], opaque=True) for file in files]
        for file, copy in zip(files, copies, strict=True):
            for packet in file.demux(video=0):
                if packet.size:
                    packet.stream = copy
                    new.mux(packet)
    assert video.probe(source).codec == "h264" and video.probe(source).frames == 12
    assert remux.choose(source, tmp_path / "b.mp4").left_out == ("further video (mjpeg)",)
    assert video.probe(remade(source, ".mp4")).seconds == pytest.approx(1.2, abs=0.01)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.gif", "gif", "rgb8"),
        ("a.apng", "apng", "rgb24"),
        ("a.wmv", "wmv2", "yuv420p"),
        ("a.flv", "flv", "yuv420p"),
        ("a.ogv", "libtheora", "yuv420p"),
        ("a.avi", "rawvideo", "bgr24"),
        ("a.y4m", "rawvideo", "yuv420p"),
        ("a.mov", "dnxhd", "yuv422p"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("a.mkv", "ffv1", "yuv444p"),
    ],
)
def test_what_cannot_be_copied_is_encoded_and_looks_the_same(tmp_path, name, codec, pix_fmt):
    if codec not in av.codec.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    options, size = {}, (64, 48)
    if codec == "dnxhd":
        options = {"profile": "dnxhr_lb"}
        size = 256, 120
    source = video_of(tmp_path / name, codec, pix_fmt, size, options)
    target = tmp_path / "b.mov"
    choice = remux.choose(source, target)
    if choice.copied:
        target = tmp_path / "b.mp4"
        choice = remux.choose(source, target)
    assert not choice.copied and choice.target == target
    assert f"{name}: {target.suffix} cannot hold its video" in next(iter(choice.notes()))
    with pytest.raises(VideoError, match="cannot be copied"):
        remux.choose(source, target, encode=False)
    written, before = remux.write_video(source, WAVE, target, 16_000), video.probe(source)
    after = video.probe(written)
    assert after.codec == "h264" and after.frames == before.frames == 12
    assert after.seconds == pytest.approx(before.seconds, abs=0.02) and after.start == pytest.approx(0, abs=1e-3)
    old, new = (video.read_frames(path, Clock(fps=10.0), 32).images.numpy() for path in (source, written))
    assert clips.indices(video.read_frames(written, Clock(fps=10.0), 16).images) == list(range(12))
    assert np.sqrt(np.mean((old - new) ** 2)) < (
        0.03 if codec in ("gif", "rawvideo") else 0.01
    )  # RGB loses its colours


def video_of(path: Path, codec: str, pix_fmt: str, size: tuple[int, int], options: dict[str, str]) -> Path:
    """`clips.video` with options of the encoder."""
    with av.open(path, "w") as out:
        stream = out.add_stream(codec, rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        for index in range(12):
            image = np.full((size[1], size[0], 3), clips.grey(index), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("size", [(65, 48), (64, 47), (65, 47), (1, 1)])
def test_odd_sizes_are_encoded_without_a_change_of_scale(tmp_path, size):
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[:, -1], image[-1] = 200, 200
    source = clips.video(tmp_path / "a.apng", [0, 0.5], codec="apng", pix_fmt="rgb24", size=size, images=[image] * 2)
    written = remux.write_video(source, WAVE, tmp_path / "b.mp4", 16_000)
    with av.open(written) as file:
        found = next(file.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    wanted = np.pad(image, [(0, size[1] % 2), (0, size[0] % 2), (0, 0)], "edge").astype(int)
    assert found.shape == wanted.shape and np.abs(found - wanted).mean() < 6


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_an_encoded_video_keeps_rotation_and_aspect_ratio(tmp_path, rotation):
    source = clips.video(tmp_path / "a.mov", [0, 0.5], codec="prores_ks", pix_fmt="yuv422p10le", rotation=rotation)

    def wide(_, stream):
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    source = copied_into(source, tmp_path / "wide.mov", wide)
    written = remux.write_video(source, WAVE, tmp_path / "b.mp4", 16_000)
    assert video.probe(written).rotation == rotation % 360 and film(written)[1] == Fraction(4, 3)


def test_of_our_own_names_the_one_that_copies_is_taken(tmp_path):
    source = clips.video(tmp_path / "a.mov", clips.EVEN, codec="prores_ks", pix_fmt="yuv422p10le")
    assert remux.choose(source, tmp_path / "b.mp4", free=True).target == tmp_path / "b.mov"
    source = clips.video(tmp_path / "a.webm", clips.EVEN, codec="libvpx-vp9")
    assert remux.choose(source, tmp_path / "b.mov", free=True).target == tmp_path / "b.mkv"
    assert remux.choose(source, tmp_path / "b.mp4", free=True).target == tmp_path / "b.mp4"
    assert not remux.choose(source, tmp_path / "b.mov").copied


@pytest.mark.parametrize(
    ("suffix", "codec", "rate", "wanted"),
    [
        (".mp4", None, 16_000, ("aac", 16_000)),
        (".mp4", "flac", 44_100, ("flac", 44_100)),
        (".mp4", "opus", 44_100, ("opus", 48_000)),
        (".mkv", None, 44_100, ("flac", 44_100)),
        (".mkv", "aac", 48_000, ("aac", 48_000)),
        (".mkv", "opus", 16_000, ("opus", 48_000)),
        (".mov", "aac", 44_100, ("aac", 44_100)),
    ],
)
def test_the_sound_in_the_codec_that_was_asked_for(tmp_path, suffix, codec, rate, wanted):
    source, wave = clips.video(tmp_path / "a.mp4", clips.EVEN), clips.noise(1.2, rate)
    written = remux.write_video(source, wave, tmp_path / f"b{suffix}", rate, audio_codec=codec)
    with av.open(written) as file:
        name = file.streams.audio[0].name.removeprefix("lib")
        assert (name, file.streams.audio[0].rate) == wanted
    found, got, start = sounds.decode(written)
    known = sounds.resample(wave, rate, got)
    assert abs(clips.lag(found[0], known) / got + start) < 0.003
    with pytest.raises(OutputError, match=r"mov holds no flac, only aac"):
        remux.choose(source, tmp_path / "b.mov", audio_codec="flac")


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_the_old_sounds_as_tracks_of_their_own(tmp_path, suffix):
    old = [clips.noise(1.4, 48_000, seed) for seed in (1, 2)]
    source = clips.video(tmp_path / "a.mp4", clips.EVEN, sounds=[(wave, 48_000, 0.0) for wave in old])
    written = remade(source, suffix, as_track=True)
    kept = []
    for number in range(2):
        with av.open(source) as before:
            kept.append([bytes(packet) for packet in before.demux(audio=number) if packet.size])
    for number, packets in enumerate(kept, 1):
        with av.open(written) as after:
            assert [bytes(packet) for packet in after.demux(audio=number) if packet.size] == packets
    new, rate, start = sounds.decode(written)
    assert abs(clips.lag(new[0], WAVE) / rate + start - video.probe(written).start) < 0.005
    with pytest.raises(ValueError, match="choose one of the two"):
        remade(source, suffix, as_track=True, keep_original=True)


def test_further_languages_stay_beside_the_mix(tmp_path):
    old = [clips.noise(1.4, 48_000, seed) for seed in (1, 2)]
    source = clips.video(tmp_path / "a.mp4", clips.EVEN, sounds=[(wave, 48_000, 0.0) for wave in old])
    with av.open(remade(source, ".mp4", keep_original=True)) as file:
        assert len(file.streams.audio) == 2
