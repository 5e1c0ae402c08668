"""Front ends, networks and checkpoints of published reference models, compared with the published implementations.

The weights can be drawn again by anybody: each tensor comes from a generator seeded with its own published name. The
answers in `data/extractors_golden.npz` and `data/synchformer_golden.npz` are those of the official code at full size;
`data/scorers_keys.json` lists the names and shapes of its checkpoints.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import http.server
import json
import math
import re
import shlex
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from test_convert import lightning, save
from torch import Tensor, nn
from typer.testing import CliRunner

from frieren.apps.cli import app
from frieren.errors import FrierenError, WeightsError
from frieren.evaluation.scorers import extractors, spectra
from frieren.evaluation.scorers.alignment import DiffFoleyAlignment
from frieren.evaluation.scorers.resampling import resample_sinc
from frieren.nets.scorers.latent_alignment import LatentAlignmentConfig
from frieren.nets.scorers.panns import PannsConfig
from frieren.nets.scorers.synchformer import Synchformer, SynchformerConfig
from frieren.nets.scorers.tagger import Tagger, TaggerConfig
from frieren.nets.scorers.vggish import VggishConfig
from frieren.official import scorers as published_models
from frieren.official.convert import fill
from frieren.official.fetch import FetchError
from frieren.official.scorers import REFERENCE_MODELS
from frieren.spectrogram import MelConfig, mel_filters
from frieren.weights import load_part, save_part

DATA = Path(__file__).parent / "data"
SMALL = {
    "panns": PannsConfig(bins=32, widths=(4, 8), embed=8, classes=5),
    "vggish": VggishConfig(widths=(2, 4), depths=(1, 2), hidden=8, embed=6),
    "alignment": LatentAlignmentConfig(
        width=16, features=8, context=8, heads=2, picture_width=16, groups=4, picture_multipliers=(1, 1, 2, 2)
    ),
    "synchformer": SynchformerConfig(
        width=16,
        heads=2,
        video_depth=1,
        sound_depth=1,
        image_size=32,
        frames=4,
        bins=32,
        columns=36,
        segments=2,
        comparing_depth=1,
        comparing_heads=2,
        classes=5,
    ),
}


@functools.cache
def golden() -> dict[str, Tensor]:
    with np.load(DATA / "extractors_golden.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


@functools.cache
def published(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes in a published checkpoint."""
    return {key: tuple(shape) for key, shape in json.loads((DATA / "scorers_keys.json").read_text())[name].items()}


def draw(key: str, shape: tuple[int, ...]) -> Tensor:
    """One tensor; its distribution follows from the last part of its name and from its shape."""
    last = key.rpartition(".")[2]
    if not shape:
        return torch.zeros(shape, dtype=torch.int64)
    z = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)
    if last == "running_var":
        z = 1 + 0.2 * np.abs(z)
    elif last == "running_mean":
        z *= 0.1
    elif len(shape) > 1:
        z *= math.sqrt(1.5 / math.prod(shape[1:]))
    else:
        z = 1 + 0.1 * z if last == "weight" else 0.02 * z
    return torch.from_numpy(z.astype(np.float32))


def front_end(config: PannsConfig) -> dict[str, Tensor]:
    """The matrices in PANNs' checkpoint: a Fourier transform under a periodic Hann window, and Slaney's mel filters."""
    time = torch.arange(config.n_fft, dtype=torch.float64)
    angles = 2 * math.pi * time * torch.arange(config.n_fft // 2 + 1)[:, None] / config.n_fft
    window = 0.5 - 0.5 * torch.cos(2 * math.pi * time / config.n_fft)
    mel = MelConfig(config.sample_rate, config.n_fft, config.hop, config.bins, 50.0, config.sample_rate * 7 / 16)
    mel = dataclasses.replace(mel, fmax=8000.0) if config.sample_rate == 16_000 else mel
    return {
        "spectrogram_extractor.stft.conv_real.weight": (angles.cos() * window).unsqueeze(1).float(),
        "spectrogram_extractor.stft.conv_imag.weight": (-angles.sin() * window).unsqueeze(1).float(),
        "logmel_extractor.melW": mel_filters(mel).mT.contiguous(),
    }


def drawn(name: str) -> nn.Module:
    """A reference model at full size with the drawn weights, by way of the published names."""
    model = REFERENCE_MODELS[name]
    own = {"panns": front_end(PannsConfig()), "alignment": {"scale_factor": torch.tensor(0.18215)}}.get(name, {})
    config = model.config(own)
    table = model.table(config)
    state = {key: draw(key, shape) for key, shape in published(name).items() if not table.left_out(key)} | own
    return fill(name, model.network, config, state, lambda line: None, table)


def near(value: Tensor, expected: Tensor, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(value, expected, atol=tolerance, rtol=tolerance)


# ------------------------------------------------------------------------------------------------ front ends


def test_vggish_patches() -> None:
    near(spectra.vggish_patches(golden()["wave16k"]), golden()["vggish.examples"], 1e-6)
    for samples, rows in ((131_072, 8), (128_000, 8), (160_000, 10), (15_600, 1)):
        assert spectra.vggish_patches(torch.zeros(samples)).shape == (rows, 96, 64)
    with pytest.raises(ValueError, match="15599 samples fills no patch; pad it to 15600"):
        spectra.vggish_patches(torch.zeros(15_599))


def test_picture_mel() -> None:
    wave = golden()["wave16k"]
    constant, mirrored = spectra.picture_mel(wave, padding="constant"), spectra.picture_mel(wave)
    near(constant, golden()["wav2mel.mel128"], 1e-5)
    near(mirrored[:, :4], golden()["wav2mel.mel128_reflect_first4frames"], 1e-5)
    assert (constant - mirrored).abs().max().item() == pytest.approx(0.07828, abs=1e-4), "only at the ends"
    near(constant[:, 2:-2], mirrored[:, 2:-2], 0)
    assert not spectra.picture_mel(torch.zeros(1000)).any()
    near(spectra.picture_mel(torch.cat([wave, torch.zeros(91_200), wave])), mirrored, 0)


def test_synchformer_mel() -> None:
    mel = spectra.synchformer_mel(golden()["wave16k"])
    assert mel.shape == (6, 128, 66)
    near(mel[:2], golden()["sync.mel_segments"])
    assert spectra.synchformer_mel(torch.zeros(128_000)).shape[0] == 24


def test_imagebind_fbank() -> None:
    near(spectra.imagebind_fbank(golden()["wave16k"][:32_000]), golden()["ib.fbank_2s"], 2e-4)


def test_resampling() -> None:
    numbers = golden()
    wave = numbers["resample.in44100"]
    made = resample_sinc(wave, 44_100, 16_000)
    near(made, numbers["resample.out16000_default"], 1e-5)
    near(made, numbers["resample.out16000_T_Resample"], 1e-5)
    near(resample_sinc(wave, 48_000, 16_000), numbers["resample.from48000_same_samples"], 1e-5)
    # What another resampler makes of noise is something else, and scores move with it.
    other = (made - numbers["resample.out16000_fadtk_kaiser_best"]).abs().max().item()
    assert other == pytest.approx(0.03447, abs=1e-4)


# ------------------------------------------------------------------------------------------------ networks


def test_panns() -> None:
    numbers = golden()
    filters = front_end(PannsConfig())["logmel_extractor.melW"]
    near(torch.stack([filters.sum(), filters.max()]), numbers["panns.melW_checksum"].float(), 1e-5)
    network = drawn("panns")
    near(network.log_mel(numbers["wave16k"][None])[0], numbers["panns.logmel"], 1e-3)
    embedding, logits = network(numbers["wave16k"][None])
    near(embedding[0], numbers["panns.embedding2048"])
    near(logits[0], numbers["panns.logits527"])
    near(logits[0].sigmoid(), numbers["panns.clipwise"])
    with pytest.raises(ValueError, match="4959 samples is too short; pad it to 4960"):
        network(torch.zeros(1, 4959))


def test_vggish() -> None:
    network = drawn("vggish")
    embeddings = network(golden()["vggish.examples"])
    near(embeddings, golden()["vggish.embeddings_no_last_relu"])
    assert embeddings.min() < 0, "no ReLU after the last layer"
    near(network(spectra.vggish_patches(golden()["wave16k"])), golden()["vggish.embeddings_no_last_relu"])


def test_alignment() -> None:
    numbers, network = golden(), drawn("alignment")
    mean, logvar = network.encode(numbers["wav2mel.mel128"][None, :, :512])
    latent = network.config.scale * mean
    near(latent[0], numbers["alignacc.z_mean_scaled"])
    near(logvar[0], numbers["alignacc.logvar"])
    features = numbers["alignacc.video_feat"][None]
    context = network.condition(features)
    near(context[0, :4], numbers["alignacc.cond_first4"])
    near(network.pool(latent, context)[0], numbers["alignacc.pooled"])
    logit = network(latent, features)
    near(logit, numbers["alignacc.logit"])
    near(logit.sigmoid(), numbers["alignacc.prob_forward"])
    with pytest.raises(ValueError, match="41 features, expected at most 40"):
        network.condition(torch.zeros(1, 41, 512))


@pytest.mark.parametrize(
    ("depth", "config"),
    [
        ("", SynchformerConfig(video_depth=1, sound_depth=1, comparing_depth=1)),
        pytest.param("full.", SynchformerConfig(), marks=pytest.mark.slow),
    ],
)
def test_synchformer(depth: str, config: SynchformerConfig) -> None:
    """With one block of each sort, and with all; every 32nd number is kept."""
    table, shapes = REFERENCE_MODELS["synchformer"].table(config), published("synchformer")
    with torch.device("meta"):
        names = Synchformer(config).state_dict()
    state = {key: draw(key, shapes[key]) for key in map(table.published_name, names)}
    network = fill("synchformer", Synchformer, config, state, lambda line: None, table)
    rng = np.random.RandomState(7)
    images = torch.from_numpy(rng.uniform(-1, 1, (1, 16, 3, 224, 224))).float()
    mels = torch.from_numpy(rng.standard_normal((14, 128, 66))).float()
    with np.load(DATA / "synchformer_golden.npz") as file:
        expected = {name: torch.from_numpy(file[depth + name]) for name in ("seen", "heard", "logits")}
    with torch.inference_mode():
        seen, heard = network.encode_video(images), network.encode_sound(mels)
        near(seen[0, :, ::32], expected["seen"])
        near(heard[::4, :, ::32], expected["heard"])
        near(network.compare(seen.expand(14, -1, -1)[None], heard[None])[0], expected["logits"])
        with pytest.raises(ValueError, match="13 segments of video and 14 of sound, expected 14 of both"):
            network.compare(seen.expand(13, -1, -1)[None], heard[None])


# ------------------------------------------------------------------------------------------------ names and files


@pytest.mark.parametrize("name", REFERENCE_MODELS)
def test_names_and_shapes_are_the_published_ones(name: str) -> None:
    shapes = {key: torch.empty(shape, device="meta") for key, shape in published(name).items()}
    shapes.pop("scale_factor", None)
    config = REFERENCE_MODELS[name].config(shapes)
    table = REFERENCE_MODELS[name].table(config)
    converted = {ours: tuple(value.shape) for ours, value in table.convert(name, shapes).items()}
    with torch.device("meta"):
        network = REFERENCE_MODELS[name].network(config)
    assert converted == {ours: tuple(value.shape) for ours, value in network.state_dict().items()}
    modules = {table.short(key).rpartition(".")[0] for key in shapes}
    extra = table.modules.keys() - modules
    # Levels that keep the width or the resolution, and the first one of the classifier, which does not attend.
    assert all(re.search(r"nin_shortcut|skip_connection|\.(down|op)|downsample|input_blocks\.1\.1", x) for x in extra)


def test_parameter_counts() -> None:
    with torch.device("meta"):
        made = {name: model.network(model.config({})) for name, model in REFERENCE_MODELS.items()}
    counts = {name: sum(x.numel() for x in network.parameters()) for name, network in made.items()}
    assert counts["panns"] - 2 * 257 * 512 == 80_753_615, "without the Fourier transform"
    assert counts["vggish"] == sum(math.prod(shape) for shape in published("vggish").values())
    parts = made["alignment"].encoder, made["alignment"].to_posterior
    encoder = sum(x.numel() for part in parts for x in part.parameters())
    assert round(encoder / 1e6, 1) == 34.2
    assert counts["alignment"] - encoder == 11_450_753 + 283_136
    embedding = 768 * 3 * 16 * 16 + 768  # of single images: in the file, and used by nobody
    assert counts["synchformer"] + embedding == 237_460_245


def test_the_front_end_for_32_khz_is_known_by_its_matrices() -> None:
    wide = PannsConfig(sample_rate=32_000, n_fft=1024, hop=320)
    assert REFERENCE_MODELS["panns"].config(front_end(wide)) == wide
    assert REFERENCE_MODELS["panns"].config(front_end(PannsConfig())) == PannsConfig()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reference models of the same names, a thousand times smaller."""
    for name, config in SMALL.items():
        monkeypatch.setitem(
            REFERENCE_MODELS,
            name,
            dataclasses.replace(REFERENCE_MODELS[name], config=lambda state, config=config: config),
        )


@functools.cache
def little(name: str) -> nn.Module:
    torch.manual_seed(0)
    network = REFERENCE_MODELS[name].network(SMALL[name]).eval()
    if name == "panns":
        network.log_mel.melW.copy_(front_end(SMALL["panns"])["logmel_extractor.melW"])
    return network


def published_state(name: str) -> dict[str, Tensor]:
    """The parameters of a little network under their published names."""
    table = REFERENCE_MODELS[name].table(SMALL[name])
    return {table.published_name(key): value.detach().clone() for key, value in little(name).state_dict().items()}


def write(name: str, folder: Path, state: dict[str, Tensor]) -> Path:
    """A state dict wrapped as the published file is."""
    path = folder / REFERENCE_MODELS[name].file
    if name == "panns":  # with the order of the training examples, an array of numpy
        torch.save({"iteration": 1, "model": state, "sampler": {"indexes": np.arange(5), "pointer": 2}}, path)
    elif name == "vggish":
        torch.save(state, path)
    elif name == "synchformer":
        unused = {"vfeat_extractor.patch_embed.proj.bias": torch.zeros(2)}
        torch.save({"model": state | unused, "optimizer": {"state": {}}, "args": argparse.Namespace(a=1)}, path)
    else:
        names = (
            "betas",
            "first_stage_model.decoder.conv_in.weight",
            "first_stage_model.loss.discriminator.main.0.bias",
        )
        save(lightning({**state, **{name: torch.zeros(2) for name in names}}), path)
    return path


@pytest.mark.parametrize("name", SMALL)
def test_a_file_becomes_a_folder_with_the_same_network(name: str, small: None, tmp_path: Path) -> None:
    said: list[str] = []
    path = write(name, tmp_path, published_state(name))
    out = published_models.convert(name, path, tmp_path / "out", say=said.append)
    made = load_part(out)
    assert type(made) is REFERENCE_MODELS[name].network and made.config == SMALL[name]
    for key, value in little(name).state_dict().items():
        torch.testing.assert_close(made.state_dict()[key], value, atol=0, rtol=0)
    assert json.loads((out / "source.json").read_text())[name]["name"] == path.name
    for part in ("decoder", "loss"):
        assert (f"first_stage_model.{part}.* (1)" in said[0]) == (name == "alignment"), "what is left out is said"
    with pytest.raises(WeightsError, match="exists already"):
        published_models.convert(name, path, out)


@pytest.mark.parametrize("name", SMALL)
def test_a_file_that_is_not_the_published_one_is_refused(name: str, small: None, tmp_path: Path) -> None:
    state = published_state(name)
    key = [key for key in state if key.endswith("weight")][-1]

    def refused(changed: dict[str, Tensor], message: str) -> None:
        with pytest.raises(WeightsError, match=message) as caught:
            published_models.convert(name, write(name, tmp_path, changed), tmp_path / "out")
        assert str(caught.value).startswith(str(tmp_path)), "the file is named"
        assert list(tmp_path.iterdir()) == [tmp_path / REFERENCE_MODELS[name].file], "nothing is left behind"

    refused({other: state[other] for other in state if other != key}, f"1 parameters missing: {re.escape(key)}")
    refused(state | {"extra.weight": torch.zeros(1)}, "'extra.weight' has no place")
    refused(state | {key: state[key][..., :-1]}, f"'{re.escape(key)}' has shape")
    refused(state | {key: state[key] * math.nan}, f"'{re.escape(key)}' holds values that are no finite numbers")


def test_the_classifier_that_steers_sampling_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="take eval_classifier.ckpt"):
        published_models.convert("alignment", tmp_path / "double_guidance_classifier.ckpt", tmp_path / "out")


def test_the_scale_of_the_latent_is_the_file_s_own() -> None:
    assert REFERENCE_MODELS["alignment"].config({"scale_factor": torch.tensor(0.5)}).scale == 0.5
    with pytest.raises(WeightsError, match="scale_factor"):
        REFERENCE_MODELS["alignment"].config({"scale_factor": torch.tensor(-1.0)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 3}, "multiples of heads"),
        ({"groups": 24}, "multiples of groups"),
    ],
)
def test_sizes_that_do_not_divide_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LatentAlignmentConfig(**options)
    with pytest.raises(ValueError, match="multiple of the heads"):
        SynchformerConfig(comparing_heads=7)


# ------------------------------------------------------------------------------------------------ fetching


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A server in place of the real ones; returns its folder."""
    monkeypatch.setenv("FRIEREN_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "server"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in SMALL:
        write(name, folder, published_state(name))
        url = f"http://127.0.0.1:{server.server_port}/{REFERENCE_MODELS[name].url.rpartition('/')[2]}"
        monkeypatch.setitem(REFERENCE_MODELS, name, dataclasses.replace(REFERENCE_MODELS[name], url=url))
    yield folder
    server.shutdown()


def test_fetch_then_load(server: Path) -> None:
    runner = CliRunner()
    with pytest.raises(WeightsError, match="frieren weights fetch panns"):
        extractors.load("panns")
    fetched = runner.invoke(app, ["weights", "fetch", "panns"])
    assert fetched.exit_code == 0, fetched.output
    assert "panns: downloading" in fetched.output
    listed = runner.invoke(app, ["weights", "list"]).output
    assert re.search(r"panns .*\(here\)", listed) and re.search(r"vggish .*\(not fetched\)", listed)
    heard = extractors.load("panns")(golden()["wave16k"])
    embedding, logits = little("panns")(golden()["wave16k"][None])
    near(heard["embedding"], embedding, 1e-6)
    near(heard["logits"], logits[0], 1e-6)
    (server / REFERENCE_MODELS["panns"].file).unlink()
    assert published_models.fetch("panns") == published_models.place("panns"), "the second time it comes from the cache"
    unknown = runner.invoke(app, ["weights", "fetch", "pann"])
    assert unknown.exit_code == 2 and "vggish" in unknown.output


def test_what_cannot_be_fetched_is_said_how_to_get_by_hand(server: Path, tmp_path: Path) -> None:
    path = (server / REFERENCE_MODELS["vggish"].file).rename(tmp_path / "vggish.pth")
    with pytest.raises(FetchError, match="404") as caught:
        published_models.fetch("vggish")
    command = next(line.strip() for line in str(caught.value).splitlines() if "weights convert" in line)
    made = CliRunner().invoke(
        app, shlex.split(command.replace(REFERENCE_MODELS["vggish"].file, shlex.quote(str(path))))[1:]
    )
    assert made.exit_code == 0, made.output
    assert extractors.load("vggish").name == "vggish"


def test_a_bad_download_is_fetched_again(server: Path) -> None:
    good = (server / REFERENCE_MODELS["vggish"].file).read_bytes()
    (server / REFERENCE_MODELS["vggish"].file).write_bytes(b"<html>quota</html>")
    with pytest.raises(FetchError, match="HTML"):
        published_models.fetch("vggish")
    (server / REFERENCE_MODELS["vggish"].file).write_bytes(good)
    assert published_models.fetch("vggish").exists()


def test_a_reference_model_is_converted_alone(tmp_path: Path) -> None:
    options = ["--panns", "a.pth", "--cavp", "c.ckpt", str(tmp_path / "out")]
    result = CliRunner().invoke(app, ["weights", "convert", *options])
    assert result.exit_code == 2 and "stands alone" in result.output


# ------------------------------------------------------------------------------------------------ extractors


def test_vggish_gives_a_row_per_patch(small: None, tmp_path: Path) -> None:
    folder = published_models.convert("vggish", write("vggish", tmp_path, published_state("vggish")), tmp_path / "out")
    extractor = extractors.load("vggish", folder)
    wave = golden()["wave16k"]
    near(extractor(wave)["embedding"], little("vggish")(golden()["vggish.examples"]))
    near(extractor(wave)["embedding"], extractor(wave + 0.1)["embedding"])  # the mean does not count
    assert extractor(wave).keys() == {"embedding"}


def test_the_tagger_that_ships(tmp_path: Path) -> None:
    network = Tagger(TaggerConfig(classes=("a", "b"), widths=(4, 8), embed=6)).eval()
    save_part(tmp_path / "tagger", network, network.config)
    extractor = extractors.load("world", tmp_path / "tagger")
    heard = extractor(golden()["wave16k"])
    assert {name: tuple(value.shape) for name, value in heard.items()} == {"embedding": (1, 6), "logits": (2,)}
    near(extractor(torch.ones(10))["logits"], extractor(torch.cat([torch.ones(10), torch.zeros(1014)]))["logits"])
    with pytest.raises(WeightsError, match="nowhere.*frieren train recipes/foleyworld/tagger.toml"):
        extractors.load("world", tmp_path / "nowhere")
    with pytest.raises(WeightsError, match="holds a Tagger, expected a Vggish"):
        extractors.load("vggish", tmp_path / "tagger")
    with pytest.raises(WeightsError, match="no such extractor; choose one of panns, vggish, world"):
        extractors.load("mert")
    before = extractor.digest
    nn.init.zeros_(network.classify.bias)
    save_part(tmp_path / "tagger", network, network.config)
    assert extractors.load("world", tmp_path / "tagger").digest != before


def test_the_alignment_scorer_walks_the_whole_way(small: None, tmp_path: Path) -> None:
    folder = published_models.convert(
        "alignment", write("alignment", tmp_path, published_state("alignment")), tmp_path / "out"
    )
    wave, features = golden()["wave16k"], torch.nn.functional.normalize(torch.randn(40, 8), dim=-1)
    network = little("alignment")
    mean, _ = network.encode(golden()["wav2mel.mel128"][None, :, :512])
    expected = torch.sigmoid(network(0.18215 * mean, features[None, :32])).item()
    scorer = DiffFoleyAlignment(folder, padding="constant")

    def score(given: Tensor) -> float:
        np.savez(tmp_path / "a.npz", feat=given.numpy())
        with torch.inference_mode():
            return scorer.score(scorer.encode_video(tmp_path / "a.npz", 8.0), scorer.encode_sound(wave)).item()

    assert score(features) == pytest.approx(expected, abs=1e-5) == score(features[:32])
    with pytest.raises(ValueError, match="a.npz: 31 CAVP features, expected 32 or more"):
        score(features[:31])
    with pytest.raises(FrierenError):
        score(features[:, :7])
