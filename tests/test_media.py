"""frieren.media: what may be opened, what a truncated file still gives, and time axes without unconfirmed jumps."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from fractions import Fraction
from types import SimpleNamespace

import av
import clips
import numpy as np
import pytest

from frieren import media, video
from frieren.errors import VideoError
from frieren.media import TimeAxis


def test_a_playlist_cannot_reach_the_network_or_other_files(tmp_path):
    clip = clips.video(tmp_path / "a.ts", clips.EVEN)
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


@pytest.mark.parametrize("name", ["http:%03d a.mp4", "pipe:1.mp4", "a:b ü.mp4"])
def test_a_name_is_never_taken_for_a_protocol(tmp_path, monkeypatch, name):
    clips.video(tmp_path / name, clips.EVEN)
    monkeypatch.chdir(tmp_path)
    with media.open_media(name) as container:
        assert len(container.streams.video) == 1


@pytest.mark.parametrize("name", ["a" * 300 + ".wav", "no\0name.wav"])
def test_impossible_names_are_one_line(name):
    with pytest.raises(VideoError, match="check the name"), media.open_media(name):
        pass


def test_a_folder_without_permission_is_one_line(monkeypatch):
    def refused(self, **_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.stat", refused)
    with pytest.raises(VideoError, match="permission denied"), media.open_media("a.wav"):
        pass


@pytest.mark.parametrize("suffix", [".mkv", ".ts"])
def test_a_truncated_file_gives_its_packets_up_to_there(tmp_path, suffix):
    images = list(np.random.default_rng(0).integers(0, 256, (12, 48, 64, 3), np.uint8))
    path = clips.video(tmp_path / f"a{suffix}", clips.EVEN, images=images)
    whole = [data for data, _ in clips.packets(path)]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with media.open_media(path) as container:
        part = [bytes(packet) for packet in media.demux(container) if packet.size]
    assert 0 < len(part) < len(whole) and part[:-1] == whole[: len(part) - 1]


@pytest.mark.parametrize(("suffix", "end"), [(".mp4", 1.7), (".mov", 1.7), (".mkv", 1.7), (".ts", 0.0), (".flv", 0.0)])
def test_the_end_by_the_container_duration(tmp_path, suffix, end):
    path = clips.video(tmp_path / f"a{suffix}", [0.5 + time for time in clips.EVEN])
    with media.open_media(path) as container:
        assert media.container_end(container) == pytest.approx(end, abs=0.02)


def axis(duration: float | None, restarts: bool = True) -> TimeAxis:
    """The axis of an .avi whose header says that it lasts `duration` seconds, as if timestamps could begin anew."""
    length = None if duration is None else round(1e6 * duration)
    flags = av.format.Flags.ts_discont.value if restarts else 0
    return TimeAxis(SimpleNamespace(format=SimpleNamespace(name="avi", flags=flags), duration=length, start_time=0))


def place(axis: TimeAxis, time: float, length: float = 0.1, kind: str = "video") -> float:
    """Where a packet of one of two streams is put, in seconds."""
    stream, stamp = SimpleNamespace(type=kind), round(1000 * time)
    packet = SimpleNamespace(pts=stamp, dts=stamp, duration=round(1000 * length), time_base=Fraction(1, 1000))
    packet.stream, packet.stream_index = stream, ("video", "audio").index(kind)
    axis.place(packet)
    assert packet.pts == packet.dts
    return packet.dts / 1000


def test_a_jump_is_taken_out_and_what_follows_goes_on():
    placed = axis(None)
    found = [place(placed, time) for time in (0.0, 0.1, 500.0, 500.1, 0.7)]
    assert found == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.7]) and placed.jumps == 2


def test_timestamps_that_begin_again_go_on():
    placed = axis(None)
    found = [place(placed, time) for time in (0.0, 9.0, 18.0, 0.5, 0.6)]
    assert found == pytest.approx([0.0, 9.0, 18.0, 18.1, 18.2]) and placed.jumps == 1


def test_a_pause_of_less_than_the_limit_is_no_jump():
    placed = axis(None)
    assert [place(placed, time) for time in (0.0, 9.9, 19.0)] == [0.0, 9.9, 19.0] and placed.jumps == 0


def test_a_jump_that_the_container_duration_confirms_stays():
    placed = axis(60.0)
    assert [place(placed, time) for time in (0.0, 50.0)] == [0.0, 50.0] and placed.jumps == 0
    assert place(placed, 90_000.0) == pytest.approx(50.1) and placed.jumps == 1


def test_lengths_count_for_where_a_jump_is_put():
    placed = axis(None)
    place(placed, 0.0, 2.0)
    assert place(placed, 100.0, 2.0) == 2.0 and placed.shifts[0] == 98.0


def test_a_picture_that_stays_is_no_jump_where_timestamps_do_not_begin_anew():
    placed = axis(None, restarts=False)
    assert [place(placed, time) for time in (0.0, 60.0, 60.1)] == [0.0, 60.0, 60.1] and placed.jumps == 0
    placed = axis(None)  # where they do, the sound that goes on confirms it
    times = [(0.0, "video"), *((second, "audio") for second in range(0, 60, 5)), (60.0, "video")]
    assert [place(placed, time, kind=kind) for time, kind in times] == [time for time, _ in times]


def test_the_picture_before_a_still_may_come_after_the_sound_of_the_still():
    placed = axis(None)
    times = [(0.0, "video"), *((second, "audio") for second in range(0, 60, 5)), (0.1, "video"), (60.0, "video")]
    assert [place(placed, time, kind=kind) for time, kind in times] == [time for time, _ in times]
    assert placed.jumps == 0


def test_picture_and_sound_jump_together_whatever_comes_first():
    placed = axis(None)
    for time, kind, wanted in [
        (0.0, "video", 0.0),
        (0.0, "audio", 0.0),
        (0.1, "video", 0.1),
        (500.2, "video", 0.2),
        (0.1, "audio", 0.1),
        (500.3, "video", 0.3),
        (500.2, "audio", 0.2),
    ]:
        assert place(placed, time, kind=kind) == pytest.approx(wanted), (time, kind)


def test_a_length_that_is_not_said_is_that_of_the_packet_before():
    placed = axis(None)
    assert [place(placed, time, 0.0) for time in (0.0, 0.1, 0.2, 900.0)] == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_a_display_time_far_from_the_decoding_time_is_damaged():
    placed = axis(60.0)
    packet = SimpleNamespace(pts=50_000, dts=100, duration=100, time_base=Fraction(1, 1000), stream_index=0)
    packet.stream = SimpleNamespace(type="video")
    placed.place(packet)
    assert packet.pts == 100


def test_a_stream_that_begins_later_does_not_end_the_others():
    class Container:
        """Packets, with one in between whose stream was not known."""

        format, duration = SimpleNamespace(name="mpegts", flags=0), None

        def __init__(self):
            self.left = [1, 2, None, 3]

        def demux(self):
            while self.left:
                number = self.left.pop(0)
                if number is None:
                    raise IndexError("list index out of range")
                yield SimpleNamespace(size=0, stream_index=0, number=number)

    assert [packet.number for packet in media.demux(Container())] == [1, 2, 3]


def test_what_ffmpeg_reports_while_writing_is_an_os_error():
    with pytest.raises(OSError, match="bad argument") as caught, media.as_os_errors():
        raise av.error.ArgumentError(22, "bad argument")
    assert caught.value.errno == 22 and not isinstance(caught.value, av.error.FFmpegError)
    for error in (OSError(28, "full"), ValueError("ours"), VideoError("a.mp4: unreadable")):
        with pytest.raises(type(error)) as same, media.as_os_errors():
            raise error
        assert same.value is error


def test_writing_a_file_does_not_load_ffmpeg(tmp_path):
    code = "import sys; from pathlib import Path; from frieren.files import write_text\n"
    code += "write_text(Path(sys.argv[1]), 'x'); sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.txt")]).returncode == 0
