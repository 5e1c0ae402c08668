"""How good are the judges of `world`: what the tagger and the alignment classifier say of true FoleyWorld clips.

frieren evaluate judges --clips 512
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from frieren import world
from frieren.clock import Clock
from frieren.evaluation.alignment import WorldAlignment
from frieren.evaluation.extractors import Extractor
from frieren.evaluation.intervals import wilson
from frieren.world import Clip

DRAWS = 5  # shifts, and foreign sounds, of every clip
LEAST = 0.5  # seconds, the smallest shift
IMAGE_SIZE = 64  # pixels, height and width of the rendered frames

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

    yes: Sequence[float]
    clips: Sequence[int]

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
            named.yes.append(float(_name(tagger, clip) == clip.kinds[0]))
            named.clips.append(index)
        if clip.timed:
            pairs.add(clip, _shifts(rng, clip.seconds))
        on_clip(index + 1)
    if not pairs.clips:
        raise ValueError(f"no clip of {count} has two visible impacts or a changing activity; take more")
    answers = {"tagger, single source": named} | pairs.ask(rng)
    digests = {"tagger": tagger.digest, "alignment": classifier.digest}
    return QualityReport(answers, split, count, digests)


def _name(tagger: Extractor, clip: Clip) -> str:
    logits = tagger(torch.from_numpy(clip.wave))["logits"]
    return tagger.network.config.classes[int(logits.argmax())]


def _shifts(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """DRAWS rolls in seconds, each LEAST or more away from none either way."""
    return rng.uniform(LEAST, seconds - LEAST, DRAWS)


class _Pairs:
    """What the classifier has seen and heard of the clips so far."""

    def __init__(self, classifier: WorldAlignment) -> None:
        self.classifier = classifier
        self.clips: list[Clip] = []
        self.seen: list = []
        self.heard: list = []
        self.shifted: list = []

    @torch.inference_mode()
    def add(self, clip: Clip, shifts: np.ndarray) -> None:
        wave, rate = torch.from_numpy(clip.wave), self.classifier.sample_rate
        self.seen.append(self.classifier.look(torch.from_numpy(clip.images).float() / 255, clip.seconds))
        self.heard.append(self.classifier(wave))
        self.shifted.append([self.classifier(wave.roll(round(shift * rate))) for shift in shifts])
        self.clips.append(clip)

    @torch.inference_mode()
    def ask(self, rng: np.random.Generator) -> dict[str, Answers]:
        """The answers by type of pair."""
        names = ("true", "shifted", "foreign, another kind", "foreign, same kind")
        answers = {name: Answers([], []) for name in names}
        for place, clip in enumerate(self.clips):
            sounds = {"true": [self.heard[place]], "shifted": self.shifted[place]}
            others = [k for k in range(len(self.clips)) if k != place]
            another = [k for k in others if not set(self.clips[k].kinds) & set(clip.kinds)]
            same = [k for k in others if self.clips[k].kinds[:1] == clip.kinds[:1]]
            for name, there in zip(names[2:], (another, same), strict=True):
                chosen = rng.choice(there, min(DRAWS, len(there)), replace=False) if there else ()
                sounds[name] = [self.heard[k] for k in chosen]
            for name, heard in sounds.items():
                said = [float(self.classifier.judge(self.seen[place], one).round()) for one in heard]
                answers[name].yes.extend(said)
                answers[name].clips.extend([clip.index] * len(said))
        return answers
