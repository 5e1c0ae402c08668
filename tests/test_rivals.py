"""The rivals in the field's network, LDM and MeanFlow, against closed forms and diffusers' own pipeline."""

from __future__ import annotations

import dataclasses
import math
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from frieren import diffusion, load, paths
from frieren.clock import Clock
from frieren.dataset.packing import ShardWriter, merge
from frieren.dataset.shards import Shards
from frieren.errors import ConfigError
from frieren.latent import draw_noise, sample_latent, window_frames
from frieren.nets.autoencoder import AutoencoderConfig, MelAutoencoder
from frieren.nets.fast import hastened
from frieren.nets.field import FieldConfig, VectorField
from frieren.solver import solve
from frieren.training.recipe import Recipe, RecipeError, read_recipe
from frieren.training.stages import field_network
from frieren.training.tasks.field import FieldTask, raise_if_unfit
from frieren.training.tasks.flow_losses import average_velocity_target, diffusion_loss, mean_flow_loss
from frieren.weights import load_part

RECIPES = Path(__file__).parents[1] / "recipes"
FIELD = FieldConfig(
    features=6, context=8, width=32, depth=1, heads=2, ffn_mult=1, ffn_kernel=3, latent=4, positions=129
)
needs_diffusers = pytest.mark.skipif(find_spec("diffusers") is None, reason="the extra rivals is not installed")


# -- diffusion --


def exact_noise(x: Tensor, t: float, mean: float, std: float) -> Tensor:
    """The noise that is expected in x at t = k / 1000, if data is Gaussian."""
    a = diffusion.signal()[round(t * 1000)].double()
    return (1 - a).sqrt() * (x - a.sqrt() * mean) / (a * std**2 + 1 - a)


def transported(x: Tensor, mean: float, std: float) -> Tensor:
    """Where the probability flow leads x from the last time to data: quantiles stay quantiles."""
    last = diffusion.signal()[-1].double()
    return mean + (x - last.sqrt() * mean) / (last * std**2 + 1 - last).sqrt() * std


def test_diffusion_begins_with_data_and_ends_with_noise():
    a, x0, x1 = diffusion.signal(), torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    assert (a.diff() < 0).all() and a[0] > 0.999 and a[-1] < 0.005
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    assert torch.allclose(a, torch.tensor([math.prod((1 - betas[: k + 1]).tolist()) for k in range(1000)]))
    k = torch.tensor([0, 999])
    expected = torch.stack([a[k[i]].sqrt() * x1[i] + (1 - a[k[i]]).sqrt() * x0[i] for i in range(2)])
    assert torch.allclose(diffusion.diffuse(x0, x1, k), expected)


@needs_diffusers
@pytest.mark.parametrize("name", diffusion.SCHEDULERS)
def test_schedulers_transport_a_gaussian_as_its_closed_form_says(name):
    x = torch.linspace(-3, 3, 13, dtype=torch.float64)
    predict = lambda x, t, span=0.0: exact_noise(x, t, 1.5, 0.6)  # noqa: E731
    errors = []
    for steps in (5, 25, 200):
        *_, (done, end) = paths.path("noise", predict, x, steps, name)
        assert done == 1.0
        errors.append((end - transported(x, 1.5, 0.6)).abs().max().item())
    assert errors[0] > errors[1] > errors[2] and errors[2] < 0.03
    assert name == "ddim" or errors[1] < 0.03, "a second order needs fewer steps"


@needs_diffusers
@pytest.mark.parametrize("name", ["ddim", "pndm"])
def test_denoising_is_that_of_the_pipelines_of_diffusers(name):
    import diffusers
    from diffusers.models.unets.unet_2d import UNet2DOutput

    class Known(diffusers.UNet2DModel):
        """Nearly the noise of Gaussian data, so that a picture of it is neither black nor white."""

        def forward(self, x, k, **options):
            return UNet2DOutput(exact_noise(x, int(k) / 1000, 0.1, 0.3) + 0.01 * torch.sin(3 * x))

    blocks = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",), "norm_num_groups": 4}
    network = Known(8, 2, 2, block_out_channels=(8,), layers_per_block=1, **blocks)
    pipeline = getattr(diffusers, f"{name.upper()}Pipeline")(network, diffusion.scheduler(name, 7))
    pipeline.set_progress_bar_config(disable=True)
    drawn, options = torch.Generator().manual_seed(1), {"num_inference_steps": 7, "output_type": "np"}
    made = torch.from_numpy(pipeline(batch_size=2, generator=drawn, **options).images).permute(0, 3, 1, 2)
    noise = torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    *_, (_, ours) = diffusion.denoise(lambda x, t: network(x, round(1000 * t)).sample, noise, 7, name)
    assert torch.allclose((ours / 2 + 0.5).clamp(0, 1).to(made), made, atol=1e-5)
    assert ((made > 0) & (made < 1)).double().mean() > 0.9


@needs_diffusers
def test_windows_of_a_diffusion_agree_with_one_window():
    class Pointwise(nn.Module):
        config = FieldConfig(features=3, latent=3, regulator="time", predicts="noise")

        def condition(self, features, index):
            return features.index_select(1, index)

        def null_condition(self, like):
            return torch.zeros_like(like)

        def forward(self, x, t, c):
            return torch.sin(x) * (1 + t[:, None, None]) + 0.1 * c.mT

    clock = Clock(fps=25.0, window=160, overlap=48)
    features, noise = torch.randn(1, 400, 3), draw_noise(3, 500, 5)[None]
    times = torch.tensor(clock.frame_times(400), dtype=torch.float64)
    options = {"steps": 4, "guidance": 2.0, "solver": "dpm++"}
    whole = dataclasses.replace(clock, window=500)
    *_, (_, windowed) = sample_latent(Pointwise(), features, times, noise, clock, **options)
    *_, (_, single) = sample_latent(Pointwise(), features, times, noise, whole, **options)
    assert torch.allclose(windowed, single, atol=1e-4)
    with pytest.raises(ConfigError, match="does not hold"):
        list(sample_latent(Pointwise(), features, times, noise, clock, **options, kept=noise))


def test_the_diffusion_loss_is_the_distance_from_the_noise():
    network = VectorField(dataclasses.replace(FIELD, predicts="noise"))
    x0, x1, t = torch.randn(3, 4, 16), torch.randn(3, 4, 16), torch.tensor([0.0, 0.5, 0.9999])
    c = network.condition(torch.randn(3, 2, 6))
    with torch.no_grad():
        given = diffusion_loss(network, x0, x1, t, c)
        predicted = network(diffusion.diffuse(x0, x1, torch.tensor([0, 500, 999])), torch.tensor([0, 0.5, 0.999]), c)
    assert torch.allclose(given, (predicted - x0).square().mean())


# -- MeanFlow --


def test_the_identity_holds_for_the_exact_average_of_a_linear_field():
    """dx/dt = M x: the average velocity over a span is (exp(M span) - 1) x / span, and one step is exact."""
    torch.manual_seed(0)
    matrix = torch.randn(3, 3, dtype=torch.float64)

    def network(x: Tensor, t: Tensor, c: Tensor, span: Tensor) -> Tensor:
        length = span.clamp(min=1e-9)[:, None, None]
        return ((torch.linalg.matrix_exp(matrix * length) - torch.eye(3)) / length @ x[..., None])[..., 0]

    x, t = torch.randn(5, 3, dtype=torch.float64), torch.rand(5, dtype=torch.float64)
    span = torch.tensor([0.0, 0.1, 0.3, 0.0, 0.9], dtype=torch.float64)
    target = average_velocity_target(network, x, t, x, span, x @ matrix.T)
    assert torch.allclose(target[span > 0], network(x, t, x, span)[span > 0])
    assert torch.allclose(target[span == 0], (x @ matrix.T)[span == 0])

    def predict(x: Tensor, t: float, span: float = 0.0) -> Tensor:
        return network(x, torch.full((len(x),), t), x, torch.full((len(x),), span, dtype=x.dtype))

    for steps in (1, 3):
        *_, (_, end) = paths.path("average velocity", predict, x, steps, "average")
        assert torch.allclose(end, x @ torch.linalg.matrix_exp(matrix).T)
    *_, (_, velocity) = paths.path("average velocity", predict, x, 6, "rk4")
    *_, (_, solved) = solve(lambda x, t: x @ matrix.T, x, 6, "rk4")
    assert torch.allclose(velocity, solved)


class Shift(nn.Module):
    """Data is noise plus c: the average velocity is c everywhere, `guidance` times c where one learns it guided."""

    def __init__(self, guidance: float) -> None:
        super().__init__()
        self.guidance = nn.Parameter(torch.tensor(guidance))

    def null_condition(self, like: Tensor) -> Tensor:
        return torch.zeros_like(like)

    def forward(self, x: Tensor, t: Tensor, c: Tensor, span: Tensor) -> Tensor:
        return self.guidance * c + 0 * (x + (t + span)[:, None])


def test_mean_flow_learns_the_guided_velocity():
    x0, c, t = torch.randn(8, 3), torch.randn(8, 3), torch.rand(8) / 2
    span, given = torch.rand(8) / 2, torch.ones(8, dtype=torch.bool)
    loss = lambda learnt, guidance: mean_flow_loss(Shift(learnt), x0, x0 + c, t, c, span, given, guidance)  # noqa: E731
    assert loss(1.0, 1.0) < 1e-9 and loss(3.0, 3.0) < 1e-9
    assert loss(1.0, 3.0) > 0.1 and loss(3.0, 1.0) > 0.1
    # Where nothing was given there is nothing to guide.
    assert mean_flow_loss(Shift(1.0), x0, x0 + c, t, c, span, ~given, 3.0) < 1e-9


def test_the_adaptive_weight_divides_the_gradient_by_the_error():
    x0, c, t = torch.randn(1, 3), torch.ones(1, 3), torch.zeros(1)
    given, gradients = torch.ones(1, dtype=torch.bool), []
    for power in (0.0, 0.5):
        network = Shift(1.5)  # an error of 1/4
        mean_flow_loss(network, x0, x0 + c, t, c, t, given, 1.0, power).backward()
        gradients.append(network.guidance.grad.item())
    assert gradients[0] == pytest.approx(1.0)
    assert gradients[1] == pytest.approx(1 / math.sqrt(0.25 + 1e-3))


def test_the_span_reaches_the_network_and_its_fast_twin():
    network = VectorField(dataclasses.replace(FIELD, predicts="average velocity")).eval()
    network.blocks[0].conv_out.weight.data.normal_()
    x, c, t = torch.randn(2, 4, 16), network.condition(torch.randn(2, 2, 6)), torch.tensor([0.1, 0.5])
    with torch.no_grad():
        over, at = network(x, t, c, torch.tensor([0.3, 0.3])), network(x, t, c)
        fast = hastened(network, torch.float32)
        assert (over - at).abs().max() > 1e-3
        assert torch.allclose(fast(x, t, c, 0.3), over, atol=1e-5) and torch.allclose(fast(x, t, c), at, atol=1e-5)


# -- models --


@needs_diffusers
@pytest.mark.parametrize("predicts", ["noise", "average velocity"])
def test_a_model_samples_what_its_field_predicts(predicts):
    model = load("tiny")
    torch.manual_seed(0)
    model.parts["field"] = VectorField(dataclasses.replace(model.parts["field"].config, predicts=predicts)).eval()
    features = torch.randn(50, model.field.config.features)
    for solver in paths.SOLVERS_OF[predicts]:
        latent = model.sample(features, seed=1, steps=3, guidance=2.0, solver=solver)
        assert latent.isfinite().all() and latent.std() > 0.1
        assert torch.equal(latent, model.sample(features, seed=1, steps=3, guidance=2.0, solver=solver))
    with pytest.raises(ConfigError, match="does not go with a model that predicts"):
        model.sample(features, solver="euler" if predicts == "noise" else "ddim")


def test_one_step_of_an_average_velocity_is_one_evaluation():
    model = load("tiny")
    network = VectorField(dataclasses.replace(model.parts["field"].config, predicts="average velocity")).eval()
    model.parts["field"], model.fast = network, False
    features = torch.randn(60, network.config.features)
    noise = draw_noise(network.config.latent, model.clock.window, 3)
    latent = model.sample(features, noise=noise, steps=1, guidance=1.0, solver="average")
    times = torch.tensor(model.clock.frame_times(60), dtype=torch.float64)
    c = network.condition(features[None], window_frames(network, times, [0], model.clock.window, model.clock))
    with torch.no_grad():
        end = noise[None] + network(noise[None], torch.zeros(1), c, torch.ones(1))
    assert torch.allclose(latent, end[0, :, : latent.shape[-1]], atol=1e-5)


@pytest.mark.parametrize("name", ["frieren", "ldm", "meanflow"])
def test_recipes_of_one_network_and_one_budget(name):
    ours, own = (read_recipe(RECIPES / "rivals" / each / "field.toml") for each in ("frieren", name))
    assert own.optim == ours.optim and own.shared.clock == ours.shared.clock and own.shared.name == name
    assert dataclasses.replace(own.network, predicts="velocity") == ours.network
    assert own.shared.solver in paths.SOLVERS_OF[own.network.predicts]


def test_losses_of_a_velocity_are_refused_for_other_predictions():
    recipe = read_recipe(RECIPES / "rivals/ldm/field.toml")
    raise_if_unfit(recipe)
    for change in ({"weight": "logit-normal"}, {"onset_weight": 1.0}, {"class_weight": 1.0}):
        with pytest.raises(RecipeError, match="predicts"):
            raise_if_unfit(dataclasses.replace(recipe, loss=dataclasses.replace(recipe.loss, **change)))
    reflow: Recipe = dataclasses.replace(recipe, part="reflow")
    with pytest.raises(RecipeError, match="predicts"):
        raise_if_unfit(reflow)


def trained(folder: Path, name: str, network: str) -> FieldTask:
    """The task of a rival at toy size, with the recipe that is shipped."""
    for number, split in enumerate(("train", "valid")):
        writer = ShardWriter(folder, number)
        for row in range(6):
            fields = {"features": torch.randn(40, 6), "mean": torch.randn(128, 4), "log_variance": torch.randn(128, 4)}
            writer.add(f"{split}{row}", fields, label="", split=split)
        writer.write()
    merge(folder)
    recipe = read_recipe(
        RECIPES / "rivals" / name / "field.toml",
        [f"network={network}", "optim.batch=4", "shared.clock={fps = 10.0, window = 64, overlap = 0}"],
    )
    autoencoder = MelAutoencoder(
        AutoencoderConfig(width=8, multipliers=(1, 2), blocks=1, groups=8, attention=False, latent=4, bins=16)
    )
    train, valid = (Shards(folder, split) for split in ("train", "valid"))
    return FieldTask(recipe, field_network(recipe.network), train, valid, autoencoder)


SMALL = "latent = 4, features = 6, width = 32, depth = 1, heads = 2"
TINY_FIELD = f"{SMALL}, context = 8, ffn_mult = 1, ffn_kernel = 3, positions = 65, regulator = 'time'"


@needs_diffusers
@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("frieren", f"{{{TINY_FIELD}}}"),
        ("ldm", f"{{{TINY_FIELD}, predicts = 'noise'}}"),
        ("meanflow", f"{{{TINY_FIELD}, predicts = 'average velocity'}}"),
        ("diff-foley", "{latent = 4, features = 6, window = 64, widths = [8, 8], groups = 4, heads = 2, hidden = 16}"),
        ("specvqgan", f"{{{SMALL}, window = 64, groups = 2, codes = 8}}"),
        ("im2wav", f"{{{SMALL}, window = 64, groups = 2, codes = 8}}"),
    ],
)
def test_a_recipe_trains_validates_and_is_kept(name, network, tmp_path):
    torch.manual_seed(0)
    task = trained(tmp_path, name, network)
    optimiser = torch.optim.Adam(task.network.parameters(), 3e-3)
    losses = []
    for step in range(12):
        torch.manual_seed(step % 2)  # two batches, again and again: what is learnt is not by chance
        losses.append(task.losses(task.batch(step % 2), step)["total"])
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert name == "meanflow" or sum(losses[-2:]) < sum(losses[:2])
    scores = task.validate(task.network)
    assert name != "meanflow" or scores["loss"] != pytest.approx(1, abs=1e-2), "the error, not that over itself"
    assert all(math.isfinite(score) for score in scores.values()) and {"loss", "mismatched"} <= scores.keys()
    task.finish(task.network, tmp_path / "field")
    again = load_part(tmp_path / "field")
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in task.network.state_dict().items())


def test_spans_are_drawn_between_two_times_for_a_share_of_the_items(tmp_path):
    task = trained(tmp_path, "meanflow", f"{{{TINY_FIELD}, predicts = 'average velocity'}}")
    torch.manual_seed(0)
    drawn = task.draw_times(4000)
    assert (drawn["span"] > 0).double().mean() == pytest.approx(0.25, abs=0.03)
    assert (drawn["t"] + drawn["span"] <= 1).all() and (drawn["t"] >= 0).all()
    ends = (drawn["t"] + drawn["span"])[drawn["span"] > 0]
    assert torch.logit(drawn["t"][drawn["span"] == 0]).mean() == pytest.approx(0, abs=0.1)
    assert torch.logit(ends).mean() == pytest.approx(1 / math.pi**0.5, abs=0.1), "the larger of two normal numbers"
