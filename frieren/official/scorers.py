"""The published reference models of evaluations: where they are, how they are converted, where they are kept.

frieren weights fetch panns
frieren weights convert --panns Cnn14_16k_mAP=0.438.pth OUT

None of them is needed to generate. `evaluation.extractors` uses what is made here: a folder with `config.json` and
`model.safetensors`. Names and shapes are those of the official modules.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from frieren.errors import DamagedFileError, OutputError, WeightsError
from frieren.files import cache_folder, write_json
from frieren.nets.scorers.latent_alignment import LatentAlignment, LatentAlignmentConfig
from frieren.nets.scorers.panns import Cnn14, PannsConfig
from frieren.nets.scorers.synchformer import Synchformer, SynchformerConfig
from frieren.nets.scorers.vggish import Vggish, VggishConfig
from frieren.official.checkpoint import read_checkpoint
from frieren.official.convert import Say, State, fill, naming, provenance
from frieren.official.download import download, remote_size
from frieren.official.fetch import FetchError, Progress
from frieren.official.sizes import latent_scale
from frieren.official.synchformer import synchformer_table
from frieren.official.tables import ATTENTIONS, DIFFUSION_BUFFERS, Table, under
from frieren.weights import save_part

PANNS_32K = PannsConfig(sample_rate=32_000, n_fft=1024, hop=320)
GUIDE = "double_guidance_classifier"  # Diff-Foley's other classifier, of the same shapes


@dataclass(frozen=True)
class ReferenceModel:
    """One published network.

    Attributes:
        description: a line for lists.
        url: where its checkpoint is.
        network: what it becomes.
        config: its sizes, from a state dict.
        table: its names, from its sizes.
    """

    description: str
    url: str
    network: type[nn.Module]
    config: Callable[[State], Any]
    table: Callable[[Any], Table]

    @property
    def file(self) -> str:
        """Name of the checkpoint file."""
        return self.url.rpartition("/")[2].replace("%3D", "=")


def panns_config(state: State) -> PannsConfig:
    """Sizes with the one of the two published front ends that is in the file: for 16 or for 32 kHz."""
    cosines = state.get("spectrogram_extractor.stft.conv_real.weight")
    return PANNS_32K if cosines is not None and cosines.shape[-1] == PANNS_32K.n_fft else PannsConfig()


def panns_table(config: PannsConfig) -> Table:
    """Cnn14: the front end's matrices, blocks of two convolutions, two layers."""
    modules = {
        "spectrogram_extractor.stft.conv_real": "log_mel.real",
        "spectrogram_extractor.stft.conv_imag": "log_mel.imaginary",
        "logmel_extractor": "log_mel",
        "bn0": "norm",
        "fc1": "hidden",
        "fc_audioset": "classify",
    }
    block = {"conv1": "conv1", "bn1": "norm1", "conv2": "conv2", "bn2": "norm2"}
    for index in range(len(config.widths)):
        modules |= under(f"conv_block{index + 1}", f"blocks.{index}", block)
    return Table(modules)


def vggish_table(config: VggishConfig) -> Table:
    """VGGish: theirs counts convolutions, activations and poolings through."""
    modules = {f"embeddings.{2 * index}": ours for index, ours in enumerate(("hidden1", "hidden2", "project"))}
    place = 0
    for block, depth in enumerate(config.depths):
        for index in range(depth):
            modules[f"features.{place + 2 * index}"] = f"blocks.{block}.{index}"
        place += 2 * depth + 1
    return Table(modules)


def alignment_config(state: State) -> LatentAlignmentConfig:
    """The published sizes, and the scale of the latent that the file brings."""
    published = LatentAlignmentConfig()
    scale = latent_scale(state["scale_factor"]) if "scale_factor" in state else published.scale
    return LatentAlignmentConfig(scale=scale)


def alignment_table(config: LatentAlignmentConfig) -> Table:
    """Diff-Foley's alignment classifier; of the autoencoder, what makes spectrograms and its loss are left out."""
    modules = {
        "first_stage_model.quant_conv": "to_posterior",
        "cond_model.embedder.0": "project_features",
        "cond_model.pos_emb": "positions",
        **under("first_stage_model.encoder", "encoder", picture_modules(config)),
        **under("model", "", classifier_modules(config)),
    }
    others = tuple(f"first_stage_model.{name}.*" for name in ("decoder", "post_quant_conv", "loss"))
    return Table(modules, (*others, *DIFFUSION_BUFFERS))


def picture_modules(config: LatentAlignmentConfig) -> dict[str, str]:
    """The encoder of the spectrogram."""
    residual = {"norm1": "norm1", "conv1": "conv1", "norm2": "norm2", "conv2": "conv2", "nin_shortcut": "skip"}
    attention = {"norm": "norm", "q": "query", "k": "key", "v": "value", "proj_out": "out"}
    modules = {
        "conv_in": "conv_in",
        **under("mid.block_1", "middle.0", residual),
        **under("mid.attn_1", "middle.1", attention),
        **under("mid.block_2", "middle.2", residual),
        "norm_out": "norm_out",
        "conv_out": "conv_out",
    }
    for level in range(len(config.picture_multipliers)):
        modules[f"down.{level}.downsample.conv"] = f"levels.{level}.down"
        for block in range(config.picture_blocks):
            modules |= under(f"down.{level}.block.{block}", f"levels.{level}.blocks.{block}", residual)
    return modules


def classifier_modules(config: LatentAlignmentConfig) -> dict[str, str]:
    """The down-going half of the U-Net; theirs counts blocks and changes of the resolution through."""
    residual = {
        "in_layers.0": "norm1",
        "in_layers.2": "conv1",
        "emb_layers.1": "project_time",
        "out_layers.0": "norm2",
        "out_layers.3": "conv2",
        "skip_connection": "skip",
    }
    transformer = {
        "norm": "norm",
        "proj_in": "conv_in",
        **ATTENTIONS,
        "transformer_blocks.0.ff.net.0.proj": "widen",
        "transformer_blocks.0.ff.net.2": "narrow",
        "proj_out": "conv_out",
    }
    modules = {
        "time_embed.0": "embed_time.hidden",
        "time_embed.2": "embed_time.out",
        "input_blocks.0.0": "conv_in",
        **under("middle_block.0", "middle1", residual),
        **under("middle_block.1", "middle_attention", transformer),
        **under("middle_block.2", "middle2", residual),
        "out.0": "norm_out",
        "out.2": "conv_out",
        "classifier": "classify",
    }
    for level in range(len(config.widths)):
        modules |= under(f"input_blocks.{2 * level + 1}.0", f"levels.{level}.residual", residual)
        modules |= under(f"input_blocks.{2 * level + 1}.1", f"levels.{level}.attention", transformer)
        modules[f"input_blocks.{2 * level + 2}.0.op"] = f"levels.{level}.down"
    return modules


REFERENCE_MODELS = {
    "panns": ReferenceModel(
        "PANNs Cnn14 for 16 kHz: FD, KID, IS and KL (weights CC-BY-4.0)",
        "https://zenodo.org/records/3987831/files/Cnn14_16k_mAP%3D0.438.pth",
        Cnn14,
        panns_config,
        panns_table,
    ),
    "vggish": ReferenceModel(
        "VGGish: FAD (weights Apache-2.0)",
        "https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth",
        Vggish,
        lambda state: VggishConfig(),
        vggish_table,
    ),
    "alignment": ReferenceModel(
        "Diff-Foley's alignment classifier: the alignment accuracy (no licence of the weights is stated)",
        "https://huggingface.co/SimianLuo/Diff-Foley/resolve/main/diff_foley_ckpt/eval_classifier.ckpt",
        LatentAlignment,
        alignment_config,
        alignment_table,
    ),
    "synchformer": ReferenceModel(
        "Synchformer: DeSync (code MIT; no licence of the weights is stated)",
        "https://a3s.fi/swift/v1/AUTH_a235c0f452d648828f745589cde1219a/sync/sync_models/24-01-04T16-39-21/"
        "24-01-04T16-39-21.pt",
        Synchformer,
        lambda state: SynchformerConfig(),
        synchformer_table,
    ),
}


def place(name: str) -> Path:
    """The folder of a fetched reference model; one that an older version has fetched stays where it is."""
    older = cache_folder() / "judges" / name
    return older if older.exists() else cache_folder() / "scorers" / name


def is_fetched(name: str) -> bool:
    """True if a reference model is in the cache."""
    return (place(name) / "config.json").exists()


def convert(name: str, path: Path, out: Path, *, say: Say = lambda line: None) -> Path:
    """Writes a published reference model as a folder with `config.json` and `model.safetensors`.

    Args:
        name: a key of REFERENCE_MODELS.
        path: the published checkpoint; nothing in it is run.
        out: the new folder; it appears when it is whole.
        say: called with lines: what is written and what is left out.

    Raises:
        WeightsError: if `out` exists, or the file is not what it should be.
        OutputError: if `out` cannot be written.
    """
    if out.exists():
        raise WeightsError(f"{out}: exists already; choose another folder, or remove it")
    if name == "alignment" and GUIDE in path.name:
        raise WeightsError(
            f"{path}: this classifier steers the sampling of noisy latents, and its answers on clean ones mean "
            f"nothing; take {REFERENCE_MODELS[name].file}"
        )
    reference, made = REFERENCE_MODELS[name], out.with_name(f"{out.name}.{os.getpid()}.part")
    try:
        state = read_checkpoint(path)
        with naming(path):
            config = reference.config(state)
            network = fill(name, reference.network, config, state, say, reference.table(config))
        save_part(made, network, config)
        write_json(made / "source.json", {name: provenance(path)})
        os.replace(made, out)
        say(f"{name}: {sum(x.numel() for x in network.parameters()) / 1e6:.1f} M parameters from {path}")
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror or error}); choose another folder") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return out


def fetch(name: str, *, say: Say = lambda line: None, on_progress: Progress = lambda file, done, total: None) -> Path:
    """The folder of a published reference model, from the cache if it is there; otherwise downloaded and converted.

    Args:
        name: a key of REFERENCE_MODELS.
        say: called with lines: how much will be downloaded, before it is, and what the conversion does.

    Raises:
        FetchError: if a server cannot be reached or refuses, or the file is not what it should be.
    """
    if is_fetched(name):
        return place(name)
    reference = REFERENCE_MODELS[name]
    target = cache_folder() / "downloads" / reference.file
    try:
        if not target.exists():
            size = remote_size(reference.url)
            amount = "a file of unknown size" if size is None else f"{size / 1e9:.2f} GB"
            say(f"{name}: downloading {amount} into {target}")
            target.parent.mkdir(parents=True, exist_ok=True)
            download(reference.url, target, on_progress=partial(on_progress, target.name))
        place(name).parent.mkdir(parents=True, exist_ok=True)
        convert(name, target, place(name), say=say)
    except (WeightsError, OutputError, OSError) as error:
        if isinstance(error, DamagedFileError):  # the next time it is downloaded again
            error.path.unlink(missing_ok=True)
        raise FetchError(f"{name}: {error}\n{by_hand(name)}") from error
    target.unlink()
    return place(name)


def by_hand(name: str) -> str:
    """Instructions: what to download, and the command that puts it in its place."""
    reference = REFERENCE_MODELS[name]
    return (
        f"Download by hand\n  {reference.url}\nand convert it:\n"
        f"  frieren weights convert --{name} {reference.file} {shlex.quote(str(place(name)))}"
    )
