"""Captions beside videos, and the CLAP score with a small random model in the format that users' models have."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from frieren.errors import VideoError, WeightsError
from frieren.evaluation.scorers import captions
from frieren.evaluation.scorers.captions import caption

WORDS = "the sound of a ball drum rain".split()


@pytest.fixture(autouse=True)
def forget() -> None:
    """Tables are kept in memory, and a test's folder may be called as another's was."""
    captions.table.cache_clear()
    captions.vggsound.cache_clear()


def script(*names: str) -> str:
    events = [{"kind": name} for name in names[:1]]
    return json.dumps({"world_version": 1, "events": events, "activities": [{"kind": name} for name in names[1:]]})


def test_captions_come_from_a_table_a_script_or_vggsound(tmp_path: Path) -> None:
    (tmp_path / "captions.csv").write_text('id,caption\na,"rain, and wind"\nb,\n')
    (tmp_path / "vggsound.csv").write_text("xyz,30,dog barking,test\nxyz,40,cat,test\nuvw,5,owl hooting,train\n")
    for name, kinds in (("a", ("drum",)), ("b", ("rain", "ball", "rain")), ("silent", ())):
        (tmp_path / f"{name}.json").write_text(script(*kinds))
    (tmp_path / "uvw.json").write_text("[1]")  # of another kind
    said = {name: caption(tmp_path / f"{name}.mp4") for name in ("a", "b", "xyz_000030", "uvw_000005", "uvw")}
    assert list(said.values()) == ["rain, and wind", "ball, rain", "dog barking", "owl hooting", "owl hooting"]
    for name in ("silent", "xyz", "nobody"):  # two clips of xyz have two labels
        with pytest.raises(VideoError, match=f"{name}.mp4: has no caption; write one into .*captions.csv"):
            caption(tmp_path / f"{name}.mp4")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("captions.csv", "video,text\na,b\n", "header is video,text, expected id,caption"),
        ("captions.csv", "name,caption\na,rain, and wind\n", "line 2 has 3 fields, expected 2; quote commas"),
        ("captions.csv", "id,caption\na,x\na,y\n", "line 3 is a second caption of a"),
        ("vggsound.csv", "id,start,label,split\n", "line 1 is id,start,label,split"),
        ("a.json", '{"world_version": 1}', "no script of FoleyWorld"),
        ("a.json", "{", "no script of FoleyWorld"),
    ],
)
def test_a_broken_table_is_named(tmp_path: Path, file: str, text: str, message: str) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(VideoError, match=message):
        caption(tmp_path / "a.mp4")


# ------------------------------------------------------------------------------------------------ with transformers


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small random CLAP."""
    transformers, tokenizers = pytest.importorskip("transformers"), pytest.importorskip("tokenizers")
    folder = tmp_path_factory.mktemp("clap")
    size = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "projection_dim": 8}
    text = transformers.ClapTextConfig(vocab_size=16, num_hidden_layers=1, max_position_embeddings=40, **size)
    sound = transformers.ClapAudioConfig(
        depths=[1, 1], num_attention_heads=[2, 2], patch_embeds_hidden_size=16, hidden_size=32, projection_dim=8,
        num_hidden_layers=2,
    )  # fmt: skip
    config = transformers.ClapConfig(text_config=text.to_dict(), audio_config=sound.to_dict(), projection_dim=8)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.ClapModel(config).save_pretrained(folder)
    words = {word: index for index, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *WORDS])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", model_max_length=30
    ).save_pretrained(folder)
    transformers.ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(folder)
    return folder


@pytest.fixture
def scorer(model: Path):
    from frieren.evaluation.scorers.clap import CaptionAgreement

    return CaptionAgreement(model)


def film(folder: Path, name: str, words: str) -> Path:
    with (folder / "captions.csv").open("a") as file:
        file.write(("" if file.tell() else "id,caption\n") + f"{name},{words}\n")
    (folder / f"{name}.mp4").write_bytes(name.encode())
    return folder / f"{name}.mp4"


def test_the_cosine_is_the_models_own(scorer, model: Path, tmp_path: Path) -> None:
    import transformers

    paths = [film(tmp_path, "a", "the sound of a ball"), film(tmp_path, "b", "rain")]
    wave = torch.from_numpy(0.1 * np.random.default_rng(0).normal(size=480_000)).float()
    with torch.inference_mode():
        scores = torch.cat([scorer.score(scorer.encode_video(path, 8.0), scorer.encode_sound(wave)) for path in paths])
        network = transformers.ClapModel.from_pretrained(model).eval()
        tokens = transformers.AutoTokenizer.from_pretrained(model)(
            ["the sound of a ball", "rain"], padding=True, return_tensors="pt"
        )
        extractor = transformers.ClapFeatureExtractor.from_pretrained(model)
        whole = network(**tokens, **extractor(wave.numpy(), sampling_rate=48_000, return_tensors="pt"))
        expected = (whole.text_embeds @ whole.audio_embeds.mT)[:, 0]
    torch.testing.assert_close(scores.float(), expected, atol=1e-5, rtol=1e-5)
    assert abs(scores[0] - scores[1]) > 1e-4 and scorer.sample_rate == 48_000


def test_a_long_sound_is_cut_and_a_short_one_repeated(scorer) -> None:
    wave = torch.from_numpy(0.1 * np.random.default_rng(0).normal(size=600_000)).float()
    with torch.inference_mode():
        sound = scorer.encode_sound(wave)
        torch.testing.assert_close(scorer.encode_sound(wave[:480_000]), sound, atol=0, rtol=0)
        torch.testing.assert_close(scorer.encode_sound(wave[:240_000]), scorer.encode_sound(wave[:240_000].repeat(2)))


def test_the_score_from_end_to_end(scorer, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("scipy")
    from frieren.evaluation.protocol import PRESETS
    from frieren.evaluation.run import evaluate
    from frieren.evaluation.scorers.cache import FeatureCache

    monkeypatch.setenv("FRIEREN_CLAP", str(model))
    folders = {name: tmp_path / name for name in ("generated", "reference", "films")}
    for folder in folders.values():
        folder.mkdir()
    for index, (name, words) in enumerate((("a", "rain"), ("b", "drum"), ("c", "ball"))):
        film(folders["films"], name, words)
        for folder in ("generated", "reference"):
            noise = 0.1 * np.random.default_rng(index).normal(size=16_000)
            soundfile.write(folders[folder] / f"{name}.wav", noise, 16_000)

    def score(**options: object):
        options = {"scores": ["clap"], "videos": folders["films"], "cache": FeatureCache(tmp_path / "kept")} | options
        return evaluate(folders["generated"], folders["reference"], PRESETS["world"], **options).scores[0]

    first = score()
    assert first.name == "clap" and first.count == 3 and first.digest == scorer.digest and -1 <= first.value <= 1
    assert first.baselines["reference sounds"] == pytest.approx(first.value)
    table = folders["films"] / "captions.csv"
    table.write_text(table.read_text().replace("a,rain", "a,the sound of a ball"))
    captions.table.cache_clear()
    assert score().value != first.value, "the cache knows captions apart"
    table.unlink()
    captions.table.cache_clear()
    with pytest.raises(Exception, match="clap: cannot be read: .*a.mp4: has no caption"):
        score()


def test_what_is_missing_is_said(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.torch import load_file, save_file

    from frieren.evaluation.scorers.clap import CaptionAgreement

    monkeypatch.setenv("FRIEREN_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="scorers.clap: no CLAP model is here.*FRIEREN_CLAP=FOLDER"):
        CaptionAgreement()
    for file in model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(model / "model.safetensors")
    del weights["audio_projection.linear1.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        WeightsError, match="1 parameters missing or unexpected, such as audio_projection.linear1.weight"
    ):
        CaptionAgreement(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="cannot be loaded as a CLAP model"):
        CaptionAgreement(tmp_path)


def test_without_transformers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from frieren.evaluation.scorers.clap import CaptionAgreement

    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(WeightsError, match=r"clap needs transformers .*pip install frieren\[clap\]"):
        CaptionAgreement()
