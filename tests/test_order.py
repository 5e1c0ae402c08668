"""frieren.remux.order: frames that are stored without display times get those of the film."""

from __future__ import annotations

from fractions import Fraction

import av
import clips
import numpy as np
import pytest

from frieren import remux, video
from frieren.clock import Clock
from frieren.remux.order import missing_stamps


def with_b_frames(path):
    """Twelve frames at 10 per second, of which the encoder has to make B-frames."""
    with av.open(path, "w") as out:
        stream = out.add_stream("libx264", rate=10, options={"x264-params": "bframes=2:b-adapt=0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(12):
            image = np.full((48, 64, 3), clips.grey(index), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))
    return path


def without_times(made, path):
    """Its packets in a container that only knows the order in which they are stored."""
    with av.open(made) as old, av.open(path, "w", format={".264": "h264"}.get(path.suffix)) as new:
        stream = new.add_stream_from_template(old.streams.video[0], opaque=True)
        stream.time_base = Fraction(1, 10)
        annex_b = av.bitstream.BitStreamFilterContext("h264_mp4toannexb", old.streams.video[0])
        stored = [one for packet in old.demux(video=0) if packet.size for one in annex_b.filter(packet)]
        for number, packet in enumerate(stored):
            packet.pts = packet.dts = number
            packet.time_base, packet.stream = Fraction(1, 10), stream
            new.mux(packet)
    return path


@pytest.mark.parametrize("suffix", [".avi", ".264"])
@pytest.mark.parametrize("target", ["b.mp4", "b.mkv"])
def test_frames_that_are_stored_out_of_order_are_shown_in_order(tmp_path, suffix, target):
    made = with_b_frames(tmp_path / "made.mp4")
    source = without_times(made, tmp_path / f"a{suffix}")
    assert [time for _, time in clips.packets(made)] != sorted(time for _, time in clips.packets(made))
    written = remux.write_video(source, clips.noise(1.2, 16_000), tmp_path / target, 16_000, encode=False)
    rate = 10.0 if suffix == ".avi" else 25.0  # an elementary stream does not say
    shown = video.read_frames(written, Clock(fps=rate), 16).images
    assert clips.indices(shown) == clips.indices(video.read_frames(made, Clock(fps=10.0), 16).images) == list(range(12))
    times = sorted(time for _, time in clips.packets(written))
    assert np.allclose(np.diff(times), video.probe(source).seconds / 12, atol=2e-3) and times[0] == pytest.approx(0)


def test_a_file_that_says_when_its_frames_are_shown_is_believed(tmp_path):
    assert missing_stamps(clips.video(tmp_path / "a.mp4", clips.EVEN)) is None
    assert missing_stamps(clips.video(tmp_path / "a.avi", clips.EVEN, codec="mpeg4")) is None
