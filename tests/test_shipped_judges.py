"""The judges that ship: small, whole, and right about clips that they never heard."""

from __future__ import annotations

import torch

from frieren import world
from frieren.catalogue import SHIPPED
from frieren.clock import Clock
from frieren.evaluation import extractors, quality
from frieren.evaluation.alignment import WORLD, WorldAlignment
from frieren.weights import load_part


def test_the_tagger_knows_the_kinds():
    tagger = extractors.load("world")
    classes = tagger.network.config.classes
    right = []
    for index in range(24):
        clip = world.clip("test", index, Clock(), picture=False)
        if len(clip.kinds) == 1:
            said = tagger(torch.from_numpy(clip.wave))["logits"].argmax()
            right.append(classes[said] == clip.kinds[0])
    assert len(right) >= 12 and sum(right) / len(right) >= 0.8


def test_they_are_small():
    files = [path for part in ("tagger", "alignment") for path in (SHIPPED / "judges" / part).iterdir()]
    assert sum(path.stat().st_size for path in files) < 6e6
    assert load_part(WORLD).config.fps == 25.0


def test_the_alignment_classifier_says_yes_and_no():
    tagger, classifier = extractors.load("world"), WorldAlignment()
    rows = {row["question"]: row["share"] for row in quality.measure("valid", 30, tagger, classifier).rows()}
    assert rows["true"] >= 0.85
    assert rows["shifted"] <= 0.10 and rows["foreign, another kind"] <= 0.05
