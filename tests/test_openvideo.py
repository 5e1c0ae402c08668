"""frieren.openvideo: what a pass over an open file measures, decodes and demuxes."""

import itertools
from types import SimpleNamespace

import av
import clips
import numpy as np
import pytest

from frieren import media, openvideo, video
from frieren.clock import Clock
from frieren.errors import VideoError
from frieren.openvideo import OpenVideo, open_video


def test_one_frame_two_streams_and_what_probe_says(tmp_path):
    single = clips.video(tmp_path / "one.mp4", [0])
    assert len(video.read_frames(single, Clock(fps=4.0), 16)) == 1
    sound = (clips.noise(3, 16_000), 16_000, 0.0)
    path = clips.video(tmp_path / "a.mkv", clips.EVEN, streams=2, sounds=[sound, sound])
    info = video.probe(path)
    assert (info.width, info.height, info.codec, info.has_audio) == (64, 48, "h264", True)
    assert info.seconds == pytest.approx(1.2, abs=0.01) and info.fps == pytest.approx(10, abs=0.1)
    assert clips.indices(video.read_frames(path, Clock(fps=10.0), 16).images) == list(range(12))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_long_still_confirmed_by_the_container_duration_stays(tmp_path, suffix):
    path = clips.video(tmp_path / f"a{suffix}", clips.EVEN[:6] + [30 + t for t in clips.EVEN[6:]])
    info = video.probe(path)
    assert info.jumps == 0 and info.seconds == pytest.approx(31.2, abs=1.0)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("start", [0.0, 0.5])
def test_measures_agree_with_how_the_file_was_made(tmp_path, suffix, start):
    times = [start + index / 25 for index in range(50)]
    path = clips.video(tmp_path / f"a{suffix}", times, size=(96, 64), sounds=[(clips.noise(2, 16_000), 16_000, start)])
    with open_video(path) as opened:
        info = opened.measure()
    assert info.seconds == pytest.approx(2.0, abs=1e-3) and info.fps == pytest.approx(25, abs=0.01)
    assert (info.width, info.height, info.rotation, info.codec) == (96, 64, 0, "h264")
    assert info.has_audio and info.jumps == 0 and info.container_duration == pytest.approx(2.0, abs=0.1)


def test_frames_come_in_display_order_with_their_times(tmp_path):
    path = clips.video(tmp_path / "a.mp4", [0.5 + time for time in clips.VFR])
    with open_video(path) as opened:
        found = [(round(frame.to_ndarray(format="rgb24").mean() / clips.STEP), time) for frame, time in opened.frames()]
    assert [index for index, _ in found] == list(range(len(clips.VFR)))
    assert np.allclose([time for _, time in found], clips.VFR, atol=1e-3)


def test_packets_come_in_decoding_order_with_jumps_taken_out(tmp_path):
    path = clips.cut_together(tmp_path / "a.ts", 20.0)
    with open_video(path) as opened:
        found = [(float(packet.pts * packet.time_base), time) for packet, time in opened.packets()]
    starts, times = zip(*found, strict=True)
    assert len(found) == 12 and list(times) == sorted(times)
    assert max(starts) - min(starts) == pytest.approx(1.1, abs=0.15)  # 12 frames of 0.1 s, not 20 s


def test_a_cover_image_is_not_the_video(tmp_path):
    def stream(disposition):
        return SimpleNamespace(
            disposition=disposition, codec_context=object(), average_rate=25, guessed_rate=None, frames=0
        )

    cover, film = stream(av.stream.Disposition.attached_pic), stream(av.stream.Disposition.default)
    container = SimpleNamespace(streams=SimpleNamespace(video=[cover, film]))
    assert OpenVideo(tmp_path, container).stream is film
    container.streams.video.pop()
    with pytest.raises(VideoError, match="no video stream"):
        OpenVideo(tmp_path, container)


def test_a_file_of_sound_has_no_video_stream(tmp_path):
    path = clips.bad_files(tmp_path)["no video stream"]
    with pytest.raises(VideoError, match="no video stream"), open_video(path):
        pass


def test_packets_that_an_edit_list_hides_do_not_count(tmp_path):
    path = clips.video(tmp_path / "a.mp4", [i / 10 - 0.4 for i in range(15)])
    with open_video(path) as opened:
        assert opened.measure().fps == pytest.approx(10, abs=0.6)  # 11 of 15 frames in 1.1 s


def test_a_damaged_length_does_not_decide(tmp_path, monkeypatch):
    def damaged(container, stream=None, axis=None):
        for packet in demux(container, stream, axis):
            packet.duration = 10**12
            yield packet

    demux = openvideo.demux
    path = clips.video(tmp_path / "a.mp4", clips.EVEN)
    monkeypatch.setattr(openvideo, "demux", damaged)
    with open_video(path) as opened:
        assert opened.measure().seconds < 1.2 + media.JUMP


def test_times_never_go_back(tmp_path, monkeypatch):
    path, wrong = clips.video(tmp_path / "a.mp4", clips.EVEN[:5]), iter([0.0, 0.2, 0.1, None, 0.4])
    monkeypatch.setattr(openvideo, "frame_time", lambda frame: next(wrong))
    with open_video(path) as opened:
        assert [time for _, time in opened.frames()] == pytest.approx([0.0, 0.2, 0.2, 0.3, 0.4])


def test_frames_that_the_decoder_holds_where_a_file_is_truncated_are_not_lost(tmp_path, monkeypatch):
    def truncated(container, stream=None, axis=None):
        yield from itertools.islice((packet for packet in demux(container, stream, axis) if packet.size), count)

    demux, count = openvideo.demux, 12
    path = clips.video(tmp_path / "a.mp4", clips.EVEN)
    monkeypatch.setattr(openvideo, "demux", truncated)
    with open_video(path) as opened:
        assert len(list(opened.frames())) == 12
    count = 1
    with open_video(path) as opened:
        assert opened.measure().seconds == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("seconds", [0.5, 3.0])
def test_a_sound_of_another_length_is_not_taken_for_a_truncated_video(tmp_path, seconds):
    path = clips.video(tmp_path / "a.mp4", clips.EVEN, sounds=[(clips.noise(seconds, 16_000), 16_000, 0.0)])
    with open_video(path) as opened:
        info = opened.measure()
    assert info.seconds == pytest.approx(1.2, abs=0.01) and info.container_duration == pytest.approx(1.2, abs=0.1)
