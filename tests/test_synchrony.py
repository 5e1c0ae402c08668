"""DeSync from end to end with a small random Synchformer: which segments it takes, and which offsets it gives.

The network itself is compared with its authors' in `test_extractors`.
"""

from __future__ import annotations

from pathlib import Path

import clips
import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from frieren import picture, video
from frieren.evaluation.scorers.spectra import synchformer_mel
from frieren.evaluation.scorers.synchrony import GRID, Synchrony
from frieren.nets.scorers.synchformer import Synchformer, SynchformerConfig
from frieren.weights import save_part

SMALL = SynchformerConfig(
    width=8, heads=2, video_depth=1, sound_depth=1, image_size=32, comparing_depth=1, comparing_heads=2
)


@pytest.fixture
def scorer(tmp_path: Path) -> Synchrony:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_part(tmp_path / "synchformer", Synchformer(SMALL), SMALL)
    return Synchrony(tmp_path / "synchformer")


def noise(seconds: float) -> Tensor:
    return torch.from_numpy(0.1 * np.random.default_rng(0).normal(size=round(16_000 * seconds))).float()


@pytest.mark.parametrize(
    ("seconds", "numbers"),
    [
        (4.8, [*range(14)]),
        (5.12, [*range(15)]),
        (8.0, [*range(24)]),  # as many as av-benchmark has
        (8.192, [*range(24)]),
        (20.0, [*range(14), *range(47, 61)]),
    ],
)
def test_first_and_last_segments_each_once(scorer: Synchrony, seconds: float, numbers: list[int]) -> None:
    assert scorer.segments(seconds) == numbers and scorer.shortest == 4.8
    assert scorer.segments(round(seconds * 16_000) / 16_000) == numbers
    with torch.inference_mode():
        wave = noise(seconds)
        torch.testing.assert_close(
            scorer.encode_sound(wave), scorer.network.encode_sound(synchformer_mel(wave)[numbers])
        )


def test_a_segment_is_16_frames_and_the_next_begins_8_later(scorer: Synchrony, tmp_path: Path) -> None:
    path = clips.video(tmp_path / "a.mkv", [index / 25 for index in range(150)], size=(64, 48))
    seen: list[Tensor] = []
    scorer.network.encode_video = lambda images: (seen.append(images), torch.zeros(1, 8, 8))[1]
    rows = scorer.encode_video(path, 8.0)
    assert rows.shape == (24, 8, 8) and all(images.shape == (1, 16, 3, 32, 32) for images in seen)
    assert min(x.min().item() for x in seen) >= -1 and max(x.max().item() for x in seen) <= 1
    shown = [clips.indices((images[0] + 1) / 2) for images in seen]
    # Of the 200 frames of 8 s the file has 150; the last one stays.
    frames = [min(index, 149) % clips.LEVELS for index in range(200)]
    assert shown == [frames[start : start + 16] for start in range(0, 185, 8)]


def test_the_middle_of_the_picture_by_the_bicubic_filter() -> None:
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)
    for turned in (pixels, pixels.swapaxes(0, 1)):
        size = (113, 64) if turned is pixels else (64, 113)  # width, height
        whole = np.asarray(image.fromarray(turned).resize(size, image.BICUBIC)).astype(int)
        wanted = whole[:, 24:88] if turned is pixels else whole[24:88]  # (113 - 64) / 2 to the even neighbour
        assert np.abs(picture.middle(picture.shrunk(turned, 64), 64) - wanted).max() <= 3


def test_a_wide_picture_is_cut_not_squashed(tmp_path: Path) -> None:
    image = np.zeros((48, 144, 3), np.uint8)
    image[:, 48:96] = 200  # only the middle is bright
    path = clips.video(tmp_path / "a.mkv", [0, 0.04, 0.08], size=(144, 48), images=[image] * 3)
    (block,) = video.stream_frames(path, 25.0, 32, published=True, fit="crop")
    assert block.images.shape == (3, 3, 32, 32) and block.images[:, :, :, 2:-2].min() > 0.7


def test_the_score_is_the_offset_at_either_end(scorer: Synchrony) -> None:
    with torch.no_grad():
        video, sound = torch.randn(24, 8, 8), scorer.encode_sound(noise(8.0))
        scores = scorer.score(video, sound)
        logits = [
            scorer.network.compare(video[None, part], sound[None, part]) for part in (slice(0, 14), slice(10, 24))
        ]
    assert scores.tolist() == [abs(GRID[one.argmax()].item()) for one in logits]
    scorer.network.compare = lambda video, sound: torch.eye(21)[[3, 12]]
    assert scorer.score(video, sound).tolist() == pytest.approx([1.4, 0.4])


def test_the_first_and_the_last_14_segments_are_compared(scorer: Synchrony) -> None:
    compared: list[list[list[float]]] = []

    def compare(video: Tensor, sound: Tensor) -> Tensor:
        compared.extend(part[:, :, 0, 0].tolist() for part in (video, sound))
        return torch.eye(21)[[0, 0]]

    scorer.network.compare = compare
    rows = torch.arange(24.0)[:, None, None]
    scorer.score(rows.expand(24, 8, 8), rows.expand(24, 6, 8))
    assert compared == [[[*range(14)], [*range(10, 24)]]] * 2


def test_the_score_from_end_to_end(scorer: Synchrony, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("scipy")
    from frieren.evaluation.protocol import PRESETS
    from frieren.evaluation.run import evaluate
    from frieren.evaluation.scorers.cache import FeatureCache

    monkeypatch.setenv("FRIEREN_CACHE", str(tmp_path))
    (tmp_path / "scorers").mkdir()
    (tmp_path / "synchformer").rename(tmp_path / "scorers" / "synchformer")
    times = [index / 25 for index in range(125)]
    generated, reference = tmp_path / "generated", tmp_path / "reference"
    for folder in (generated, reference):
        folder.mkdir()
    for index, (name, seconds) in enumerate((("a", 5.2), ("b", 5.2), ("c", 4.0))):
        clips.video(reference / f"{name}.mkv", times, sounds=[(clips.noise(5.2, 16_000, index), 16_000, 0.0)])
        soundfile.write(generated / f"{name}.wav", clips.noise(seconds, 16_000, 10 + index), 16_000)
    (score,) = evaluate(generated, reference, PRESETS["av-bench"], scores=["desync"], cache=FeatureCache(False)).scores
    assert (score.name, score.better, score.count, score.digest) == ("desync", "lower", 4, scorer.digest)
    assert 0 <= score.value <= 2 and score.notes == ("1 sounds shorter than 4.80 s left out",)
