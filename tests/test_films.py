"""Films for the motion encoder and its training: what is kept, where targets lie, what a batch and a member are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from frieren import world
from frieren.nets.motion import MEMBERS, MotionConfig, MotionEncoder
from frieren.training.loss_settings import MotionLoss
from frieren.training.recipe import read_recipe
from frieren.training.tasks import films, motion
from frieren.weights import load_part
from frieren.world import puppets
from frieren.world.puppets.clips import SHAPES

RECIPE = Path(__file__).parents[1] / "recipes" / "eyes" / "motion.toml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("films")


def test_a_film_of_puppets_is_kept(folder, monkeypatch):
    made = films.MotionFilms(folder, 1.0).film("train", False, 1)
    monkeypatch.setattr(films, "_puppets", None)  # it is not made again
    for ours, kept in zip(made, films.MotionFilms(folder, 1.0).film("train", False, 1), strict=True):
        assert torch.equal(ours, kept)
    clip = puppets.clip("train", 1, 1.0, shape=SHAPES[1])
    assert made.motion.shape == (25, 7, 12, 16) and films.WAYS[made.way] == clip.ways[0]
    np.testing.assert_allclose(made.blows.numpy(), clip.blows, atol=1e-6)


def test_part_of_a_foleyworld_clip_has_its_instants(folder):
    """The ninth of a shape begins 9 x 37 frames late, which is less than the clip has."""
    index, clip = next(
        (index, clip)
        for index in range(8, 80)
        if (clip := world.clip("train", index, films.motion.CLOCK, picture=False, sound=False)).events
        and clip.events[0].visible
    )
    film = films.MotionFilms(folder, 2.0).film("train", True, index)
    first = index // len(SHAPES) * 37 % (200 - 50)
    assert film.motion.shape[0] == len(film.going) == 50 and films.WAYS[film.way] == "foleyworld"
    assert film.blows[0, 0].item() == pytest.approx(clip.events[0].time - first / 25, abs=1e-5)


def test_targets_lie_at_the_instants():
    blows = torch.tensor([[-0.02, 0.9], [0.5, 0.25], [1.0, 0.75]])
    film = films.MotionFilm(torch.zeros(30, 7, 2, 2).half(), blows, torch.zeros(30), torch.tensor(0))
    example = motion.example_of(film, MotionLoss(seconds=1.2, delay=0.02, sharpness=0.04))
    assert example.strike[13] == 1 and example.strike[14] == pytest.approx(np.exp(-0.5), abs=1e-5)
    assert example.strike[0] == 1 and example.strength[0] == pytest.approx(0.9)  # it sounds before, it is heard within
    assert example.strength[12:15].tolist() == pytest.approx([0.25] * 3) and example.strength[26] == 0.75
    assert example.times.tolist() == [0.5, 1.0]


def test_focal_loss_of_a_sure_answer_is_nothing():
    target = torch.tensor([[1.0, 0.0, 0.0]])
    assert motion.focal(torch.tensor([[30.0, -30.0, -30.0]]), target) < 1e-6
    # Half sure of everything: (1/2)^2 log 2 for each of three.
    assert motion.focal(torch.zeros(1, 3), target).item() == pytest.approx(3 * 0.25 * np.log(2))


def test_f1_is_one_to_one():
    curve = np.zeros(50, np.float32)
    curve[[10, 30]] = 0.8, 0.5
    times = [np.array([0.4, 0.44, 2.0])]
    assert motion.f1([curve], times, 0.4) == pytest.approx(2 * 1 / 5)
    assert motion.f1([curve], times, 0.6) == pytest.approx(2 * 1 / 4)


def test_a_batch_is_mirrored_with_its_directions(folder):
    changes = ["optim.batch=2", "shared.clips=4", "loss.seconds=1", "loss.noise=0", "loss.foleyworld=0"]
    task = motion.MotionTask(
        read_recipe(RECIPE, [*changes, "loss.mirror=1", "loss.upside_down=0", "loss.shapes=[1,0,0,0]"]), folder
    )
    film = task.example("train", False, 0).motion.float()
    mirrored = film.flip(3)
    mirrored[[0, 3]] *= -1
    seen = task.batch(0)["motion"]
    scale = (seen * mirrored).sum((1, 2, 3, 4)) / mirrored.square().sum()
    torch.testing.assert_close(seen, scale.view(-1, 1, 1, 1, 1) * mirrored)


def test_a_member_of_each_kind_learns_a_batch_and_is_kept(folder, tmp_path):
    kinds = ",".join(f'"{kind}"' for kind in MEMBERS)
    changes = ["optim.batch=2", "shared.clips=4", "shared.valid=2", "loss.seconds=1", "loss.foleyworld=0"]
    task = motion.MotionTask(read_recipe(RECIPE, [*changes, f"network.members=[{kinds}]"]), folder)
    torch.manual_seed(0)
    batch, totals = task.batch(0), []
    optimiser = torch.optim.Adam(task.network.parameters(), 2e-3)
    for _ in range(8):
        loss = task.losses(batch, 0)["total"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        totals.append(loss.item())
    assert totals[-1] < 0.8 * totals[0]
    task.finish(task.network, tmp_path)
    kept = load_part(tmp_path)
    assert kept.config.threshold in [pytest.approx(each) for each in motion.THRESHOLDS]
    ours = task.network.eval()(batch["motion"])
    torch.testing.assert_close(kept(batch["motion"]).strike, ours.strike, atol=0.02, rtol=0.02)


def test_members_are_averaged():
    torch.manual_seed(0)
    encoder = MotionEncoder(MotionConfig(members=("maxima", "speeds"), ways=("one",))).eval()
    seen = torch.randn(1, 7, 9, 9, 16)
    one, two = (member(seen)[0][..., 0] for member in encoder.members)
    torch.testing.assert_close(encoder(seen).strike, (one + two) / 2)


def test_strengths_are_spread():
    """Over frames of strikes, what a network says gets the mean and spread of what is true; the rest stays as it is."""
    torch.manual_seed(0)
    encoder = MotionEncoder(MotionConfig(members=("maxima", "speeds"), ways=("one",))).eval()
    motions, true = torch.randn(1, 7, 40, 9, 16), torch.tensor([0.3, 0.5, 0.6, 0.9]).repeat(10)
    before = encoder(motions)
    motion.spread_strengths(encoder, before.strength[0].detach(), true)
    after = encoder(motions)
    wanted = true.logit()
    assert after.strength.mean().item() == pytest.approx(wanted.mean().item(), abs=1e-3)
    assert after.strength.std().item() == pytest.approx(wanted.std().item(), rel=1e-3)
    assert torch.equal(after.strength[0].argsort(), before.strength[0].argsort())
    assert torch.equal(after.strike, before.strike) and torch.equal(after.sustained, before.sustained)
    motion.spread_strengths(encoder, torch.zeros(3), true[:3])  # says the same of all: nothing to spread
    torch.testing.assert_close(encoder(motions).strength, after.strength)


def test_speeds_do_not_depend_on_directions():
    torch.manual_seed(0)
    encoder = MotionEncoder(MotionConfig(members=("speeds",), ways=("one",))).eval()
    seen = torch.randn(1, 7, 9, 9, 16)
    turned = seen[:, [1, 0, 2, 4, 3, 5, 6]] * torch.tensor([-1.0, 1, 1, -1, 1, 1, 1]).view(1, 7, 1, 1, 1)
    torch.testing.assert_close(encoder(turned).strike, encoder(seen).strike)


@pytest.mark.parametrize("members", [(), ("maxima", "maximum")])
def test_members_are_known(members):
    with pytest.raises(ValueError, match="members"):
        MotionConfig(members=members)
