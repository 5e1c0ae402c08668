"""How good are the judges of `world`: what the tagger and the alignment classifier say of true FoleyWorld clips.

frieren evaluate judges --clips 512
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from frieren import world
from frieren.clock import Clock
from frieren.evaluation.intervals import wilson
from frieren.evaluation.scorers.alignment import WorldAlignment
from frieren.evaluation.scorers.extractors import Extractor
from frieren.evaluation.timing.chance import strangers
from frieren.world import Clip

DRAWS = 5  # shifts, and foreign sounds, of every clip
LEAST = 0.5  # seconds, the smallest shift
IMAGE_SIZE = 64  # pixels, height and width of the rendered frames

PAIRS = ("true", "shifted", "foreign, another kind", "foreign, same kind")

# Share that a judge should reach, and whether it is a least or a most.
AIMS: Mapping[str, tuple[float, str] | None] = {
    "tagger, single source": (0.90, "at least"),
    "true": (0.95, "at least"),
    "shifted": (0.10, "at most"),
    "foreign, another kind": (0.05, "at most"),
    "foreign, same kind": None,
}


@dataclass(frozen=True)
class Answers:
    """Yes and no to one question.

    Attributes:
        yes: [N] 0 or 1.
        clips: [N] the clip of each answer; intervals keep those of a clip together.
    """

    yes: list[float]
    clips: list[int]

    @property
    def share(self) -> float:
        """Of yes; NaN of no answers."""
        return float(np.mean(self.yes)) if self.yes else float("nan")


@dataclass(frozen=True)
class QualityReport:
    """Shares of yes by question, and the networks that gave them."""

    answers: Mapping[str, Answers]
    split: str
    clips: int
    digests: Mapping[str, str]

    def rows(self) -> list[dict]:
        """One row per question: share, 95 % interval, answers, clips, aim and whether it is met."""
        rows = []
        for name, one in self.answers.items():
            aim, how = AIMS[name] or (None, "")
            met = None if aim is None else bool(one.share >= aim if how == "at least" else one.share <= aim)
            interval = wilson(np.array(one.yes), one.clips) if one.yes else None
            rows.append(
                {
                    "question": name, "share": one.share, "interval": list(interval[:2]) if interval else None,
                    "answers": len(one.yes), "clips": len(set(one.clips)), "aim": aim and f"{how} {aim:g}", "met": met,
                }
            )  # fmt: skip
        return rows

    def to_json(self) -> str:
        """The rows, and what they are of."""
        body = {"world_version": world.WORLD_VERSION, "split": self.split, "clips": self.clips, "draws": DRAWS}
        return json.dumps(body | {"networks": dict(self.digests), "rows": self.rows()}, indent=2) + "\n"

    def markdown(self) -> str:
        """The rows as a table."""
        lines = [
            "| says yes to | share | 95 % interval | answers | clips | aim | met |",
            "|---|--:|--:|--:|--:|--:|---|",
        ]
        for row in self.rows():
            interval = " … ".join(f"{bound:.3f}" for bound in row["interval"] or ())
            met = {True: "yes", False: "no", None: "–"}[row["met"]]
            lines.append(
                f"| {row['question']} | {row['share']:.3f} | {interval} | {row['answers']} | {row['clips']} "
                f"| {row['aim'] or '–'} | {met} |"
            )
        return "\n".join(lines) + "\n"


def measure(
    split: str,
    count: int,
    tagger: Extractor,
    classifier: WorldAlignment,
    *,
    seed: int = 0,
    on_clip: Callable[[int], None] = lambda done: None,
) -> QualityReport:
    """Ask both judges about the first `count` clips of a split.

    The tagger is asked for the kind of clips with one source. The classifier is asked about clips in which a shift
    can be seen (`Clip.timed`): with their own sound, with it rolled around by LEAST seconds or more, and with the
    sounds of other such clips, which share no kind with it, or have its main kind.

    Raises:
        ValueError: there is not a clip to ask about.
    """
    clock = Clock(fps=classifier.network.config.fps, sample_rate=classifier.sample_rate)
    rng, pairs = np.random.default_rng(seed), _Pairs(classifier)
    named = Answers([], [])
    for index in range(count):
        clip = world.clip(split, index, clock, IMAGE_SIZE)
        if len(clip.kinds) == 1:
            named.yes.append(float(heard_kind(tagger, torch.from_numpy(clip.wave)) == clip.kinds[0]))
            named.clips.append(index)
        if clip.timed:
            pairs.add(clip, _shifts(rng, clip.seconds))
        on_clip(index + 1)
    if not pairs.clips:
        raise ValueError(f"no clip of {count} has two visible impacts or a changing activity; take more")
    pairs.ask_foreign(rng)
    answers = {"tagger, single source": named} | pairs.answers
    digests = {"tagger": tagger.digest, "alignment": classifier.digest}
    return QualityReport(answers, split, count, digests)


def heard_kind(tagger: Extractor, wave: Tensor) -> str:
    """The kind of FoleyWorld that the tagger hears most of in a wave [S]."""
    logits = tagger(wave)["logits"]
    return tagger.network.config.classes[int(logits.argmax())]


def _shifts(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """DRAWS rolls in seconds, each LEAST or more away from none either way."""
    return rng.uniform(LEAST, seconds - LEAST, DRAWS)


class _Pairs:
    """What the classifier has seen and heard of the clips so far, and its answers."""

    def __init__(self, classifier: WorldAlignment) -> None:
        self.classifier = classifier
        self.clips: list[Clip] = []
        self.seen: list = []
        self.heard: list = []
        self.answers = {name: Answers([], []) for name in PAIRS}

    @torch.inference_mode()
    def add(self, clip: Clip, shifts: np.ndarray) -> None:
        """Look at and listen to a clip; ask about its own sound, and about that rolled by `shifts` [N] seconds."""
        wave, rate = torch.from_numpy(clip.wave), self.classifier.sample_rate
        seen = self.classifier.look(torch.from_numpy(clip.images).float() / 255, clip.seconds)
        heard = self.classifier(wave)
        self._ask("true", clip, seen, [heard])
        self._ask("shifted", clip, seen, [self.classifier(wave.roll(round(shift * rate))) for shift in shifts])
        self.clips.append(replace(clip, images=None, wave=None))
        self.seen.append(seen)
        self.heard.append(heard)

    @torch.inference_mode()
    def ask_foreign(self, rng: np.random.Generator) -> None:
        """Ask about the sounds of other clips, DRAWS of each type where there are as many."""
        kinds = [clip.kinds for clip in self.clips]
        for place, clip in enumerate(self.clips):
            another = strangers(kinds, place)
            same = [k for k, other in enumerate(kinds) if k != place and other[:1] == clip.kinds[:1]]
            for name, there in zip(PAIRS[2:], (another, same), strict=True):
                chosen = rng.choice(there, min(DRAWS, len(there)), replace=False) if there else ()
                self._ask(name, clip, self.seen[place], [self.heard[k] for k in chosen])

    def _ask(self, name: str, clip: Clip, seen: dict, sounds: list[dict]) -> None:
        said = [float(self.classifier.judge(seen, heard).round()) for heard in sounds]
        self.answers[name].yes.extend(said)
        self.answers[name].clips.extend([clip.index] * len(said))
