"""frieren.video: frames by timestamps; odd files work, bad files say why."""

import contextlib
import itertools
import warnings

import av
import clips
import numpy as np
import pytest
import torch

from frieren import video
from frieren.clock import Clock
from frieren.errors import VideoError
from frieren.openvideo import open_video


def nearest(times, count, fps):
    """The frame nearest to each time of the grid, the earlier of two; by brute force."""
    shifted = np.array(times) - times[0]
    return [int(np.argmin(np.round(np.abs(shifted - k / fps), 6))) for k in range(count)]


def frames_of(path, fps=4.0, size=16):
    return video.read_frames(path, Clock(fps=fps), size)


TIMES = [clips.EVEN, clips.VFR, [0.5 + t for t in clips.VFR], [i / 120 for i in range(60)], [0, 0.2, 0.4, 0.6]]


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_each_time_of_the_grid_gets_the_nearest_frame(tmp_path, times, suffix):
    path = clips.video(tmp_path / f"a{suffix}", times)
    for fps in (4.0, 7.3, 25.0):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            frames = frames_of(path, fps)
        shown = [t % clips.LEVELS for t in nearest(times, len(frames), fps)]
        assert clips.indices(frames.images) == shown
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
    path = clips.video(tmp_path / name, clips.EVEN, codec=codec, pix_fmt=pix_fmt)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frames = frames_of(path, 5.0)
    assert frames.seconds == pytest.approx(1.2, abs=0.01)
    assert clips.indices(frames.images) == [0, 2, 4, 6, 8, 10]


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
    path = clips.video(tmp_path / "a.mp4", clips.VFR)
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
    frames = video.read_frames(path, Clock(fps=fps, published_frames=True), 16)
    count = min(len(wanted), len(frames.images))  # at the very end the filter rounds, and we cover the rest
    assert clips.indices(frames.images)[:count] == wanted[:count] and abs(len(wanted) - len(frames.images)) <= 1
    assert frames.times.tolist() == [index / fps for index in range(len(frames.images))]


def test_a_trimmed_video_begins_where_it_is_displayed(tmp_path):
    # An edit list hides what comes before zero.
    path = clips.video(tmp_path / "a.mp4", [i / 10 - 0.4 for i in range(15)])
    info = video.probe(path)
    assert info.start == pytest.approx(0, abs=1e-3) and info.seconds == pytest.approx(1.1, abs=0.06)
    assert clips.indices(frames_of(path, 10.0).images) == list(range(4, 15))


@pytest.mark.parametrize("jump", [20.0, 50_000.0])
def test_a_jump_of_the_timestamps_does_not_decide_the_length(tmp_path, jump):
    path = clips.cut_together(tmp_path / "a.ts", jump)
    with pytest.warns(UserWarning, match=r"a\.ts: its timestamps jump"):
        frames = frames_of(path, 10.0)
    assert frames.seconds == pytest.approx(1.2, abs=0.15) and max(clips.indices(frames.images)[6:]) == 5


def test_time_never_goes_back(tmp_path):
    """The second half of a recording begins again 0.4 s before the end of the first."""
    with open_video(clips.cut_together(tmp_path / "a.ts", 0.3)) as opened:
        times = [time for _, time in opened.frames()]
    assert len(times) == 12 and times == sorted(times)
    assert times == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, *[0.5] * 6, 0.6], abs=0.01)
    frames = frames_of(tmp_path / "a.ts", 10.0)
    assert len(frames) == 7 and clips.indices(frames.images)[:5] == list(range(5))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_file_that_is_truncated_gives_what_it_has(tmp_path, suffix):
    options = {"movflags": "+faststart"} if suffix == ".mp4" else {}
    images = list(np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), np.uint8))
    path = clips.video(tmp_path / f"a{suffix}", [i / 10 for i in range(20)], options=options, images=images)
    whole = frames_of(path, 10.0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.warns(UserWarning, match="truncated"):
        part = frames_of(path, 10.0)
    assert 0.5 < part.seconds < 1.5 and len(part) < len(whole)
    assert (part.images - whole.images[: len(part)])[: len(part) - 4].abs().max() < 1e-6


def test_a_frame_that_cannot_be_converted_is_one_line(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise ValueError("no such conversion")

    monkeypatch.setattr(video.picture, "image", broken)
    with pytest.raises(VideoError, match=r"a\.mp4: a frame cannot be converted \(no such conversion\);"):
        frames_of(clips.video(tmp_path / "a.mp4", clips.EVEN))


def test_bad_input_is_one_line_with_name_reason_and_remedy(tmp_path):
    for word, path in clips.bad_files(tmp_path).items():
        for read in (video.probe, lambda p: video.stream_frames(p, 4, 16)):
            with pytest.raises(VideoError) as caught:
                read(path)
            message = str(caught.value)
            assert message.startswith(f"{path}: ") and "\n" not in message and ";" in message
            assert word in message.replace(str(path), ""), message


def test_a_frame_that_is_repeated_is_converted_once(tmp_path, monkeypatch):
    image, converted = video.picture.image, []

    def counted(frame, *options):
        converted.append(frame)
        return image(frame, *options)

    monkeypatch.setattr(video.picture, "image", counted)
    frames = frames_of(clips.video(tmp_path / "a.mp4", clips.EVEN), 25.0)
    assert len(frames) == 30 and len(converted) == 12


def test_published_frames_are_resized_by_the_filter_of_pil(tmp_path):
    path = clips.video(tmp_path / "a.mp4", clips.EVEN)
    published, bilinear, area = (
        next(video.stream_frames(path, 4.0, 24, published=True, fit=fit)).images for fit in (None, "bilinear", "area")
    )
    assert torch.equal(published, bilinear) and not torch.equal(published, area)


def test_black_is_nought_and_white_is_one():
    images = iter([np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)])
    (block,) = video._blocks(images, 2, 1.0, 2.0, 8)
    assert block.images.flatten(1).unique(dim=1).squeeze().tolist() == [0, 1]
