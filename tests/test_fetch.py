"""A published model by name: fetched from local servers in place of the real ones, converted, cached; and by hand."""

from __future__ import annotations

import functools
import http.server
import inspect
import re
import shlex
import threading
from pathlib import Path

import pytest
import requests
import torch
import yaml
from test_convert import ARGS, AUTOENCODER, ENCODER, VOCODER, lightning, published_state, save, weight_normed
from typer.testing import CliRunner

import frieren
from frieren.apps.cli import app
from frieren.nets.autoencoder import MelAutoencoder
from frieren.nets.bigvgan import BigVGAN
from frieren.nets.cavp import VideoTower
from frieren.nets.field import FieldConfig, VectorField
from frieren.official import fetch as fetching
from frieren.official.checkpoint import read_checkpoint
from frieren.official.releases import AUTOENCODER as AUTOENCODER_FOLDER
from frieren.official.releases import RELEASES
from frieren.official.releases import VOCODER as VOCODER_FOLDER
from frieren.official.scorers import REFERENCE_MODELS


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """The released files, small, as they lie on the servers."""
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("servers")
    field = VectorField(FieldConfig(features=16, context=16, width=32, depth=1, ffn_mult=2, ffn_kernel=3))
    state = published_state("field", field) | published_state(
        "autoencoder", MelAutoencoder(AUTOENCODER), "first_stage_model."
    )
    save(lightning(state), root / "epoch=99.ckpt")
    save(lightning(published_state("autoencoder", MelAutoencoder(AUTOENCODER))), root / "vae.ckpt")
    save({"generator": weight_normed(published_state("vocoder", BigVGAN(VOCODER)))}, root / "best_netG.pt")
    (root / "args.yml").write_text(yaml.safe_dump(ARGS))
    save({"state_dict": published_state("encoder", VideoTower(ENCODER))}, root / "cavp.ckpt")
    return root


class Quiet(http.server.SimpleHTTPRequestHandler):
    asked: list[str] = []

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()


@pytest.fixture
def servers(published, tmp_path, monkeypatch) -> list[str]:
    """Drive and Hub, answered by this machine; returns the paths that were downloaded."""
    monkeypatch.setenv("FRIEREN_CACHE", str(tmp_path / "cache"))
    Quiet.asked = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(published)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/"

    def listed(folder: str) -> list[tuple[str, str]]:
        files = {VOCODER_FOLDER: ("args.yml", "best_netG.pt"), AUTOENCODER_FOLDER: ("vae.ckpt",)}.get(
            folder, ("epoch=99.ckpt",)
        )
        return [(f"some folder/{file}", address + file) for file in files]

    monkeypatch.setattr(fetching, "list_drive", listed)
    monkeypatch.setattr(fetching, "cavp_url", lambda: address + "cavp.ckpt")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: str(published / "cavp.ckpt"))
    yield Quiet.asked
    server.shutdown()


def test_first_use_says_how_much_then_fetches_and_converts(servers, published, tmp_path, caplog):
    with caplog.at_level("WARNING", logger="frieren"):
        model = frieren.load("frieren-distilled")
    said = caplog.messages[0]
    assert re.search(r"downloading 4 files, 0\.\d+ GB, into .*cache", said), said
    assert (model.config.name, model.config.steps, model.published) == ("frieren-distilled", 1, True)
    assert model.sample(torch.randn(32, 16)).shape == (20, 256)
    assert sorted(servers) == ["/args.yml", "/best_netG.pt", "/epoch=99.ckpt"]
    kept = sorted(path.name for path in (tmp_path / "cache" / "downloads").rglob("*") if path.is_file())
    assert kept == ["args.yml", "best_netG.pt"], "the flow is in the model now; the vocoder serves others"
    frieren.load("frieren-distilled")
    assert len(servers) == 3, "the second time it comes from the cache"
    frieren.load("frieren")
    assert sorted(servers[3:]) == ["/epoch=99.ckpt"], "the vocoder serves all models"


def test_the_command(servers, tmp_path):
    result = CliRunner().invoke(app, ["weights", "fetch", "frieren-reflow"])
    assert result.exit_code == 0, result.output
    assert "downloading 4 files" in result.output and "--model frieren-reflow" in result.output
    listed = CliRunner().invoke(app, ["weights", "list"]).output
    assert re.search(r"frieren-reflow .*\(here\)", listed) and re.search(r"frieren-distilled .*\(not fetched\)", listed)


def test_offline_it_says_what_to_do_by_hand_and_that_works(published, tmp_path, monkeypatch):
    monkeypatch.setenv("FRIEREN_CACHE", str(tmp_path / "cache"))
    calls = []

    def unreachable(*_: object, **__: object) -> None:
        calls.append(1)
        raise requests.ConnectionError("name not resolved")

    monkeypatch.setattr("gdown.download_folder", unreachable)
    with pytest.raises(fetching.FetchError, match="cannot be listed") as caught:
        frieren.load("frieren-reflow")
    text = str(caught.value)
    assert len(calls) == 1, "at once"
    for address in (RELEASES["frieren-reflow"].flow, VOCODER_FOLDER, "SimianLuo/Diff-Foley"):
        assert address in text
    (tmp_path / "vocoder").mkdir()
    for name in ("best_netG.pt", "args.yml"):
        (tmp_path / "vocoder" / name).write_bytes((published / name).read_bytes())
    command = next(line.strip() for line in text.splitlines() if "weights convert" in line)
    for placeholder, path in (
        ("FILE.ckpt", published / "epoch=99.ckpt"),
        ("FOLDER", tmp_path / "vocoder"),
        ("cavp_epoch66.ckpt", published / "cavp.ckpt"),
    ):
        command = command.replace(placeholder, shlex.quote(str(path)))
    result = CliRunner().invoke(app, shlex.split(command)[1:])
    assert result.exit_code == 0, result.output
    assert frieren.load("frieren-reflow").config.steps == 5


def test_a_bad_file_is_named_and_fetched_again(servers, tmp_path):
    bad = tmp_path / "cache" / "downloads" / "frieren.ckpt"
    bad.parent.mkdir(parents=True)
    bad.write_text("<html>quota</html>")
    with pytest.raises(fetching.FetchError, match="frieren.ckpt.*HTML"):
        fetching.fetch("frieren")
    assert fetching.fetch("frieren").name == "frieren"


@pytest.mark.parametrize("name", ["vocoder/best_netG.pt", "vocoder/args.yml"])
def test_any_bad_file_is_fetched_again(servers, tmp_path, name):
    bad = tmp_path / "cache" / "downloads" / name
    bad.parent.mkdir(parents=True)
    bad.write_text("<html>quota</html>")
    with pytest.raises(fetching.FetchError, match=name):
        fetching.fetch("frieren")
    assert fetching.fetch("frieren").name == "frieren"


def test_a_file_that_cannot_be_read_or_does_not_fit_is_kept(servers, tmp_path, monkeypatch):
    """Gigabytes are not thrown away for what says nothing about them."""
    fetching.fetch("frieren")
    file, out = tmp_path / "cache" / "downloads" / "frieren-reflow.ckpt", tmp_path / "cache" / "models"

    def refused(path: Path) -> None:
        raise frieren.WeightsError(f"{path}: cannot be read (Permission denied)")

    with monkeypatch.context() as patch, pytest.raises(fetching.FetchError, match="Permission denied"):
        patch.setattr("frieren.official.convert.read_checkpoint", refused)
        fetching.fetch("frieren-reflow")
    assert file.exists()
    save(lightning({"model.diffusion_model.other": torch.zeros(1)}), file)
    with pytest.raises(fetching.FetchError, match=f"{file}: .*is this the published flow checkpoint"):
        fetching.fetch("frieren-reflow")
    assert file.exists() and not (out / "frieren-reflow").exists()


def test_a_flow_without_its_autoencoder_is_completed(servers, published, tmp_path):
    """From the folder of the autoencoder alone, which is then kept for the other models."""
    flow = tmp_path / "cache" / "downloads" / "frieren.ckpt"
    without_autoencoder(published, flow)
    said = []
    model = fetching.fetch("frieren", say=said.append)
    assert frieren.load(model).decode(torch.zeros(20, 8)).shape == (80, 16)
    assert "/vae.ckpt" in servers and "frieren.ckpt lacks the mel autoencoder" in said[1]
    assert (flow.parent / "vae.ckpt").exists() and not flow.exists()


def test_a_flow_that_cannot_be_completed_is_kept(servers, published, tmp_path, monkeypatch):
    flow, listed = tmp_path / "cache" / "downloads" / "frieren.ckpt", fetching.list_drive
    without_autoencoder(published, flow)
    monkeypatch.setattr(fetching, "list_drive", lambda folder: [] if folder == AUTOENCODER_FOLDER else listed(folder))
    with pytest.raises(
        fetching.FetchError, match=f"expected one .ckpt file, found 0(?s:.*)--vae.*{AUTOENCODER_FOLDER}"
    ):
        fetching.fetch("frieren")
    assert flow.exists() and not (tmp_path / "cache" / "models" / "frieren").exists()


def without_autoencoder(published: Path, flow: Path) -> None:
    """Puts a flow checkpoint that lacks the autoencoder where the download would be."""
    flow.parent.mkdir(parents=True)
    state = read_checkpoint(published / "epoch=99.ckpt")
    save(lightning({key: x for key, x in state.items() if not key.startswith("first_stage_model.")}), flow)


def test_a_drive_folder_is_listed_by_gdown(monkeypatch):
    from importlib import import_module

    gdown_folder = import_module("gdown.download_folder")

    listed = [gdown_folder.GoogleDriveFileToDownload(id="1aB", path="epoch=99.ckpt", local_path="x/epoch=99.ckpt")]
    parameters, asked = inspect.signature(gdown_folder.download_folder).parameters, {}
    monkeypatch.setattr("gdown.download_folder", lambda url, **options: asked.update(options, url=url) or listed)
    release = RELEASES["frieren"]
    remote = fetching.checkpoint_in(release.flow, "frieren.ckpt")
    assert asked["url"] == release.flow and asked["skip_download"] is True
    assert "id=1aB" in remote.url and remote.target == "frieren.ckpt"
    assert asked.keys() <= parameters.keys(), "gdown takes what it is asked"


@pytest.mark.parametrize(
    ("files", "message"),
    [([], "expected one .ckpt file, found 0"), (["a.ckpt", "b.ckpt"], "found 2")],
)
def test_a_folder_that_changed(servers, monkeypatch, files, message):
    monkeypatch.setattr(fetching, "list_drive", lambda folder: [(name, "http://127.0.0.1/") for name in files])
    with pytest.raises(fetching.FetchError, match=message):
        fetching.fetch("frieren")


def test_unknown_names(servers):
    with pytest.raises(frieren.WeightsError, match="not a published model"):
        fetching.fetch("frieren-xl")


@pytest.mark.network
@pytest.mark.parametrize("folder", [release.flow for release in RELEASES.values()] + [AUTOENCODER_FOLDER])
def test_a_published_folder_still_has_its_checkpoint(folder):
    assert fetching.checkpoint_in(folder, "a.ckpt").url.startswith("https://")


@pytest.mark.network
def test_the_other_published_files_are_still_there():
    assert len(list(fetching.vocoder_files())) == 2
    for url in (fetching.cavp_url(), *(model.url for model in REFERENCE_MODELS.values())):
        assert fetching.remote_size(url) is None or fetching.remote_size(url) > 1e6, url
