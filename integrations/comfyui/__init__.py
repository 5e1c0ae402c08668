"""ComfyUI nodes: a model of frieren, and sounds for an IMAGE batch or a video file.

Link or copy this folder into `ComfyUI/custom_nodes/`, with frieren installed in ComfyUI's environment: docs/comfyui.md.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import torch
from torch import Tensor

import frieren
from frieren.cues import from_json
from frieren.files import file_hash
from frieren.loudness import normalise

OWN_STEPS, OWN_GUIDANCE = 0, -1.0  # "the model's own": a widget has to have a number
DEVICES = ["auto", "cpu", "cuda"]
PRECISIONS = ["float32", "auto", "bfloat16", "float16"]


class FrierenLoadModel:
    """Loads a model by its name, or from a folder."""

    CATEGORY = "audio/frieren"
    RETURN_TYPES = ("FRIEREN_MODEL",)
    RETURN_NAMES = ("model",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The widgets."""
        return {
            "required": {
                "model": ("STRING", {"default": "mini", "tooltip": "mini, mini-reflow, mini-1step, or a folder"}),
                "device": (DEVICES,),
                "precision": (PRECISIONS,),
            }
        }

    def load(self, model: str, device: str, precision: str) -> tuple[frieren.Model]:
        """The model."""
        return (frieren.load(model, device=device, precision=precision),)


class FrierenGenerate:
    """Gives an IMAGE batch [F, H, W, 3] in 0..1, or a video file, its sound."""

    CATEGORY = "audio/frieren"
    RETURN_TYPES = ("AUDIO", "STRING")
    RETURN_NAMES = ("audio", "record")
    FUNCTION = "generate"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The widgets; either `images` or `video_path` is needed."""
        sheet = "what is to be heard, as in: rain, dog@2-4; or a cue sheet in JSON; empty: what is spotted"
        return {
            "required": {
                "model": ("FRIEREN_MODEL",),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**62}),
                "steps": ("INT", {"default": OWN_STEPS, "min": 0, "max": 1000, "tooltip": "0: the model's own"}),
                "guidance": (
                    "FLOAT",
                    {"default": OWN_GUIDANCE, "min": -1.0, "max": 100.0, "step": 0.1, "tooltip": "-1: the model's own"},
                ),
                "loudness": ("FLOAT", {"default": -20.0, "min": -70.0, "max": 0.0, "tooltip": "LUFS"}),
                "cues": ("STRING", {"default": "", "multiline": True, "tooltip": sheet}),
            },
            "optional": {
                "images": ("IMAGE",),
                "fps": ("FLOAT", {"default": 24.0, "min": 0.1, "max": 1000.0, "step": 0.001}),
                "video_path": ("STRING", {"default": ""}),
            },
        }

    @classmethod
    def IS_CHANGED(cls, video_path: str = "", **others: Any) -> str:
        """What tells ComfyUI that a file has changed under the same name."""
        return file_hash(Path(video_path)) if video_path and Path(video_path).is_file() else ""

    def generate(
        self,
        model: frieren.Model,
        seed: int,
        steps: int,
        guidance: float,
        loudness: float,
        cues: str,
        images: Tensor | None = None,
        fps: float = 24.0,
        video_path: str = "",
    ) -> tuple[dict[str, Any], str]:
        """The sound, as long as the video, {"waveform": [1, 1, S], "sample_rate": ...}; and its record as JSON.

        Raises:
            ValueError: neither images nor a file, or both.
            FrierenError: see `frieren.Model.generate`.
        """
        if (images is None) == (not video_path):
            raise ValueError("connect images, or give a video_path; one of them")
        text = cues.strip()
        options: dict[str, Any] = {"seed": seed, "on_progress": progress()}
        options |= {} if steps == OWN_STEPS else {"steps": steps}
        options |= {} if guidance < 0 else {"guidance": guidance}
        options |= {} if not text else {"cues": from_json(text)} if text.startswith("{") else {"sounds": text}
        with tempfile.TemporaryDirectory(prefix="frieren.") as folder:
            path = Path(video_path) if images is None else write_frames(Path(folder) / "images.mkv", images, fps)
            sound = model.generate(path, **options)
        wave, _ = normalise(sound.wave, sound.sample_rate, loudness)
        audio = {"waveform": torch.as_tensor(wave)[None, None], "sample_rate": sound.sample_rate}
        return audio, json.dumps(sound.record)


def write_frames(path: Path, images: Tensor, fps: float) -> Path:
    """Images [F, H, W, 3] in 0..1 as a video without loss (FFV1), which is then seen as any other."""
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.height, stream.width = images.shape[1:3]
        stream.pix_fmt = "bgr0"
        for image in images:
            pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="bgr0")))
        container.mux(stream.encode(None))
    return path


def progress() -> Callable[[str, int, int], None]:
    """Shows ComfyUI how far each stage is, and ends where its user cancels; nothing where ComfyUI is not."""
    try:
        from comfy.model_management import throw_exception_if_processing_interrupted as look
        from comfy.utils import ProgressBar
    except ImportError:
        return lambda stage, done, total: None
    bar = ProgressBar(1)

    def report(stage: str, done: int, total: int) -> None:
        look()
        bar.update_absolute(done, max(total, 1))

    return report


NODE_CLASS_MAPPINGS = {"FrierenLoadModel": FrierenLoadModel, "FrierenGenerate": FrierenGenerate}
NODE_DISPLAY_NAME_MAPPINGS = {
    "FrierenLoadModel": "Load frieren model",
    "FrierenGenerate": "Sound for a video (frieren)",
}
