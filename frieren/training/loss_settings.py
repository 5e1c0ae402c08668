"""Settings of the losses: [loss] of a recipe, one dataclass a part. The losses are in `tasks/` and `flow`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from frieren.nets.discriminators import DiscriminatorConfig, PatchConfig
from frieren.spectrogram import MelConfig

# What becomes of a crop of a wave: it stays as it is, its peak is brought to 0.95, or it is made quieter at random.
Level = Literal["kept", "peak", "random"]


@dataclass(frozen=True)
class EncoderLoss:
    """Prediction of the sound from the frames, by a small head that is discarded after training."""

    frames: int = 64  # frames in one training crop
    head: int = 128  # width of the head
    bands: int = 20  # log-mel bands that are predicted
    slots: int = 2  # predictions per frame
    settle: int = 10**9  # from this step on, batch normalisation uses its running statistics
    momentum: float = 0.1  # of the running statistics
    onset: float = 4.0  # weight of the onsets, relative to the levels
    what: float = 1.0  # weight of the loudest spectrum of the whole clip, predicted from every frame
    kind: float = 0.0  # weight of the classification of the sounding kinds, which needs labels
    easy: int = 0  # first micro-batches, of clips of FoleyWorld's levels 0 and 1 only


@dataclass(frozen=True)
class ContrastLoss:
    """CAVP's contrast between clips and between parts of a clip; the defaults are the published ones (section 4.1)."""

    frames: int = 16  # frames in one crop: 4 s at 4 frames per second
    crops: int = 3  # of every clip
    apart: int = 8  # frames between the starts of a clip's crops, at least
    temporal: float = 1.0  # weight of the contrast between crops of a clip against that between clips
    # Input of the audio tower: 64 columns per second.
    mel: MelConfig = field(default_factory=lambda: MelConfig(hop=250, bins=128, fmin=125.0, fmax=7600.0))


@dataclass(frozen=True)
class AutoencoderLoss:
    """Reconstruction and Kullback-Leibler terms, each a mean over its elements; adversarial from `disc_start` on.

    The defaults are Make-An-Audio 2's (paper section 4.6).
    """

    columns: int = 256  # mel columns in one training crop
    level: Level = "kept"  # of the crops
    cut: bool = False  # decode a random part of the latent, not always the whole
    kl: float = 1.25e-7  # Make-An-Audio 2's 1e-6 on sums, for its 80 x 624 mels and 20 x 312 latents
    peaks: float = 0.0  # weight of `peak_error`, which the published loss does not have
    # Weights of both parts of the perceptual loss (`tasks.perceptual`), and the folder of its classifier of recordings.
    perceptual: float = 0.0
    divergence: float = 0.0
    classifier: str = ""
    decoder_only: bool = False  # the encoder stays, and with it the latents that a field has learnt
    disc_start: int = 80_001  # step from which on there is a discriminator; a run that ends before has none
    adversarial: float = 1.0  # times the adaptive weight: published as weight 0.5 and factor 2
    r1: float = 3.0  # penalty on the discriminator's gradient; its squares have weight 1, published as 0.5 and factor 2
    discriminator: PatchConfig = field(default_factory=PatchConfig)


@dataclass(frozen=True)
class VocoderLoss:
    """Generator terms of HiFi-GAN and BigVGAN; discriminators from step `disc_start` on."""

    columns: int = 32  # mel columns in one training crop
    margin: int = 4  # further columns on each side, which no loss sees
    level: Level = "peak"  # of the crops; BigVGAN's normalises every one
    disc_start: int = 0  # step from which on there are discriminators
    # L1 of log10 mels. HiFi-GAN and BigVGAN have 45 on natural logarithms, which is 103.6 here (recipes/published);
    # the default is the number of recipes/foleyworld, where there is a spectral loss as well.
    mel: float = 45.0
    spectrum: float = 0.0  # multi-resolution STFT magnitude
    feature: float = 2.0
    adversarial: float = 1.0
    discriminators: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)


@dataclass(frozen=True)
class MeanFlowLoss:
    """MeanFlow's own settings, for a field that predicts average velocities; the defaults are the published ones."""

    spans: float = 0.25  # share of the items that are averaged over a span; the others learn the velocity
    guidance: float = 1.0  # of the field that is learnt, in one evaluation; published: depends on the size
    power: float = 1.0  # of the adaptive weight


@dataclass(frozen=True)
class FieldLoss:
    """Rectified flow with condition dropout (paper sections 3 and 6)."""

    drop: float = 0.2  # probability that an item's features are zero
    weight: Literal["logit-normal", "uniform"] = "logit-normal"  # of the error at t (equation 6)
    # Distribution of t (`tasks.field.draw_times`); "discrete" is the authors'.
    time: Literal["uniform", "discrete", "logit-normal", "early"] = "uniform"
    white: bool = False  # the input layer starts as the whitening of the features; the authors' is random
    join: float = 0.0  # probability that a window is made of two clips; the authors' code has 0.5
    class_weight: float = 0.0  # weight of the classification loss on the end of the flow, which needs labels
    classifier: str = ""  # folder of the classifier behind it; "": the run's own tagger
    further_classifiers: tuple[str, ...] = ()  # folders of others, whose losses are averaged with its own
    onset_weight: float = 0.0  # weight of the onset loss on the end of the flow (`tasks.flow_losses`)
    # Weight of what rises where the cue sheet has no strike, at the end of the flow of models that see by cues.
    stray_weight: float = 0.0
    end_start: int = 0  # step from which on these three count
    mean_flow: MeanFlowLoss = field(default_factory=MeanFlowLoss)


@dataclass(frozen=True)
class PairsLoss(FieldLoss):
    """Reflow and distillation on pairs of the guided field (equations 8, 9); distillation has t = 0 and no weight."""

    drop: float = 0.0
    guidance: float = 4.5  # of the pairs, and inside the loss
    # Guidance of the finished model, whose velocity is rescaled to that of `guidance`; 0: `guidance` itself.
    sampling_guidance: float = 0.0
    steps: int = 25  # solver steps behind each pair
    draws: int = 1  # pairs of each clip, from windows spread over it; published: one, from its first window
    reencode: bool = False  # data is the latent after a way through the spectrogram, as in the authors' code

    @property
    def sampling(self) -> tuple[float, float]:
        """`guidance` and `guidance_rescale` (`flow.guided_velocity`) of the finished model."""
        return (self.sampling_guidance, self.guidance) if self.sampling_guidance else (self.guidance, 0.0)


@dataclass(frozen=True)
class AlignmentLoss:
    """Matched, shifted and mismatched pairs (a half, a quarter, a quarter), and the lag at which the matched agree."""

    shift: float = 0.5  # s, smallest shift of a shifted pair
    shifts: int = 3  # shifted pairs of each clip
    mismatched: int = 4  # mismatched pairs of each clip
    same_class: float = 0.5  # fraction of mismatched sounds that are of the same class
    lag: float = 0.25  # weight of the lag
    gain: float = 0.3  # largest change of level in log10 units: 6 dB


@dataclass(frozen=True)
class TaggerLoss:
    """Cross-entropy of the kinds that sound."""

    columns: int = 384  # mel columns in one training crop
    gain: float = 0.5  # largest change of level in log10 units: 10 dB


@dataclass(frozen=True)
class RecordingsLoss:
    """Cross-entropy of the categories of recordings, whose log-mels are changed at random."""

    columns: int = 96  # mel columns in one training crop; a shorter recording is repeated
    balance: float = 0.5  # a category of n recordings is drawn n^(1 - balance) times as often: 1 means all as often
    smoothing: float = 0.1  # of the targets
    mixed: float = 0.5  # probability that a second recording sounds with the first, at most as loud
    gain: float = 0.0  # largest change of level in log10 units
    warped: float = 0.5  # probability that speed and pitch change
    speed: float = 0.25  # octaves of speed, either way
    pitch: int = 3  # mel bins of pitch, either way
    colour: float = 0.15  # log10 units, standard deviation of a smooth equaliser
    noisy: float = 0.5  # probability of added noise
    noise: tuple[float, float] = (-4.0, -1.75)  # log10 of its level against the loudest
    masks: int = 2  # bands, and spans of time, that are silent (SpecAugment, arXiv:1904.08779)
    mask_bins: int = 13  # of the widest band
    mask_columns: int = 14  # of the longest span
    probe_crops: int = 2  # of each recording, from which the last layer learns alone before anything else does
    probe_steps: int = 100
    # First blocks of the network for photographs that stay as they are, as do its stem and all depthwise filters.
    frozen: int = 2


@dataclass(frozen=True)
class MotionLoss:
    """Instants of strikes in films of the puppet world and of FoleyWorld."""

    seconds: float = 3.0  # of every clip
    delay: float = 0.03  # s by which the sound comes after the picture in real videos
    sharpness: float = 0.04  # s, standard deviation of the target around an instant
    noise: float = 0.4  # standard deviation of what is added to the motion, whose own root mean square is about 1
    mirror: float = 0.5  # probability that a clip is mirrored
    upside_down: float = 0.2  # probability that it stands on its head
    shapes: tuple[float, ...] = (0.45, 0.25, 0.1, 0.2)  # how often each of the puppet world's shapes of picture is seen
    foleyworld: float = 0.0  # share of micro-batches that are FoleyWorld's
    foleyworld_clips: int = 400  # training clips of it
