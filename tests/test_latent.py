"""Sampling over windows: same noise, seamless, and the same as one window where it must be."""

from __future__ import annotations

import dataclasses

import pytest
import torch

import frieren
from frieren.clock import Clock
from frieren.flow import guide
from frieren.latent import GuidedField, draw_noise, sample_latent, sound_samples, window_frames, window_layout
from frieren.nets.field import FieldConfig, VectorField
from frieren.pipeline.takes import sample_together
from frieren.seen import Seen
from frieren.solver import solve
from frieren.windows import unfold


class PointwiseField(torch.nn.Module):
    """A field in which a column's velocity depends on that column alone."""

    config = FieldConfig(features=3, latent=3, regulator="time")

    def condition(self, features, index):
        return features.index_select(1, index)

    def null_condition(self, like):
        return torch.zeros_like(like)

    def forward(self, x, t, c):
        return torch.sin(3 * x) * (1 + t[:, None, None]) + 0.5 * c.mT


@pytest.fixture
def clock():
    return Clock(fps=25.0, window=160, overlap=48)


@pytest.mark.parametrize("solver", frieren.solver.SOLVERS)
def test_windows_and_one_window_agree_for_a_pointwise_field(clock, solver):
    columns = 700
    frames = clock.frames(columns / clock.latent_rate)
    features, times = torch.randn(1, frames, 3), torch.tensor(clock.frame_times(frames), dtype=torch.float64)
    noise = draw_noise(3, columns, 5)[None]
    options = {"steps": 10, "guidance": 4.5, "solver": solver}
    whole = dataclasses.replace(clock, window=columns)
    *_, (_, windowed) = sample_latent(PointwiseField(), features, times, noise, clock, **options)
    *_, (_, single) = sample_latent(PointwiseField(), features, times, noise, whole, **options)
    assert (windowed - single).abs().max() < 1e-5


def test_sampling_solves_the_guided_field_at_its_times(clock):
    """The velocity of the pointwise field in closed form: guidance multiplies what the condition adds."""
    features, noise = torch.randn(1, 128, 3), draw_noise(3, 160, 5)[None]
    times = torch.tensor(clock.frame_times(128), dtype=torch.float64)
    sampled = sample_latent(PointwiseField(), features, times, noise, clock, steps=7, guidance=3.0, solver="heun")
    c = features[:, window_frames(PointwiseField(), times, [0], 160, clock)[0]].mT
    exact = solve(lambda x, t: torch.sin(3 * x) * (1 + t) + 1.5 * c, noise, 7, "heun")
    for (t, ours), (wanted, x) in zip(sampled, exact, strict=True):
        assert t == wanted
        torch.testing.assert_close(ours, x, atol=1e-5, rtol=1e-5)


def test_noise_does_not_depend_on_length_and_overlapping_windows_share_it():
    long, short = draw_noise(20, 640, 3), draw_noise(20, 160, 3)
    assert torch.equal(long[:, :160], short)
    assert not torch.equal(short, draw_noise(20, 160, 4))
    windows = unfold(long[None], [0, 112], 160)[0]
    assert torch.equal(windows[0][:, 112:], windows[1][:, :48])
    assert abs(long.mean()) < 0.05 and long.std().item() == pytest.approx(1, abs=0.02)


def test_each_column_gets_the_frame_on_screen(clock):
    frames = 300
    times = torch.tensor(clock.frame_times(frames), dtype=torch.float64)
    field = PointwiseField()
    index = window_frames(field, times, [0, 112], 160, clock)
    for window, start in enumerate((0, 112)):
        for column in (0, 1, 2, 77, 159):
            moment = (start + column + 0.5) / clock.latent_rate
            assert index[window, column] == int(moment * clock.fps)


def test_published_repetition(clock):
    """32 features for 256 columns, each eight times, counted from the window's first frame."""
    field = PointwiseField()
    field.config = FieldConfig(regulator="repeat")
    published = Clock()
    times = torch.tensor(published.frame_times(40), dtype=torch.float64)
    assert torch.equal(window_frames(field, times, [0], 256, published)[0], torch.arange(32).repeat_interleave(8))


def test_by_count_columns_past_the_end_keep_the_last_feature():
    field = PointwiseField()
    field.config = FieldConfig(regulator="repeat")
    times = torch.tensor(Clock().frame_times(20), dtype=torch.float64)
    for published in (False, True):
        index = window_frames(field, times, [0], 256, Clock(), published)[0]
        assert index[160:].tolist() == [19] * 96 and torch.equal(index[:160], torch.arange(20).repeat_interleave(8))


def test_only_published_features_are_laid_out_by_count():
    """32 features of 4 per second: 256 columns of 512 samples, or 8 s."""
    counted, timed = FieldConfig(regulator="repeat"), FieldConfig(regulator="time")
    assert sound_samples(32, Clock(), counted, published=True) == 131_072
    assert sound_samples(32, Clock(), counted, published=False) == 128_000
    assert sound_samples(32, Clock(), timed, published=True) == 128_000


def test_published_windows_stand_side_by_side():
    assert window_layout(768, Clock(), published=True) == ([0, 256, 512], 256)
    with pytest.raises(ValueError, match="published windows have 256 columns each, got 700 in all"):
        window_layout(700, Clock(), published=True)


def test_refined_windows_begin_with_what_is_displayed_then():
    """Windows at 8.192 s and 16.384 s of 4 frames per second: frames 32 and 65, where a count of eighths has 32, 64."""
    field = PointwiseField()
    field.config = FieldConfig(regulator="repeat")
    times = torch.tensor(Clock().frame_times(120), dtype=torch.float64)
    starts = [0, 256, 512, 768]
    assert window_frames(field, times, starts, 256, Clock())[:, 0].tolist() == [0, 32, 65, 98]
    assert window_frames(field, times, starts, 256, Clock(), published=True)[:, 0].tolist() == [0, 32, 64, 96]


def test_guidance_of_one_window_is_the_formula(clock):
    model = frieren.load("tiny")
    features, noise = torch.randn(1, 128, 16), draw_noise(20, 160, 0)[None]
    times = torch.tensor(clock.frame_times(128), dtype=torch.float64)
    velocity = GuidedField(model.field, features, times, 160, clock, guidance=3.0, batch=8)
    index = window_frames(model.field, times, [0], 160, clock)
    condition = model.field.condition(features, index[0])
    null = model.field.condition(torch.zeros_like(features), index[0])
    t = torch.tensor([0.3])
    expected = guide(model.field(noise, t, condition), model.field(noise, t, null), 3.0)
    torch.testing.assert_close(velocity(noise, 0.3), expected, atol=1e-5, rtol=1e-5)


def test_every_window_is_told_its_own_mean(clock):
    """A field with a summary: what a window of a long video is told depends on that window's frames alone."""
    torch.manual_seed(0)
    config = FieldConfig(8, 6, 8, 32, 1, 2, output_groups=8, positions=161, regulator="time", summary=True)
    field = VectorField(config).eval()
    torch.nn.init.normal_(field.embed_features.summary.weight)
    features, times = torch.randn(1, 300, 6), torch.tensor(clock.frame_times(300), dtype=torch.float64)
    index = window_frames(field, times, [0, 112], 160, clock)
    long = GuidedField(field, features, times, 272, clock, guidance=2.0, batch=8)
    for window in (0, 1):
        alone = field.condition(features[:, index[window]], torch.arange(160))
        torch.testing.assert_close(long.condition(0)[window], alone[0])
        # Columns are counted, not frames: one that is displayed for longer weighs more.
        torch.testing.assert_close(field.condition(features, index[window]), alone)
    changed = features.clone()
    changed[:, 180:] += torch.randn(6)  # seen in the second window alone: the first ends at frame 127
    other = GuidedField(field, changed, times, 272, clock, guidance=2.0, batch=8)
    torch.testing.assert_close(other.condition(0)[0], long.condition(0)[0])
    assert not torch.allclose(other.condition(0)[1, :10], long.condition(0)[1, :10])


def test_sounds_solved_together_are_those_solved_alone() -> None:
    """Other lengths, other seeds, features on another grid; a sound alone has the very bits of `Model.sample`."""
    model = frieren.load("tiny")
    lengths, seeds, chosen = (1.0, 9.5, 6.4), (3, 4, 5), model.sampling_options(steps=3, guidance=2.0)
    seen = []
    for seconds in lengths:
        count = model.clock.frames(seconds)
        features = torch.randn(count, 16, generator=torch.Generator().manual_seed(count))
        seen.append(Seen(features, torch.arange(count, dtype=torch.float64) / 25 + 0.003, seconds))
    alone = [
        model.sample(one.features, times=one.times, seconds=one.seconds, seed=seed, steps=3, guidance=2.0)
        for one, seed in zip(seen, seeds, strict=True)
    ]
    counted = []
    together = sample_together(model, seen, seeds, chosen, lambda *at: counted.append(at))
    assert counted == [(1, 3), (2, 3), (3, 3)]
    for one, other in zip(together, alone, strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, rtol=0, atol=2e-5)
    (single,) = sample_together(model, seen[1:2], seeds[1:2], chosen, lambda *at: None)
    assert torch.equal(single, alone[1])
