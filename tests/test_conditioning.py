"""Features of cue sheets: what a sheet says is at its place in time, and nothing else is."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from frieren.categories import categories
from frieren.clock import Clock
from frieren.conditioning import MOTION, MOTION_KNOWN, STRENGTH, STRIKE, STRIKES_KNOWN, cue_features, feature_size
from frieren.cues import Cues, Motion, SoundCue, Strike

CLOCK = Clock(fps=31.25)
NAMES = [category.name for category in categories()]
REST = len(NAMES)


def test_nothing_known_is_zero() -> None:
    assert torch.equal(cue_features(Cues(), 2.0, CLOCK), torch.zeros(63, feature_size()))


@given(st.floats(0.1, 1.9), st.floats(0, 1))
def test_the_centre_of_a_strike_is_its_instant(time: float, strength: float) -> None:
    features = cue_features(Cues(strikes=(Strike(time, strength),)), 2.0, CLOCK)
    strike = features[:, REST + STRIKE]
    centres = (torch.arange(63) + 0.5) / 31.25
    assert strike.sum().item() == pytest.approx(1, abs=1e-5)
    assert (strike @ centres).item() == pytest.approx(time, abs=1e-4)
    assert torch.allclose(features[:, REST + STRENGTH], strength * strike)
    assert (features[:, REST + STRIKES_KNOWN] == 1).all() and (features[:, REST + MOTION_KNOWN] == 0).all()


def test_a_sound_is_there_in_its_span_with_its_certainty() -> None:
    cues = Cues(sounds=(SoundCue("bark", 0.32, 0.80, 0.7), SoundCue("rain", 1.0)))
    features = cue_features(cues, 2.0, CLOCK)
    dog, rain = features[:, NAMES.index("dog")], features[:, NAMES.index("rain_storm")]
    assert torch.allclose(dog, 0.7 * ((torch.arange(63) >= 10) & (torch.arange(63) < 25)))
    assert rain[31] == pytest.approx(0.75) and (rain[32:] == 1).all() and rain[:31].sum() == 0
    assert features.sum().item() == pytest.approx((dog.sum() + rain.sum()).item())


def test_a_sound_that_lasts_to_the_end_fills_the_last_frame() -> None:
    """63 frames of 0.032 s are a little longer than 2 s."""
    whole, until = (cue_features(Cues((SoundCue("dog", 0.0, end),)), 2.0, CLOCK) for end in (None, 2.0))
    assert torch.equal(whole, until) and whole[-1, NAMES.index("dog")] == 1


def test_the_louder_of_two_cues_of_a_category_counts() -> None:
    cues = Cues(sounds=(SoundCue("dog", certainty=0.4), SoundCue("puppy", 0.5, certainty=0.9)))
    dog = cue_features(cues, 1.0, CLOCK)[:, NAMES.index("dog")]
    assert torch.allclose(dog[[0, -1]], torch.tensor([0.4, 0.9]))


def test_decided_features_have_the_likeliest_for_certain_and_nothing_that_is_less_likely_than_not() -> None:
    sounds = (SoundCue("dog", 0, 1, 0.4), SoundCue("cat", certainty=0.3), SoundCue("rain_storm", 1.2, 2, 0.6))
    cues = Cues(sounds=sounds, strikes=(Strike(0.5, 0.7),))
    plain, decided = (cue_features(cues, 2.0, CLOCK, decided=each) for each in (False, True))
    dog, cat, rain = (decided[:, NAMES.index(name)] for name in ("dog", "cat", "rain_storm"))
    assert dog[:31].eq(1).all() and cat[:31].eq(0).all()
    assert cat[33:37].eq(1).all() and dog[33:].eq(0).all()  # alone there
    assert rain[38:].eq(1).all() and cat[38:].eq(0).all()
    assert torch.equal(plain[:, REST:], decided[:, REST:])  # strikes are what they were


def test_decided_features_keep_all_that_is_surely_there() -> None:
    cues = Cues(sounds=(SoundCue("dog", certainty=0.9), SoundCue("rain_storm", certainty=0.7)))
    decided = cue_features(cues, 1.0, CLOCK, decided=True)
    assert decided[:, NAMES.index("dog")].eq(1).all()
    assert torch.allclose(decided[:, NAMES.index("rain_storm")], torch.tensor(0.7))
    assert not cue_features(Cues(), 1.0, CLOCK, decided=True).any()


def test_motion_is_read_at_the_frames_centres_and_stays_at_its_end() -> None:
    cues = Cues(motion=Motion(25.0, tuple(index / 100 for index in range(25))))
    motion = cue_features(cues, 2.0, CLOCK)[:, REST + MOTION]
    centres = (torch.arange(63) + 0.5) / 31.25
    assert torch.allclose(motion, (centres * 0.25).clamp(max=0.24), atol=1e-6)


def test_whoever_knows_the_motion_knows_that_nothing_strikes() -> None:
    known = cue_features(Cues(motion=Motion(25.0, (0.0,) * 50)), 2.0, CLOCK)
    assert (known[:, REST + STRIKES_KNOWN] == 1).all()
    assert not cue_features(Cues((SoundCue("rain"),)), 2.0, CLOCK)[:, REST + STRIKES_KNOWN].any()


def test_a_moved_strike_changes_the_frames_around_both_instants_alone() -> None:
    before, after = (cue_features(Cues(strikes=(Strike(0.3), Strike(time))), 2.0, CLOCK) for time in (1.0, 1.5))
    changed = (before != after).any(1).nonzero().flatten().tolist()
    assert changed == [30, 31, 46, 47]


def test_a_delay_moves_every_strike() -> None:
    sheet, late = (Cues(strikes=(Strike(0.3 + by, 0.5), Strike(1.1 + by))) for by in (0.0, 0.25))
    torch.testing.assert_close(cue_features(sheet, 2.0, CLOCK, delay=0.25), cue_features(late, 2.0, CLOCK))


def test_strikes_outside_the_video_are_left_out() -> None:
    features = cue_features(Cues(strikes=(Strike(5.0),)), 2.0, CLOCK)
    assert features[:, REST + STRIKE].sum() == 0
