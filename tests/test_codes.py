"""SpecVQGAN in small: codebooks by brute force, causality by gradients, sampling against its own probabilities."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("transformers", reason="the extra rivals is not installed")
pytest.importorskip("vector_quantize_pytorch", reason="the extra rivals is not installed")

from frieren import load
from frieren.autoregression import draw, pick, sample_codes
from frieren.clock import Clock
from frieren.errors import ConfigError
from frieren.nets.rivals.codes import CodeTransformer, CodeTransformerConfig
from frieren.record import sampling_settings
from frieren.training.tasks.rivals.code_loss import code_loss
from frieren.weights import load_part, save_part

CONFIG = CodeTransformerConfig(
    latent=8, features=6, groups=2, codes=16, join=2, window=32, width=32, depth=2, heads=2, top=16
)


@pytest.fixture(scope="module")
def network() -> CodeTransformer:
    torch.manual_seed(0)
    made = CodeTransformer(CONFIG)
    made.fit(torch.randn(8, 8, 32))
    for parameter in made.decoder.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return made.eval()


def test_rows_and_latents_are_the_same_numbers(network):
    latent = torch.randn(2, 8, 12)
    rows = network.rows(latent)
    assert torch.equal(network.latent_of(rows), latent)
    assert set(rows[0, 3, :8].tolist()) == set(latent[0, 0::2, 6:8].flatten().tolist()), "the first group's channels"


def test_codes_are_the_nearest_by_brute_force(network):
    latent = torch.randn(3, 8, 12)
    rows, books = network.rows(latent).unflatten(-1, (2, -1)), network.codebooks.codebook
    distances = (rows[..., None, :] - books).square().sum(-1)  # [B, N, G, K]
    assert torch.equal(network.encode(latent), distances.argmin(-1))
    codes = network.encode(latent)
    nearest = torch.stack([books[g][codes[..., g]] for g in range(2)], dim=2).flatten(2)
    assert torch.allclose(network.decode(codes), network.latent_of(nearest))
    network.train()
    assert torch.equal(network.encode(latent), codes), "training does not move the codebooks"
    assert torch.equal(network.codebooks.codebook, books)
    network.eval()


def test_k_means_comes_near_what_it_has_seen():
    torch.manual_seed(1)
    centres, made = 3 * torch.randn(2, 4, 8), CodeTransformer(CONFIG)
    rows = torch.stack([centres[g][torch.randint(4, (4, 40))] for g in range(2)], dim=2).flatten(2)
    latent = made.latent_of(rows + 0.01 * torch.randn_like(rows))
    made.fit(latent)
    assert (made.decode(made.encode(latent)) - latent).abs().max() < 0.1


def test_a_code_sees_those_before_it_and_all_features(network):
    codes, c = torch.randint(16, (1, 5, 2)), network.condition(torch.randn(1, 16, 6)).detach().requires_grad_()
    weight = network.decoder.wte.weight
    for index in range(10):
        weight.grad = None
        tokens = network.embed(codes.flatten(1)).detach().requires_grad_()
        joined = torch.cat([c, tokens[:, :-1]], dim=1)
        hidden = network.decoder(inputs_embeds=joined, use_cache=False).last_hidden_state
        logits = network.logits(hidden[:, c.shape[1] - 1 :], 0)
        assert torch.allclose(logits, network(codes, c), atol=1e-5)
        of_tokens, of_c = torch.autograd.grad(logits[0, index].sum(), (tokens, c))
        seen = of_tokens[0].abs().sum(-1) > 0
        assert seen.tolist() == [place < index for place in range(10)]
        assert (of_c.abs().sum(-1) > 0).all()


def test_every_group_has_its_own_layer(network):
    hidden = torch.randn(1, 5, 32)
    layer, bias = network.head.weight.view(2, 16, 32), network.head.bias.view(2, 16)
    given = network.logits(hidden, 1)
    for place in range(5):
        group = (place + 1) % 2
        assert torch.allclose(given[0, place], layer[group] @ hidden[0, place] + bias[group], atol=1e-5)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_drawing_step_by_step_is_drawing_from_the_whole(network, guidance):
    """With all chances 0 the most probable code is drawn: that of the whole forward pass over what was drawn."""
    c, null = (network.condition(torch.randn(2, 16, 6)).detach() for _ in range(2))
    begin = torch.randint(16, (2, 2, 2))
    with torch.no_grad():
        codes = draw(network, c, null, torch.zeros(2, 6, 2), begin, guidance)
        logits = network(codes, null) + guidance * (network(codes, c) - network(codes, null))
    assert torch.equal(codes[:, :2], begin)
    assert torch.equal(logits.argmax(-1)[:, 4:], codes.flatten(1)[:, 4:])


def test_codes_are_picked_as_often_as_they_are_probable():
    logits = torch.tensor([[0.0, 2.0, 1.0, -1.0]])
    chance = (torch.arange(4000) + 0.5) / 4000
    picked = pick(logits.expand(4000, 4), chance, 3)
    expected = torch.tensor([0.0, 2.0, 1.0, -torch.inf]).softmax(-1)
    assert torch.allclose(picked.bincount(minlength=4) / 4000, expected, atol=1e-3)
    assert pick(logits, torch.ones(1), 3).item() == 0, "rounding does not lead beyond the last"


def test_windows_go_on_from_what_is_there(network):
    clock = Clock(fps=25.0, window=32, overlap=8)
    features, noise = torch.randn(1, 60, 6), torch.randn(1, 8, 75)
    times = torch.tensor(clock.frame_times(60), dtype=torch.float64)
    path = list(sample_codes(network, features, times, noise, clock, 1.0))
    assert len(path) > 2 and path[-1][0] == 1.0 and path[-1][1].shape == (1, 8, 75)
    for (_, before), (_, after) in zip(path, path[1:], strict=False):
        assert torch.equal(
            after[..., : before.shape[-1] - 1], before[..., : after.shape[-1]][..., : before.shape[-1] - 1]
        )
    assert network.encode(path[-1][1][..., :74]).shape == (1, 37, 2)


def test_the_loss_of_random_codes_is_the_log_of_their_number(network):
    torch.manual_seed(0)
    fresh = CodeTransformer(CONFIG)
    fresh.fit(torch.randn(8, 8, 32))
    loss = code_loss(fresh, torch.randn(4, 32, 6), torch.randn(4, 8, 32))
    assert loss.item() == pytest.approx(torch.tensor(16.0).log().item(), abs=0.3)
    loss.backward()
    assert fresh.given.weight.grad.abs().sum() > 0


def test_a_model_writes_codes(network, tmp_path):
    save_part(tmp_path / "field", network, CONFIG)
    again = load_part(tmp_path / "field")
    assert torch.equal(again.codebooks.codebook, network.codebooks.codebook)
    latent = torch.randn(1, 8, 12)
    assert torch.equal(again.to("cpu").encode(latent), network.encode(latent)) and not again.codebooks.zero.is_meta
    model = load("tiny")
    config = CodeTransformerConfig(
        latent=model.field.config.latent,
        features=model.field.config.features,
        groups=2,
        codes=16,
        window=model.clock.window,
        width=32,
        depth=1,
        heads=2,
    )
    model.parts["field"] = CodeTransformer(config).eval()
    model.parts["field"].fit(torch.randn(4, config.latent, config.window))
    features = torch.randn(50, config.features)
    latent = model.sample(features, seed=1, solver="autoregressive", guidance=2.0)
    assert torch.equal(latent, model.sample(features, seed=1, solver="autoregressive", guidance=2.0))
    assert not torch.equal(latent, model.sample(features, seed=2, solver="autoregressive", guidance=2.0))
    with pytest.raises(ConfigError, match="predicts codes"):
        model.sample(features, solver="euler")
    with pytest.raises(ConfigError, match="does not hold"):
        model.sample(features, solver="autoregressive", kept=latent)
    assert sampling_settings(model)["time"] == "continuous", "a record can be made"
