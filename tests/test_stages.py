"""Flow, reflow, distillation: losses against numpy and closed forms, straightened paths, windows, pairs."""

from __future__ import annotations

import dataclasses
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from frieren.clock import Clock
from frieren.dataset.packing import ShardWriter, merge, shard_path
from frieren.dataset.pairs import Pairing, PairItems, make_pairs, readable
from frieren.dataset.prepare import DatasetError
from frieren.dataset.shards import Shards
from frieren.errors import WeightsError
from frieren.flow import guided_velocity, interpolate
from frieren.mel import encode_mel
from frieren.nets.autoencoder import AutoencoderConfig, MelAutoencoder
from frieren.nets.field import FieldConfig, VectorField
from frieren.solver import solve
from frieren.training.crops import ClipPart, TooShortError, TrainingWindows, long_enough
from frieren.training.recipe import FieldLoss, Optim, PairsLoss, Recipe, RecipeError, Shared, read_recipe
from frieren.training.stages import load_init
from frieren.training.tasks.field import STEPS, FieldTask, draw_latent, draw_times
from frieren.training.tasks.flow_losses import distillation_loss, flow_loss, reflow_loss
from frieren.weights import load_part, save_part

RECIPES = Path(__file__).parents[1] / "recipes"
CLOCK = Clock(fps=4.0, window=128, overlap=0)  # 16 features, 4.096 s
FIELD = FieldConfig(
    features=6, context=8, width=32, depth=1, heads=2, ffn_mult=1, ffn_kernel=3, latent=4, positions=129
)
AUTOENCODER = AutoencoderConfig(width=8, multipliers=(1, 2), blocks=1, groups=8, attention=False, latent=4, bins=16)


# -- losses --


def linear(seed: int = 0) -> tuple[Tensor, Tensor]:
    """A positive definite A [3, 3] and b [3]."""
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    return root @ root.T + 0.5 * torch.eye(3), torch.randn(3, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("guidance", [0.0, 1.0, 4.5])
def test_the_exact_field_of_a_linear_coupling_has_no_loss(guidance):
    """x1 = A x0 + b: x_t = ((1 - t) I + t A) x0 + t b can be solved for x0, since A is positive definite."""
    matrix, offset = linear()

    def field(x: Tensor, t: Tensor, c: Tensor) -> Tensor:
        mixing = (1 - t)[:, None, None] * torch.eye(3) + t[:, None, None] * matrix
        x0 = torch.linalg.solve(mixing, x - t[:, None] * offset)
        return x0 @ (matrix - torch.eye(3)).T + offset

    x0 = torch.randn(64, 3, dtype=torch.float64)
    x1, t, c = x0 @ matrix.T + offset, torch.rand(64, dtype=torch.float64), torch.randn(64, 2)
    assert flow_loss(field(interpolate(x0, x1, t), t, c), x0, x1, t) < 1e-18
    assert reflow_loss(field, x0, x1, t, c, torch.zeros_like(c), guidance) < 1e-18
    assert distillation_loss(field, x0, x1, c, torch.zeros_like(c), guidance) < 1e-18
    wrong = x1.roll(1, 0)
    assert reflow_loss(field, x0, wrong, t, c, torch.zeros_like(c), guidance) > 0.1
    assert distillation_loss(field, x0, wrong, c, torch.zeros_like(c), guidance) > 0.1


def density(t: np.ndarray) -> np.ndarray:
    t = np.clip(t, 1e-5, 1 - 1e-5)
    return np.exp(-(np.log(t / (1 - t)) ** 2) / 2) / (math.sqrt(2 * math.pi) * t * (1 - t))


@pytest.mark.parametrize("part", ["field", "reflow", "distillation"])
@pytest.mark.parametrize("weight", ["logit-normal", "uniform"])
def test_the_loss_of_a_stage_equals_numpy(part, weight, data, tmp_path):
    task = stage(part, data, tmp_path, weight=weight)
    drawn = task.batch(0)
    torch.manual_seed(0)
    single = task.with_ends(drawn)
    torch.manual_seed(0)
    assert task.losses(drawn, 0)["total"] == task.loss(task.network, single, part)
    batch = {key: value.double() for key, value in single.items()}
    network = task.network.double()
    given = task.loss(task.network, batch, part).item()
    x0, x1, t = (batch[key].numpy() for key in ("x0", "x1", "t"))

    def outputs(x: np.ndarray, times: np.ndarray, features: Tensor) -> np.ndarray:
        with torch.no_grad():
            c = network.condition(features, torch.arange(CLOCK.window))
            return network(torch.from_numpy(x), torch.from_numpy(times), c).numpy()

    features = batch["features"]
    if part == "distillation":
        t = np.zeros_like(t)
    x = (1 - t[:, None, None]) * x0 + t[:, None, None] * x1
    v = outputs(x, t, features)
    if part != "field":
        null = outputs(x, t, torch.zeros_like(features))
        v = null + 3.0 * (v - null)
    error = ((v - (x1 - x0)) ** 2).mean((1, 2))
    if part != "distillation" and weight == "logit-normal":
        error = density(t) * error
    assert given == pytest.approx(error.mean(), rel=1e-9)


def test_latents_stay_in_single_precision(data, tmp_path):
    task = stage("field", data, tmp_path)
    drawn = task.batch(0)
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        made = task.with_ends(drawn)["x1"]
    torch.manual_seed(0)
    assert torch.equal(made, draw_latent(*encode_mel(task.autoencoder, drawn["mel"])))


def test_both_halves_of_the_guidance_and_the_input_layer_learn():
    network = VectorField(FIELD)
    nn.init.normal_(network.blocks[0].conv_out.weight)
    c = network.condition(torch.randn(2, 16, 6))
    x0, x1 = torch.randn(2, 2, 4, 128)
    distillation_loss(network, x0, x1, c, network.null_condition(c), 4.5).backward()
    assert network.embed_features.input.weight.grad.abs().max() > 0
    assert network.embed_features.input.bias.grad.abs().max() > 0
    null = torch.zeros_like(c, requires_grad=True)
    guided_velocity(network, x0, torch.zeros(2), c.detach(), null, 4.5).square().sum().backward()
    assert null.grad.abs().max() > 0


def test_laws_of_time():
    torch.manual_seed(0)
    drawn = {law: draw_times(100_000, law).double() for law in ("uniform", "discrete", "logit-normal", "early")}
    assert drawn["uniform"].mean().item() == pytest.approx(0.5, abs=0.005)
    whole = torch.floor(drawn["discrete"].float() * 1000)  # what the network sees of it
    assert torch.equal(whole.unique(), torch.arange(1000.0)) and (drawn["discrete"] - whole / 1000).abs().max() < 1e-7
    assert drawn["discrete"].max() < 1 and len(drawn["discrete"].unique()) == 1000
    assert (drawn["early"] < 1 / 8).double().mean().item() == pytest.approx(0.5, abs=0.01) and drawn["early"].max() < 1
    # The law of the weighted loss: E_uniform[w f] = E_logit-normal[f], here for f = t^2.
    weighted = (torch.from_numpy(density(drawn["uniform"].numpy())) * drawn["uniform"].square()).mean()
    assert drawn["logit-normal"].square().mean().item() == pytest.approx(weighted.item(), abs=0.01)


# -- reflow straightens --

CENTRES, SPREAD = torch.tensor([-2.0, 2.0]), 0.3


def exact_field(x: Tensor, t: Tensor, c: Tensor) -> Tensor:
    """E[x1 - x0 | x_t = x] in closed form: noise N(0, 1), data an even mixture of N(-2, 0.3^2) and N(2, 0.3^2)."""
    t = t[:, None]
    variance = (1 - t) ** 2 + t**2 * SPREAD**2
    share = torch.softmax(-((x - t * CENTRES) ** 2) / (2 * variance), dim=1)
    slope = (t * SPREAD**2 - (1 - t)) / variance
    return (share * (CENTRES + slope * (x - t * CENTRES))).sum(1, keepdim=True)


def monotone(x0: Tensor) -> Tensor:
    """Where the flow leads: in one dimension paths do not cross, so quantiles go to quantiles."""
    grid = torch.linspace(-5, 5, 20_001, dtype=torch.float64)
    cumulative = sum(torch.distributions.Normal(m, SPREAD).cdf(grid) for m in CENTRES.double()) / 2
    quantile = torch.distributions.Normal(0.0, 1.0).cdf(x0.double())
    return grid[torch.searchsorted(cumulative, quantile).clamp(max=len(grid) - 1)].to(x0)


def curvature(field, x0: Tensor) -> float:
    """Mean of |v(x_t, t) - (x(1) - x(0))|^2 along the trajectories: 0 for straight ones at constant speed."""
    velocities, x = [], x0
    for _, after in solve(lambda x, t: field(x, x.new_full((len(x),), t), None), x0, 100, "euler"):
        velocities.append(100 * (after - x))
        x = after
    return (torch.stack(velocities) - (x - x0)).square().mean().item()


def test_reflow_straightens_the_paths():
    torch.manual_seed(0)
    x0 = torch.randn(4096, 1)
    *_, (_, x1) = solve(lambda x, t: exact_field(x, x.new_full((len(x),), t), None), x0, 100, "midpoint")
    assert (x1 - monotone(x0)).abs().mean() < 0.02, "the pairs are the known ones"

    net = nn.Sequential(nn.Linear(2, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))

    def field(x: Tensor, t: Tensor, c: Tensor) -> Tensor:
        return net(torch.cat([x, t[:, None]], dim=1))

    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    c = torch.zeros(512, 0)
    for step in range(1500):
        rows = torch.randint(len(x0), (512,))
        loss = reflow_loss(field, x0[rows], x1[rows], torch.rand(512), c, c, 1.0, torch.ones_like)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        optimiser.param_groups[0]["lr"] = 3e-3 * (1 - step / 1500)
    fresh = torch.randn(2048, 1)
    with torch.no_grad():
        before, after = curvature(exact_field, fresh), curvature(field, fresh)
        assert before > 0.2 and after < before / 10, (before, after)
        one_step = fresh + field(fresh, torch.zeros(2048), None)
    exact = fresh + exact_field(fresh, torch.zeros(2048), None)
    assert (one_step - monotone(fresh)).abs().mean() < 0.2 < (exact - monotone(fresh)).abs().mean()


# -- windows --


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Two splits of ten clips of 10 s; the features of clip n at frame f are (n, f, 0, ...), its mel is (n, column)."""
    folder = tmp_path_factory.mktemp("data")
    for number, split in enumerate(("train", "train", "valid")):
        writer = ShardWriter(folder, number)
        for row in range(5):
            name = 5 * number + row
            features = torch.zeros(40, 6)
            features[:, 0], features[:, 1] = name, torch.arange(40)
            mel = torch.zeros(625, 16)
            mel[:, 0], mel[:, 1] = name, torch.arange(625)
            writer.add(f"clip{name}", {"features": features, "mel": mel}, label="", split=split)
        writer.write()
    merge(folder)
    return folder


def test_a_window_has_the_features_of_its_time(data):
    by_time = dataclasses.replace(FIELD, regulator="time")
    for config in (FIELD, by_time):
        windows = TrainingWindows(Shards(data, "train"), config, CLOCK, seed=1)
        torch.manual_seed(0)
        names, batch = windows.batch(0, 10, ("mel",))
        assert sorted(names) == sorted(f"clip{name}" for name in range(10)), "an epoch has every clip once"
        assert batch["features"].shape == (10, 128, 6) and batch["mel"].shape == (10, 16, 256)
        for name, features, mel in zip(names, batch["features"], batch["mel"], strict=True):
            assert name == f"clip{int(mel[0, 0])}" and (features[:, 0] == mel[0, 0]).all()
            centres = (mel[1].reshape(-1, 2).mean(1) + 0.5) / CLOCK.mel_rate
            late = centres - features[:, 1] / CLOCK.fps
            # The frame on screen began at most a frame ago. By count, the start is rounded down to a frame as well, and
            # eight columns last 0.256 s, so that the features lag 0.006 s more from each one to the next.
            lag = 0 if config is by_time else 0.25 + 15 * 0.006
            assert late.min() > -1e-6 and late.max() < 0.25 + 0.016 + lag


def test_two_clips_are_joined_as_published(data):
    windows = TrainingWindows(Shards(data, "train"), FIELD, dataclasses.replace(CLOCK, window=256), join=1.0)
    torch.manual_seed(0)
    firsts = []
    for index in range(10):
        pieces = windows.draw(index)
        assert pieces[0].item == windows.items[index] != pieces[1].item
        assert sum(piece.columns for piece in pieces) == 256 and min(piece.columns for piece in pieces) >= 63
        assert all(piece.start + piece.columns <= 256 for piece in pieces), "from the first window of each clip"
        made = windows.window(pieces, ("mel",))
        assert made["features"].shape == (256, 6) and made["mel"].shape == (16, 512)
        cut = 2 * pieces[0].columns
        assert made["mel"][0].unique_consecutive(return_counts=True)[1].tolist() == [cut, 512 - cut]
        changes = made["features"][:, 0].unique_consecutive(return_counts=True)[1]
        assert abs(int(changes[0]) - pieces[0].columns) <= 8 + 5, "within a feature and the drift by count"
        firsts.append(pieces[0].columns)
    assert len(set(firsts)) > 5
    parts = [windows.draw(index % len(windows.items)) for index in range(300)]
    assert all(first.item != second.item for first, second in parts), "never with itself"


def test_a_short_piece_keeps_its_last_feature(data):
    windows = TrainingWindows(Shards(data, "train"), FIELD, CLOCK)
    features = windows.features([ClipPart(0, 310 - 128, 128)])
    assert features[:, 1].max() == 38 and features.shape == (128, 6)
    assert windows.rows(0, torch.tensor([38, 39, 40, 41]))[:, 1].tolist() == [38, 39, 39, 39]


def test_a_clip_of_exactly_a_window_is_long_enough():
    with pytest.warns(UserWarning, match="1 of 3 clips are left out: they have less than 4 columns"):
        assert long_enough(Path("data"), [3, 4, 5], 4, "columns", "take others") == [1, 2]


def test_clips_shorter_than_a_window_are_an_error(data):
    with pytest.raises(TooShortError, match="400 latent columns"):
        TrainingWindows(Shards(data, "train"), FIELD, dataclasses.replace(CLOCK, window=400))


# -- pairs --


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("parts")
    torch.manual_seed(0)
    for name, network in (("field", VectorField(FIELD)), ("autoencoder", MelAutoencoder(AUTOENCODER))):
        if name == "field":
            nn.init.normal_(network.blocks[0].conv_out.weight, std=0.1)
        save_part(folder / name, network, network.config)
    return {name: folder / name for name in ("field", "autoencoder")}


def pairing(data: Path, parts: dict[str, Path], **changes) -> Pairing:
    return Pairing(data, parts["field"], parts["autoencoder"], CLOCK, **{"steps": 3, "guidance": 3.0, **changes})


def test_a_pair_is_a_noise_and_where_the_guided_flow_leads(data, parts, tmp_path):
    assert make_pairs(pairing(data, parts, reencode=True), tmp_path, ("train", "valid"), workers=0) == {}
    pairs, clips = Shards(tmp_path, "train"), Shards(data, "train")
    assert pairs.ids == clips.ids and len(Shards(tmp_path, "valid")) == 5
    network = VectorField(FIELD)
    load_init(network, str(parts["field"]))
    noise, latent = (pairs.read(3, name).T[None] for name in ("noise", "latent"))
    c = network.condition(clips.read(3, "features", 0, 16)[None])
    x = noise
    with torch.no_grad():
        for t in torch.linspace(0, 1, 4)[:-1]:
            x = x + guided_velocity(network, x, t.expand(1), c, network.null_condition(c), 3.0) / 3
    torch.testing.assert_close(latent, x, rtol=1e-4, atol=1e-5)
    assert noise.std().item() == pytest.approx(1, abs=0.1)
    assert pairs.read(3, "mean").shape == pairs.read(3, "log_variance").shape == (128, 4)
    autoencoder = load_part(parts["autoencoder"])
    with torch.no_grad():  # there and back, scaled as the field sees latents
        mean, log_variance = encode_mel(autoencoder, autoencoder.decode(latent / AUTOENCODER.scale).clamp(min=-5))
    for name, wanted in (("mean", mean), ("log_variance", log_variance)):
        torch.testing.assert_close(pairs.read(3, name).T[None], wanted, rtol=1e-3, atol=1e-4)
        assert not torch.allclose(pairs.read(4, name).T[None], wanted, rtol=1e-3, atol=1e-4)
    assert not torch.equal(pairs.read(3, "noise"), pairs.read(4, "noise"))


def test_another_seed_gives_other_pairs(data, parts, tmp_path):
    for seed in (0, 1):
        make_pairs(pairing(data, parts, seed=seed), tmp_path / str(seed), ("valid",), workers=0)
    noises = [Shards(tmp_path / str(seed), "valid").read(2, "noise") for seed in (0, 1)]
    assert abs(np.corrcoef(*(noise.flatten() for noise in noises))[0, 1]) < 0.2


def test_clips_that_have_no_window_are_rejected_by_name(data, parts, tmp_path):
    long = dataclasses.replace(pairing(data, parts), clock=dataclasses.replace(CLOCK, window=400))
    clips, writer = Shards(data, "valid"), ShardWriter(tmp_path, 0)
    network = VectorField(FIELD)
    assert list(readable(long, network, clips, PairItems("valid", range(2)), writer)) == []
    assert [name for name, _ in writer.rejected] == clips.ids[:2]
    assert writer.rejected[0][1] == "40 features, a window has 50"


def test_pairs_in_half_precision_are_nearly_the_same(data, parts, tmp_path):
    for precision in ("float32", "bfloat16"):
        make_pairs(pairing(data, parts, precision=precision), tmp_path / precision, ("train",), workers=0)
    exact, rounded = (Shards(tmp_path / name, "train") for name in ("float32", "bfloat16"))
    assert torch.equal(exact.read(3, "noise"), rounded.read(3, "noise"))
    error = (exact.read(3, "latent") - rounded.read(3, "latent")).std() / exact.read(3, "latent").std()
    assert 0 < error < 0.03


def test_several_pairs_of_a_clip_have_their_own_windows_and_noises(data, parts, tmp_path):
    for draws in (1, 3):
        make_pairs(pairing(data, parts, draws=draws), tmp_path / str(draws), ("train",), workers=0)
    one, three, clips = Shards(tmp_path / "1", "train"), Shards(tmp_path / "3", "train"), Shards(data, "train")
    assert three.ids[:4] == [clips.ids[0], f"{clips.ids[0]}#1", f"{clips.ids[0]}#2", clips.ids[1]]
    assert torch.equal(three.read(0, "latent"), one.read(0, "latent")) and len(three) == 3 * len(one)
    spare = int(clips.lengths("features")[0]) - 16
    assert spare > 1
    for draw, start in enumerate((0, spare // 2, spare)):
        assert torch.equal(three.read(draw, "features"), clips.read(0, "features", start, 16).float())
    assert abs(np.corrcoef(three.read(0, "noise").flatten(), three.read(1, "noise").flatten())[0, 1]) < 0.2
    with pytest.raises(ValueError, match="draws must be 1 or more, got 0"):
        pairing(data, parts, draws=0)


def test_pairs_do_not_depend_on_workers_or_interruptions(data, parts, tmp_path):
    made = pairing(data, parts, batch=4)
    one, two = tmp_path / "one", tmp_path / "two"
    make_pairs(made, one, ("train",), per_shard=5, workers=0)
    make_pairs(made, two, ("train",), per_shard=5, workers=2)
    shard_path(two, 1).unlink()
    (two / "index.safetensors").unlink()
    kept = shard_path(two, 0).stat().st_mtime_ns
    make_pairs(made, two, ("train",), per_shard=5, workers=0)
    assert shard_path(two, 0).stat().st_mtime_ns == kept, "what was done is not done again"
    for number in (0, 1):
        assert shard_path(one, number).read_bytes() == shard_path(two, number).read_bytes()
    with pytest.raises(DatasetError, match="guidance was 3.0 and is now 4.5"):
        make_pairs(dataclasses.replace(made, guidance=4.5), two, ("train",), per_shard=5, workers=0)
    other = tmp_path / "data"
    writer = ShardWriter(other, 0)
    other.mkdir()
    writer.add("clip0", {"features": torch.zeros(40, 6), "mel": torch.zeros(625, 16)}, split="train")
    writer.write()
    merge(other)
    with pytest.raises(DatasetError, match="data was"):
        make_pairs(dataclasses.replace(made, data=other), two, ("train",), per_shard=5, workers=0)


# -- stages --


def stage(part: str, data: Path, folder: Path, **loss) -> FieldTask:
    """A stage's task at toy size."""
    torch.manual_seed(0)
    network, autoencoder = VectorField(FIELD), MelAutoencoder(AUTOENCODER)
    nn.init.normal_(network.blocks[0].conv_out.weight, std=0.1)
    how = FieldLoss(**loss) if part == "field" else PairsLoss(guidance=3.0, **loss)
    recipe = Recipe(part, network=FIELD, loss=how, optim=Optim(batch=5), shared=Shared(clock=CLOCK))
    if part != "field":
        for name, net in (("field", network), ("autoencoder", autoencoder)):
            save_part(folder / name, net, net.config)
        places = {name: folder / name for name in ("field", "autoencoder")}
        make_pairs(pairing(data, places, reencode=True), folder / "pairs", ("train", "valid"), workers=0)
        data = folder / "pairs"
    return FieldTask(recipe, network, Shards(data, "train"), Shards(data, "valid"), autoencoder)


def test_a_field_starts_with_white_features_if_it_is_asked_to(data, tmp_path):
    plain, white = (stage("field", data, tmp_path, white=asked) for asked in (False, True))
    features = white.train.batch(1, 64, ())[1]["features"].flatten(0, 1)

    white, plain = (task.network.embed_features.input(features).std(0) for task in (white, plain))
    torch.testing.assert_close(white[:2], torch.ones(2), atol=0.1, rtol=0)  # what varies here: two of six
    assert not torch.isclose(plain[:2], torch.ones(2), atol=0.1).any()


@pytest.mark.parametrize("reencode", [False, True])
def test_pairs_are_learnt_from_as_they_were_made(data, tmp_path, reencode):
    task = stage("reflow", data, tmp_path, reencode=reencode)
    batch = task.batch(0)
    pairs = Shards(tmp_path / "pairs", "train")
    made = task.with_ends(batch)
    for name, x0, x1 in zip(batch["ids"], made["x0"], made["x1"], strict=True):
        item = pairs.ids.index(name)
        assert torch.equal(x0, pairs.read(item, "noise").T)
        spread = (pairs.read(item, "log_variance").T / 2).exp()
        if reencode:
            deviations = (x1 - pairs.read(item, "mean").T) / spread
            assert deviations.abs().max() < 6 and deviations.std().item() == pytest.approx(1, abs=0.2)
        else:
            assert torch.equal(x1, pairs.read(item, "latent").T)
    scores = task.validate(task.network)
    assert scores.keys() == {"loss", "mismatched", "one_step"} and all(map(math.isfinite, scores.values()))


def test_a_preview_repeats_the_pairs_of_the_same_field(data, tmp_path, monkeypatch):
    """With as many steps, the field that made the pairs leads from their noise to their latents again."""
    task = stage("reflow", data, tmp_path)
    monkeypatch.setitem(STEPS, "reflow", 3)
    shown = task.preview(task.network)
    names = Shards(tmp_path / "pairs", "valid").ids[:2]
    assert sorted(shown) == sorted(f"{name}/{what}" for name in names for what in ("true", "generated"))
    for name in names:
        assert shown[f"{name}/true"].shape == (16, 256)
        torch.testing.assert_close(shown[f"{name}/generated"], shown[f"{name}/true"], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(shown[f"{names[0]}/true"], shown[f"{names[1]}/true"], atol=1e-2)


def test_a_preview_of_the_field_shows_the_clips_own_mel(data, tmp_path):
    task = stage("field", data, tmp_path)
    shown, clips = task.preview(task.network), Shards(data, "valid")
    for index, name in enumerate(clips.ids[:2]):
        begin = task.valid.fixed(index).start * CLOCK.stride
        assert torch.equal(shown[f"{name}/true"], clips.read(index, "mel", begin, 256).T)
        assert shown[f"{name}/generated"].shape == (16, 256)


def test_dropped_conditions_are_zero_features(data, tmp_path):
    task = stage("field", data, tmp_path, drop=0.5)
    torch.manual_seed(0)
    dropped = torch.cat([(task.batch(number)["features"] == 0).all(2).all(1) for number in range(40)])
    assert 0.35 < dropped.float().mean() < 0.65
    assert not (stage("field", data, tmp_path, drop=0.0).batch(0)["features"] == 0).all(2).all(1).any()


def test_one_condition_in_five_is_dropped(data, tmp_path):
    """As published; a share of one half could not tell what is dropped from what is kept."""
    task = stage("field", data, tmp_path, drop=0.2)
    torch.manual_seed(0)
    dropped = torch.cat([(task.batch(number)["features"] == 0).all(2).all(1) for number in range(60)])
    assert 0.12 < dropped.float().mean() < 0.28


def test_a_latent_has_the_spread_of_its_posterior():
    torch.manual_seed(0)
    drawn = draw_latent(torch.full((200_000,), 3.0), torch.full((200_000,), math.log(4.0)))
    assert (drawn.mean().item(), drawn.std().item()) == pytest.approx((3.0, 2.0), abs=0.02)


def test_validation_compares_with_the_features_of_other_clips(data, tmp_path, monkeypatch):
    """The features say which clip they are of, and so does the mel."""
    task, batches = stage("field", data, tmp_path), []
    monkeypatch.setattr(task, "mean", lambda loss, batch: batches.append(batch) or 0.0)
    assert task.validate(task.network).keys() == {"loss", "mismatched"}
    own, mismatched = batches
    clips = [[round(name.item()) for name in batch["features"][:, 0, 0]] for batch in batches]
    assert clips[0] == [10, 11, 12, 13, 14] == sorted(clips[1])
    assert all(a != b for a, b in zip(*clips, strict=True))
    assert all(torch.equal(own[name], mismatched[name]) for name in ("x0", "x1", "t"))


def test_every_window_counts_once_in_a_mean_over_parts(data, tmp_path):
    """Seven windows in parts of five and two."""
    task, batch = stage("field", data, tmp_path), {"t": torch.arange(7.0) ** 2}
    assert task.mean(lambda part: part["t"].mean(), batch) == pytest.approx(91 / 7)


def test_a_broken_shard_is_named_and_the_epoch_goes_on(data, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    with shard_path(copy, 1).open("r+b") as file:
        file.truncate(5000)
    task = stage("field", copy, tmp_path)
    with pytest.warns(UserWarning, match="00001.safetensors"):
        names = [name for number in range(2) for name in task.batch(number)["ids"]]
    assert len(names) == 10 and set(names) <= {f"clip{name}" for name in range(5)}
    assert task.train.reader.skipped["00001.safetensors"] >= 5


def test_later_stages_start_from_the_stage_before(parts, tmp_path):
    recipe = read_recipe(RECIPES / "tiny" / "reflow.toml")
    with pytest.raises(RecipeError, match="field: not trained yet"):
        recipe.resolved(tmp_path)
    shutil.copytree(parts["field"], tmp_path / "field")
    made = recipe.resolved(tmp_path)
    assert made.network == FIELD and made.init == str(tmp_path / "field")
    elsewhere = dataclasses.replace(recipe, init=str(parts["field"])).resolved(tmp_path)
    assert elsewhere.init == str(parts["field"])
    network = VectorField(FIELD)
    load_init(network, made.init)
    load_init(network, str(tmp_path / "field" / "model.safetensors"))
    with pytest.raises(RecipeError, match="neither"):
        load_init(network, str(tmp_path / "nothing"))
    with pytest.raises(WeightsError, match="missing"):
        load_init(VectorField(dataclasses.replace(FIELD, depth=2)), made.init)


def test_recipes_of_the_stages(tmp_path):
    published = {
        part: read_recipe(RECIPES / "published" / f"{part}.toml") for part in ("field", "reflow", "distillation")
    }
    assert published["field"].network == FieldConfig()
    assert published["field"].loss == FieldLoss(drop=0.2, time="discrete", join=0.5)
    for part in ("reflow", "distillation"):
        loss = published[part].loss
        assert (loss.guidance, loss.steps, loss.drop, loss.reencode) == (4.5, 25, 0.0, True)
    assert [recipe.optim.steps for recipe in published.values()] == [1_300_000, 600_000, 500_000]
    assert {recipe.optim.lr for recipe in published.values()} == {5e-5}
    with pytest.raises(RecipeError, match="stage before"):
        (tmp_path / "model.toml").write_text("")
        (tmp_path / "reflow.toml").write_text("[network]\nwidth = 32\n")
        read_recipe(tmp_path / "reflow.toml")
    with pytest.raises(RecipeError, match="weight must be one of"):
        read_recipe(RECIPES / "tiny" / "field.toml", ["loss.weight=none"])
