"""ComfyUI's nodes, loaded and called as ComfyUI does: by their mappings, input types, function and return types."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
from fractions import Fraction
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import torch
from command import make_video

import frieren
from frieren.conditioning import feature_size
from frieren.loudness import normalise
from frieren.nets.field import VectorField
from frieren.pipeline import Model
from frieren.video import probe

FOLDER = Path(__file__).parents[1] / "integrations" / "comfyui"
LINKS = {"FRIEREN_MODEL", "IMAGE", "AUDIO"}  # types that only a link can give
WIDGETS = {"INT": int, "FLOAT": float, "STRING": str}


@pytest.fixture(scope="module")
def package() -> ModuleType:
    """The folder as `load_custom_node` imports it."""
    spec = importlib.util.spec_from_file_location("comfy_frieren", FOLDER / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["comfy_frieren"] = module
    spec.loader.exec_module(module)
    return module


def execute(package: ModuleType, node: str, **links: Any) -> tuple[Any, ...]:
    """Run a node with its widgets at their defaults, but for what is given, which has to be an input of its type."""
    kind = package.NODE_CLASS_MAPPINGS[node]
    inputs, arguments = kind.INPUT_TYPES(), {}
    for group, types in inputs.items():
        for name, (type_, *settings) in types.items():
            if isinstance(type_, list):
                arguments[name] = links.get(name, type_[0])
                assert arguments[name] in type_
            elif type_ in LINKS:
                assert name in links or group == "optional", f"{name} is not connected"
                arguments |= {name: links[name]} if name in links else {}
            else:
                arguments[name] = links.get(name, settings[0]["default"])
                assert isinstance(arguments[name], WIDGETS[type_])
                low, high = settings[0].get("min"), settings[0].get("max")
                assert low is None or low <= arguments[name] <= high
    assert links.keys() <= arguments.keys()
    returned = getattr(kind(), kind.FUNCTION)(**arguments)
    assert len(returned) == len(kind.RETURN_TYPES) == len(kind.RETURN_NAMES)
    return returned


@pytest.fixture
def tiny(package: ModuleType) -> frieren.Model:
    (model,) = execute(package, "FrierenLoadModel", model="tiny", device="cpu")
    return model


def test_nodes_have_what_comfyui_looks_for(package: ModuleType) -> None:
    assert package.NODE_CLASS_MAPPINGS.keys() == package.NODE_DISPLAY_NAME_MAPPINGS.keys()
    for kind in package.NODE_CLASS_MAPPINGS.values():
        assert kind.CATEGORY and callable(getattr(kind, kind.FUNCTION)) and {"required"} <= kind.INPUT_TYPES().keys()


def test_a_video_file_gets_the_sound_of_the_command_line(
    package: ModuleType, tiny: frieren.Model, tmp_path: Path
) -> None:
    clip = make_video(tmp_path / "clip.mp4", 0.6)
    audio, record = execute(
        package, "FrierenGenerate", model=tiny, video_path=str(clip), seed=3, steps=2, guidance=1.0, loudness=-25.0
    )
    wanted = tiny.generate(clip, seed=3, steps=2, guidance=1.0)
    assert audio["sample_rate"] == 16_000 and audio["waveform"].shape == (1, 1, 9_600)
    assert json.loads(record)["wave_sha256"] == wanted.record["wave_sha256"]
    level = torch.as_tensor(normalise(wanted.wave, 16_000, -25.0)[0])
    assert torch.equal(audio["waveform"][0, 0], level)
    own = json.loads(execute(package, "FrierenGenerate", model=tiny, video_path=str(clip))[1])
    assert own["options"]["steps"] == tiny.config.steps and own["options"]["guidance"] == tiny.config.guidance


def test_images_are_seen_as_they_are(package: ModuleType, tiny: frieren.Model, tmp_path: Path) -> None:
    """Pixel by pixel, at their times; and the sound is that of such a file."""
    rng = np.random.default_rng(0)
    wanted = rng.integers(0, 256, (12, 48, 64, 3), np.uint8)
    images = torch.from_numpy(((wanted + rng.uniform(-0.4, 0.4, wanted.shape)) / 255).astype(np.float32))
    images[0, 0, 0], images[0, 0, 1] = 1.5, -0.5  # as other nodes may leave them
    wanted[0, 0, 0], wanted[0, 0, 1] = 255, 0
    path = package.write_frames(tmp_path / "a.mkv", images, 23.976)
    info = probe(path)
    assert info.seconds == pytest.approx(12 * 1001 / 24_000, abs=2e-3) and (info.width, info.height) == (64, 48)
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == Fraction("23.976")
        seen = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert np.array_equal(seen, wanted)
    audio, record = execute(package, "FrierenGenerate", model=tiny, images=images, fps=12.0)
    assert audio["waveform"].shape[-1] == 16_000
    same = tiny.generate(package.write_frames(tmp_path / "b.mkv", images, 12.0), seed=0)
    assert json.loads(record)["wave_sha256"] == same.record["wave_sha256"]


def test_cues_are_names_or_a_sheet(package: ModuleType, tiny: frieren.Model, tmp_path: Path) -> None:
    field = VectorField(dataclasses.replace(tiny.field.config, features=feature_size()))
    model = Model(dataclasses.replace(tiny.config, condition="cues"), {**tiny.parts, "field": field})
    clip = str(make_video(tmp_path / "clip.mp4", 0.6))
    told = json.loads(execute(package, "FrierenGenerate", model=model, video_path=clip, cues=" dog@0-1 ")[1])
    assert [one["name"] for one in told["cues"]["sounds"]] == ["dog"]
    sheet = '{"strikes": [{"time": 0.2}]}'
    told = json.loads(execute(package, "FrierenGenerate", model=model, video_path=clip, cues=sheet)[1])
    assert [one["time"] for one in told["cues"]["strikes"]] == [0.2] and told["cues"]["sounds"] == []


def test_one_of_images_and_file_is_needed(package: ModuleType, tiny: frieren.Model, tmp_path: Path) -> None:
    for wrong in ({}, {"images": torch.zeros(2, 48, 64, 3), "video_path": "a.mp4"}):
        with pytest.raises(ValueError, match="connect images, or give a video_path"):
            execute(package, "FrierenGenerate", model=tiny, **wrong)


def test_a_file_that_changes_is_made_again(package: ModuleType, tmp_path: Path) -> None:
    changed = package.FrierenGenerate.IS_CHANGED
    (tmp_path / "a.mp4").write_bytes(b"1")
    first = changed(video_path=str(tmp_path / "a.mp4"), seed=1)
    (tmp_path / "a.mp4").write_bytes(b"2")
    assert first != changed(video_path=str(tmp_path / "a.mp4"), seed=1) and changed(seed=1) == ""


def test_comfyui_is_told_how_far_it_is_and_may_cancel(
    package: ModuleType, tiny: frieren.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class InterruptedByUserError(Exception):
        pass

    told: list[tuple[int, int]] = []

    class ProgressBar:
        def __init__(self, total: int) -> None: ...

        def update_absolute(self, value: int, total: int | None = None, preview: Any = None) -> None:
            told.append((value, total))

    def look() -> None:
        if len(told) == 5:
            raise InterruptedByUserError

    monkeypatch.setitem(sys.modules, "comfy", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "comfy.utils", SimpleNamespace(ProgressBar=ProgressBar))
    interrupted = SimpleNamespace(throw_exception_if_processing_interrupted=look)
    monkeypatch.setitem(sys.modules, "comfy.model_management", interrupted)
    with pytest.raises(InterruptedByUserError):
        execute(package, "FrierenGenerate", model=tiny, video_path=str(make_video(tmp_path / "clip.mp4", 0.6)))
    assert len(told) == 5 and all(0 <= done <= total for done, total in told)
