"""The cases of the media suite: films as phones, browsers, recorders and editors make them, and damaged ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
from films import EVEN, FRAMES, cut, film, flipped, joined, moved
from suite import Case

VFR = (0, 0.02, 0.05, 0.30, 0.31, 0.55, 0.90, 0.93, 1.10, 1.40, 1.44, 1.60)
AT_25 = tuple(index / 25 for index in range(FRAMES))
NTSC = tuple(index * 1001 / 30_000 for index in range(FRAMES))
STILL = (*EVEN[:7], *(30 + time for time in EVEN[7:]))
SOUND = (1.2, 0.0, "mono")
CODECS = "containers and codecs"
TIMES = "timestamps"
STREAMS = "streams"
SIZES = "sizes and colours"
DAMAGE = "damage"
NAMES = "names and folders"

Make = Callable[[Path], Path]


def at(name: str, *arguments: object, **options: object) -> Make:
    """Writes `films.film` under this name."""
    return lambda folder: film(folder / name, *arguments, **options)  # type: ignore[arg-type]


def x264(name: str, form: str | None = None, **options: object) -> Make:
    """A film of H.264 without B-frames, which every container takes."""
    return at(name, form=form, encoder={"bf": "0"}, **options)


def offset(name: str, shift: float, form: str | None = None, **muxer: str) -> Make:
    """A film whose times begin at `shift` seconds."""

    def make(folder: Path) -> Path:
        plain = film(folder / "plain.mp4", encoder={"bf": "0"}, sounds=[SOUND])
        made = moved(plain, folder / name, shift, form, **muxer)
        plain.unlink()
        return made

    return make


def cut_together(name: str, jump: float, form: str) -> Make:
    """Two recordings in one file, the second `jump` seconds later by its clock."""

    def make(folder: Path) -> Path:
        first = film(folder / f"1{name}", form=form, times=[10 + time for time in EVEN[:6]], encoder={"bf": "0"})
        plain = film(folder / "plain.mp4", times=EVEN, encoder={"bf": "0"}, adapt=None)
        second = film(folder / f"2{name}", form=form, times=[10 + jump + time for time in EVEN], encoder={"bf": "0"})
        made = joined(folder / name, first, second)
        for path in (first, second, plain):
            path.unlink()
        return made

    return make


def after(make: Make, change: Callable[..., Path], *arguments: float) -> Make:
    """A film that something happens to."""
    return lambda folder: change(make(folder), *arguments)


def written(name: str, content: bytes) -> Make:
    """A file that is no film."""

    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def remade(name: str, adapt: Callable[[av.container.OutputContainer, dict[int, av.stream.Stream]], None]) -> Make:
    """A film copied with streams that `adapt` changes."""

    def make(folder: Path) -> Path:
        plain = film(folder / "plain.mp4", sounds=[SOUND], encoder={"bf": "0"})
        with av.open(plain) as old, av.open(folder / name, "w") as new:
            copies = {stream.index: new.add_stream_from_template(stream, opaque=True) for stream in old.streams}
            adapt(new, copies)
            for packet in old.demux():
                if packet.size:
                    packet.stream = copies[packet.stream_index]
                    new.mux(packet)
        plain.unlink()
        return folder / name

    return make


def described(output: av.container.OutputContainer, streams: dict[int, av.stream.Stream]) -> None:
    output.set_chapters(
        [
            {
                "id": n,
                "start": 500 * n,
                "end": 500 * n + 500,
                "time_base": Fraction(1, 1000),
                "metadata": {"title": str(n)},
            }
            for n in range(2)
        ]
    )
    streams[0].codec_context.framerate = 10
    streams[0].metadata["timecode"] = "01:00:00:00"
    streams[1].metadata["language"] = "jpn"


def wide(output: av.container.OutputContainer, streams: dict[int, av.stream.Stream]) -> None:
    streams[0].codec_context.sample_aspect_ratio = Fraction(4, 3)


def tagged(output: av.container.OutputContainer, streams: dict[int, av.stream.Stream], tag: str) -> None:
    streams[0].codec_context.codec_tag = tag


def with_subtitles(folder: Path) -> Path:
    """A Matroska film with subtitles and a font."""
    text = folder / "text.srt"
    text.write_text("1\n00:00:00,500 --> 00:00:01,000\nRain.\n")
    plain = film(folder / "plain.mkv", encoder={"bf": "0"})
    with av.open(plain) as old, av.open(text) as words, av.open(folder / "subtitles.mkv", "w") as new:
        new.add_attachment("a.ttf", "font/ttf", b"font")
        copies = [new.add_stream_from_template(file.streams[0], opaque=True) for file in (old, words)]
        for file, copy in zip((old, words), copies, strict=True):
            for packet in file.demux():
                if packet.size:
                    packet.stream = copy
                    new.mux(packet)
    text.unlink(), plain.unlink()
    return folder / "subtitles.mkv"


def with_thumbnail(name: str, cover: bool) -> Make:
    """A film behind a stream of a single picture."""

    def make(folder: Path) -> Path:
        still, plain = (
            film(folder / "still.mov", "mjpeg", "yuvj420p", [0]),
            film(folder / "plain.mp4", encoder={"bf": "0"}),
        )
        with av.open(still) as one, av.open(plain) as two, av.open(folder / name, "w") as new:
            copies = [new.add_stream_from_template(file.streams[0], opaque=True) for file in (one, two)]
            if cover:
                copies[0].disposition = av.stream.Disposition.attached_pic
            for file, copy in zip((one, two), copies, strict=True):
                for packet in file.demux():
                    if packet.size:
                        packet.stream = copy
                        new.mux(packet)
        still.unlink(), plain.unlink()
        return folder / name

    return make


def zeroed(path: Path) -> Path:
    """Every byte of the pictures set to zero."""
    data = bytearray(path.read_bytes())
    begin = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    data[begin:end] = bytes(end - begin)
    path.write_bytes(data)
    return path


def encrypted(name: str) -> Make:
    key = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "01" * 16, "encryption_kid": "02" * 16}
    return at(name, muxer=key)


def elementary(name: str, codec: str, form: str) -> Make:
    return at(
        name,
        codec,
        form=form,
        encoder={"bf": "0"} if codec == "libx264" else {"x265-params": "bframes=0:log-level=none"},
    )


def row(name: str, group: str, make: Make, out: str = "", *options: str, times: Sequence[float] | None = EVEN) -> Case:
    return Case(name, group, make, out, options, times)


def copied_everywhere() -> list[Case]:
    """H.264, HEVC, AV1 and VP9 in the containers that hold them."""
    rows = [row(f"H.264 in {end}", CODECS, x264(f"a.{end}")) for end in "mp4 mov m4v mkv 3gp flv ts nut".split()]
    rows += [
        row("H.264 in .m2ts", CODECS, x264("a.m2ts", "mpegts", muxer={"mpegts_m2ts_mode": "1"})),
        row("H.264 in .mts, with AC-3", CODECS, x264("a.mts", "mpegts", sounds=[SOUND], sound_codec="ac3")),
        row("H.264, fragmented .mp4", CODECS, x264("a.mp4", muxer={"movflags": "frag_keyframe+empty_moov"})),
        row("H.264 with B-frames in .mp4", CODECS, at("a.mp4", encoder={"x264-params": "bframes=2:b-adapt=0"})),
        row("H.264 with B-frames in .mkv", CODECS, at("a.mkv", encoder={"x264-params": "bframes=2:b-adapt=0"})),
        row("H.264 with B-frames in .ts", CODECS, at("a.ts", encoder={"x264-params": "bframes=2:b-adapt=0"})),
        row("H.264 into .mov", CODECS, x264("a.mp4"), "b.mov"),
        row("H.264 into .mkv", CODECS, x264("a.mp4"), "b.mkv"),
        row("H.264 of a .flv into .mov", CODECS, x264("a.flv"), "b.mov"),
        row("H.264, elementary stream", CODECS, elementary("a.264", "libx264", "h264"), times=AT_25),
        row("HEVC, elementary stream", CODECS, elementary("a.265", "libx265", "hevc"), times=AT_25),
        row("HEVC in .mkv", CODECS, at("a.mkv", "libx265")),
        row("HEVC in .ts", CODECS, at("a.ts", "libx265")),
        row(
            "HEVC of a phone (hvc1, .mov)",
            CODECS,
            at("a.mov", "libx265", adapt=lambda _, s: setattr(s.codec_context, "codec_tag", "hvc1")),
        ),
        row("HEVC of ten bits in .mp4", CODECS, at("a.mp4", "libx265", "yuv420p10le")),
        row("AV1 in .mp4", CODECS, at("a.mp4", "libsvtav1")),
        row("AV1 in .mkv", CODECS, at("a.mkv", "libsvtav1")),
        row("AV1 in .webm", CODECS, at("a.webm", "libsvtav1")),
        row("AV1 into .mov", CODECS, at("a.mp4", "libsvtav1"), "b.mov"),
        row("VP9 in .webm", CODECS, at("a.webm", "libvpx-vp9", sounds=[SOUND], sound_codec="libopus")),
        row("VP9 into .mov", CODECS, at("a.webm", "libvpx-vp9"), "b.mov"),
        row("VP8 in .webm", CODECS, at("a.webm", "libvpx")),
    ]
    return rows


def older_codecs() -> list[Case]:
    """What cameras, editors and old recorders write."""

    def fixed(codec: str, pix_fmt: str = "yuv420p", **encoder: str) -> dict[str, object]:
        return {"codec": codec, "pix_fmt": pix_fmt, "fixed": 25, "encoder": encoder}

    rows = [
        row("H.264 in .avi", CODECS, at("a.avi", **fixed("libx264", bf="0"))),
        row(
            "H.264 with B-frames in .avi",
            CODECS,
            at("a.avi", **fixed("libx264", **{"x264-params": "bframes=2:b-adapt=0"})),
        ),
        row("MPEG-4 in .avi", CODECS, at("a.avi", **fixed("mpeg4"))),
        row("MPEG-4 in .mp4", CODECS, at("a.mp4", **fixed("mpeg4"))),
        row("MPEG-4 in .mkv", CODECS, at("a.mkv", **fixed("mpeg4"))),
        row("MPEG-2 in .mpg", CODECS, at("a.mpg", **fixed("mpeg2video"))),
        row("MPEG-2 in .vob", CODECS, at("a.vob", **fixed("mpeg2video"))),
        row("MPEG-2 in .ts", CODECS, at("a.ts", **fixed("mpeg2video"))),
        row("MPEG-1 in .mpg", CODECS, at("a.mpg", **fixed("mpeg1video"))),
        row("Motion JPEG in .avi", CODECS, at("a.avi", **fixed("mjpeg", "yuvj420p"))),
        row("Motion JPEG in .mov", CODECS, at("a.mov", **fixed("mjpeg", "yuvj420p"))),
        row("ProRes 422 in .mov", CODECS, at("a.mov", **fixed("prores_ks", "yuv422p10le"))),
        row("ProRes 4444 in .mov", CODECS, at("a.mov", **fixed("prores_ks", "yuva444p10le"))),
        row("ProRes into .mp4", CODECS, at("a.mov", **fixed("prores_ks", "yuv422p10le")), "b.mp4"),
        row("ProRes into .mkv", CODECS, at("a.mov", **fixed("prores_ks", "yuv422p10le")), "b.mkv"),
        row("DNxHR in .mov", CODECS, at("a.mov", size=(256, 120), **fixed("dnxhd", "yuv422p", profile="dnxhr_lb"))),
        row(
            "DNxHR into .mp4",
            CODECS,
            at("a.mov", size=(256, 120), **fixed("dnxhd", "yuv422p", profile="dnxhr_lb")),
            "b.mp4",
        ),
        row("MPEG-2 in .mxf", CODECS, at("a.mxf", **fixed("mpeg2video"))),
        row("PNG in .mov", CODECS, at("a.mov", **fixed("png", "rgb24"))),
        row("Animation (RLE) in .mov", CODECS, at("a.mov", **fixed("qtrle", "rgb24"))),
        row("FFV1 in .mkv", CODECS, at("a.mkv", **fixed("ffv1", "yuv444p"))),
        row("FFV1 in .avi into .mov", CODECS, at("a.avi", **fixed("ffv1", "yuv420p")), "b.mov"),
        row("HuffYUV in .avi", CODECS, at("a.avi", **fixed("huffyuv", "yuv422p"))),
        row("Ut Video in .avi", CODECS, at("a.avi", **fixed("utvideo", "yuv420p"))),
        row("Uncompressed in .avi", CODECS, at("a.avi", **fixed("rawvideo", "bgr24"))),
        row("Uncompressed .y4m", CODECS, at("a.y4m", **fixed("rawvideo"))),
        row("Uncompressed in .nut", CODECS, at("a.nut", **fixed("rawvideo"))),
        row("WMV 7 in .wmv", CODECS, at("a.wmv", "wmv1", fixed=25, form="asf")),
        row(
            "WMV 8 in .wmv, with MP3",
            CODECS,
            at("a.wmv", "wmv2", fixed=25, form="asf", sounds=[SOUND], sound_codec="libmp3lame"),
        ),
        row("MS-MPEG-4 in .avi", CODECS, at("a.avi", **fixed("msmpeg4"))),
        row("Sorenson in .flv", CODECS, at("a.flv", **fixed("flv"))),
        row("H.263 in .3gp", CODECS, at("a.3gp", size=(176, 144), **fixed("h263"))),
        row("JPEG 2000 in .mov", CODECS, at("a.mov", **fixed("jpeg2000"))),
        row("Cinepak in .avi", CODECS, at("a.avi", **fixed("cinepak", "rgb24"))),
        row("ZMBV screen recording in .avi", CODECS, at("a.avi", **fixed("zmbv", "bgr0"))),
    ]
    rows = [replace(case, times=AT_25) for case in rows]
    return rows + [
        row("GIF", CODECS, at("a.gif", "gif", "rgb8")),
        row("GIF into .mov", CODECS, at("a.gif", "gif", "rgb8"), "b.mov"),
        row("APNG", CODECS, at("a.apng", "apng", "rgb24")),
        row("GIF, --no-encode", CODECS, at("a.gif", "gif", "rgb8"), "", "--no-encode"),
        row("WMV, --no-encode", CODECS, at("a.wmv", "wmv2", fixed=25, form="asf"), "b.mp4", "--no-encode"),
        row(
            "ProRes into .mp4, --no-encode",
            CODECS,
            at("a.mov", "prores_ks", "yuv422p10le", fixed=25),
            "b.mp4",
            "--no-encode",
        ),
        row("animated WebP", CODECS, written("a.webp", b"RIFF\x00\x01\x00\x00WEBPVP8X" + bytes(300)), times=None),
    ]


def timestamps() -> list[Case]:
    late = tuple(0.5 + time for time in EVEN)
    slow = tuple(5.0 * index for index in range(FRAMES))
    fast = tuple(index / 120 for index in range(FRAMES))
    trimmed = tuple(time - 0.4 for time in EVEN)
    rows = []
    for end in ("mp4", "mov", "mkv"):
        rows += [
            row(f"variable frame rate in .{end}", TIMES, x264(f"a.{end}", times=VFR), times=VFR),
            row(f"begins at 0.5 s in .{end}", TIMES, x264(f"a.{end}", times=late)),
            row(f"120 frames a second in .{end}", TIMES, x264(f"a.{end}", times=fast), times=fast),
        ]
    return rows + [
        row("a frame every five seconds", TIMES, x264("a.mp4", times=slow), times=slow),
        row("29.97 frames a second", TIMES, x264("a.mp4", times=NTSC), times=NTSC),
        row("one frame", TIMES, x264("a.mp4", times=[0]), times=[0]),
        row("two frames", TIMES, x264("a.mp4", times=[0, 0.1]), times=[0, 0.1]),
        row("a recording that begins at 10 h (.ts)", TIMES, offset("a.ts", 36_000, "mpegts", mpegts_copyts="1")),
        row("a stream that begins at 5,000 s (.flv)", TIMES, offset("a.flv", 5_000)),
        row("the clock wraps at 2^33 (.ts)", TIMES, offset("a.ts", 2**33 / 90_000 - 0.5, "mpegts", mpegts_copyts="1")),
        row("cut together, 20 s later (.ts)", TIMES, cut_together("a.ts", 20, "mpegts"), times=None),
        row("cut together, 14 h later (.ts)", TIMES, cut_together("a.ts", 50_000, "mpegts"), times=None),
        row("cut together, 8 s earlier (.ts)", TIMES, cut_together("a.ts", -8, "mpegts"), times=None),
        row("a still of 30 s, live .mkv", TIMES, x264("a.mkv", times=STILL, muxer={"live": "1"}), times=STILL),
        row("a still of 30 s in .flv", TIMES, x264("a.flv", times=STILL), times=STILL),
        row("a still of 30 s in .mp4", TIMES, x264("a.mp4", times=STILL), times=STILL),
        row("a still of 30 s in .ts, with sound", TIMES, still_with_sound, times=STILL),
        row("trimmed by an edit list", TIMES, x264("a.mp4", times=trimmed), times=None),
        row(
            "two minutes, a frame every ten seconds",
            TIMES,
            x264("a.mp4", times=[10.0 * n for n in range(12)]),
            times=None,
        ),
        row("7 hours by its timestamps", TIMES, x264("a.mkv", times=[0, 25_200.0]), times=None),
    ]


def still_with_sound(folder: Path) -> Path:
    """A radio programme: the picture stays while the sound goes on."""
    plain = film(folder / "plain.mkv", times=STILL, encoder={"bf": "0"}, sounds=[(31.2, 0.0, "mono")])
    with av.open(plain) as old, av.open(folder / "a.ts", "w") as new:
        copies = {stream.index: new.add_stream_from_template(stream, opaque=True) for stream in old.streams}
        for packet in sorted((packet for packet in old.demux() if packet.size), key=lambda one: one.pts):
            packet.dts, packet.stream = packet.pts, copies[packet.stream_index]
            new.mux(packet)
    plain.unlink()
    return folder / "a.ts"


def streams() -> list[Case]:
    two = [SOUND, (1.2, 0.0, "stereo")]
    return [
        row("two sounds, replaced", STREAMS, x264("a.mp4", sounds=two)),
        row("two sounds, --as-track", STREAMS, x264("a.mp4", sounds=two), "", "--as-track"),
        row("two sounds, --as-track into .mkv", STREAMS, x264("a.mp4", sounds=two), "b.mkv", "--as-track"),
        row("two sounds, --keep-original", STREAMS, x264("a.mp4", sounds=two), "", "--keep-original"),
        row("5.1 sound, --keep-original", STREAMS, x264("a.mp4", sounds=[(1.2, 0.0, "5.1")]), "", "--keep-original"),
        row("a sound that is longer", STREAMS, x264("a.mp4", sounds=[(5.0, 0.0, "mono")]), "", "--keep-original"),
        row("a sound that is shorter", STREAMS, x264("a.mp4", sounds=[(0.3, 0.0, "mono")]), "", "--keep-original"),
        row("a sound that begins late", STREAMS, x264("a.mkv", sounds=[(0.5, 0.6, "mono")]), "", "--keep-original"),
        row(
            "Opus sound, --as-track into .mov",
            STREAMS,
            x264("a.mkv", sounds=[SOUND], sound_codec="libopus"),
            "b.mov",
            "--as-track",
        ),
        row("chapters, time code, language", STREAMS, remade("a.mov", described), "", "--as-track"),
        row("chapters, time code into .mkv", STREAMS, remade("a.mov", described), "b.mkv"),
        row("subtitles and a font", STREAMS, with_subtitles),
        row("subtitles and a font into .mkv", STREAMS, with_subtitles, "b.mkv"),
        row("a thumbnail before the film", STREAMS, with_thumbnail("a.mov", cover=False)),
        row("a cover", STREAMS, with_thumbnail("a.mp4", cover=True)),
        row("a cover into .mkv", STREAMS, with_thumbnail("a.mp4", cover=True), "b.mkv"),
        row("sound alone", STREAMS, sound_alone, times=None),
        row("the sound as FLAC in .mp4", STREAMS, x264("a.mp4"), "b.mp4", "--audio-codec", "flac"),
        row("the sound as Opus in .mp4", STREAMS, x264("a.mp4"), "b.mp4", "--audio-codec", "opus"),
        row("the sound as Opus in .mkv", STREAMS, x264("a.mp4"), "b.mkv", "--audio-codec", "opus"),
        row("the sound as AAC in .mkv", STREAMS, x264("a.mp4"), "b.mkv", "--audio-codec", "aac"),
        row("the sound as Opus in .mov", STREAMS, x264("a.mp4"), "b.mov", "--audio-codec", "opus"),
    ]


def sound_alone(folder: Path) -> Path:
    """A file of sound called like a film."""
    plain = film(folder / "plain.mp4", sounds=[SOUND])
    with av.open(plain) as old, av.open(folder / "a.mp4", "w") as new:
        copy = new.add_stream_from_template(old.streams.audio[0], opaque=True)
        for packet in old.demux(audio=0):
            if packet.size:
                packet.stream = copy
                new.mux(packet)
    return folder / "a.mp4"


def sizes() -> list[Case]:
    def rotated(degrees: int) -> Make:
        return at("a.mp4", encoder={"bf": "0"}, adapt=lambda _, stream: stream.set_display_rotation(degrees))

    return [
        row("2 x 2 pixels", SIZES, x264("a.mp4", size=(2, 2))),
        row("1 x 1 pixel (.apng)", SIZES, at("a.apng", "apng", "rgb24", size=(1, 1))),
        row("odd width (.gif)", SIZES, at("a.gif", "gif", "rgb8", size=(65, 48))),
        row("odd width and height (.apng)", SIZES, at("a.apng", "apng", "rgb24", size=(65, 47))),
        row("4,096 x 16 pixels", SIZES, x264("a.mp4", size=(4096, 16))),
        row("upright (1080 x 1920 / 20)", SIZES, x264("a.mp4", size=(54, 96))),
        *(row(f"rotated by {degrees} degrees", SIZES, rotated(degrees)) for degrees in (90, 180, 270)),
        row(
            "rotated, encoded",
            SIZES,
            at("a.mov", "prores_ks", "yuv422p10le", fixed=25, adapt=lambda _, s: s.set_display_rotation(90)),
            "b.mp4",
            times=AT_25,
        ),
        row("aspect ratio of the container", SIZES, remade("a.mp4", wide)),
        row("aspect ratio of the container into .mkv", SIZES, remade("a.mp4", wide), "b.mkv"),
        row("ten bits", SIZES, x264("a.mp4", pix_fmt="yuv420p10le")),
        row("4:2:2", SIZES, x264("a.mp4", pix_fmt="yuv422p")),
        row("4:4:4", SIZES, x264("a.mp4", pix_fmt="yuv444p")),
        row("full range", SIZES, x264("a.mp4", pix_fmt="yuvj420p")),
    ]


def damaged() -> list[Case]:
    mkv, ts = x264("a.mkv", sounds=[SOUND]), x264("a.ts", sounds=[SOUND])
    front = {"movflags": "+faststart"}
    mp4 = x264("a.mp4", sounds=[SOUND], muxer=front)
    rows = [
        row("empty", DAMAGE, written("a.mp4", b"")),
        row("a text called .mp4", DAMAGE, written("a.mp4", b"#!/bin/sh\necho hello\n" * 100)),
        row("zeros called .mp4", DAMAGE, written("a.mp4", bytes(10_000))),
        row(
            "a playlist called .mp4",
            DAMAGE,
            written("a.mp4", b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\n/etc/hosts\n"),
        ),
        row(".mp4 cut before its index", DAMAGE, after(x264("a.mp4"), cut, 0.5)),
        row(".mp4 cut after its index", DAMAGE, after(mp4, cut, 0.85)),
        row(".mkv cut in the middle", DAMAGE, after(mkv, cut, 0.6)),
        row(".ts cut in the middle", DAMAGE, after(ts, cut, 0.6)),
        row(".flv cut near its end", DAMAGE, after(x264("a.flv"), cut, 0.9)),
        row(".avi cut in the middle", DAMAGE, after(x264("a.avi"), cut, 0.6)),
        row("pictures of zeros", DAMAGE, after(x264("a.mp4"), zeroed)),
        row("encrypted", DAMAGE, encrypted("a.mp4")),
    ]
    for seed in range(3):
        rows += [
            row(f"0.5 % of an .mp4's pictures changed, {seed}", DAMAGE, after(mp4, flipped, 0.005, seed, 3000)),
            row(f"0.5 % of a .ts changed, {seed}", DAMAGE, after(ts, flipped, 0.005, seed)),
            row(f"0.5 % of an .mkv changed, {seed}", DAMAGE, after(mkv, flipped, 0.005, seed, 300)),
        ]
    return [replace(case, times=None) for case in rows]


def names() -> list[Case]:
    odd = [
        "a b.mp4",
        "ä 音.mp4",
        "http:%03d.mp4",
        "pipe:1.mp4",
        "-o.mp4",
        "[x].mp4",
        "a'b\"c.mp4",
        "A.MP4",
        "none",
        "." + "a" * 40 + ".mp4",
    ]
    rows = [row(f"named {name}", NAMES, x264(name, "mp4")) for name in odd]
    long = "x" * 250 + ".mp4"
    return rows + [
        row("a name of 254 bytes", NAMES, x264(long)),
        row("a line break in the name", NAMES, x264("a\nb.mp4")),
        row("no such file", NAMES, lambda folder: folder / "nothing.mp4", times=None),
        row("an unknown suffix of the output", NAMES, x264("a.mp4"), "b.xyz", times=None),
        row("a folder without videos", NAMES, lambda folder: folder, times=None),
    ]


CASES = [*copied_everywhere(), *older_codecs(), *timestamps(), *streams(), *sizes(), *damaged(), *names()]
