"""Windows of a long video: their joins cannot be told from any other instant, measured with the model that ships."""

from __future__ import annotations

import pytest
import torch

import frieren
from frieren.conditioning import cue_features
from frieren.cues import Cues, Motion, SoundCue
from frieren.spectrogram import log_mel
from frieren.windows import window_starts

SECONDS = 60
RAIN = Cues((SoundCue("rain"),), motion=Motion(values=(0.4,) * (25 * SECONDS)), seconds=SECONDS)


@pytest.mark.slow
def test_joins_of_a_steady_minute_are_like_any_other_instant():
    """Over five seeds, the mean log-mel step at window edges is below the 95th percentile of 200 other instants."""
    model = frieren.load("mini", device="cpu")
    features = cue_features(RAIN, SECONDS, model.clock)
    columns = model.clock.columns(SECONDS)
    starts, size = window_starts(columns, model.clock.window, model.clock.overlap)
    edges = {edge * model.clock.stride for start in starts for edge in (start, start + size)}
    edges = torch.tensor(sorted(edge for edge in edges if 0 < edge < columns * model.clock.stride))
    for seed in range(5):
        wave = model.vocode(model.decode(model.sample(features, seconds=SECONDS, seed=seed)))
        mel = log_mel(wave, model.config.mel)
        steps = mel.diff(dim=-1).abs().mean(0)
        far = torch.tensor([i for i in range(len(steps)) if (edges - 1 - i).abs().min() > 8])
        chosen = far[torch.randperm(len(far), generator=torch.Generator().manual_seed(seed))[:200]]
        bound = steps[chosen].quantile(0.95)
        joins = steps[edges - 1]
        print(f"seed {seed}: joins {joins.mean():.4f}, others {steps[chosen].mean():.4f}, 95th percentile {bound:.4f}")
        assert joins.mean() < bound
        assert (joins > bound).float().mean() < 0.25
