"""One vocabulary, the field's: private words that a stranger would have to learn are nowhere in code, tests or pages.

Each pattern stands beside the term that is used. It is searched for in every Python file of the package and of the
tests, in recipes and in all pages, but not in this file, in the log of changes, or in readers of older files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import frieren

ROOT = Path(frieren.__file__).parent.parent

# What is searched for -> the standard term.
PRIVATE = {
    r"\b[Ff]oretell\w*|\b[Ff]oretold": "predict, prediction head",
    r"\bPlayers?\b|\bplayers\b": "trainable",
    r"\bjudge_loss|\bGAN judges?\b|\bloss\.judges?\b": "discriminator loss",
    r"\b[Jj]udges\b|\bJUDGES?\b|\bJudge\b": "scorers, or reference models",
    r"\bloss\.solo\b|\bsolo\s*[:=]": "disc_start",
    r"\bloss\.ear\b|\bloss\.named\b|\b[Mm]isnamed\b|\bUNNAMED\b|\b[Ee]ars?\b(?!ly)": "classifier, classification loss",
    r"\bloss\.sampled\b": "sampling_guidance",
    r"\boptim\.(?:fade|decay)\b|^fade\s*=": "lr_gamma, cooldown",
    r"\b[Pp]olish(?:ed|ing)?\b(?! notation)": "Griffin-Lim refinement",
    r'["`]thousandths["`]': "discretised to 1/1000",
    r"\bto the digit\b|\bdigit for digit\b": "bit-exact",
    r"\bway past\b": "skip connection",
    r"\bcomes? on screen\b|\bon its way back\b": "is displayed; in the backward pass",
    r"\b[Ss]o many\b": "n",
    r"\blow line\b": "underscore",
    r"\bsurplus\b|\bmisshapen\b": "unexpected key, shape mismatch",
    r"\b(?:the )?only door\b": "single entry point",
    r"\b[Aa]nnounced\b": "container duration",
    r"\bmoving pictures?\b": "video",
    r"\bhangs? on\b": "depends on",
    r"\b[Ff]oreign\b(?! (?:key|language|file))|\b(?:unlike|alike)\s*[:=(]": "mismatched, negatives",
    r"\bSTRUCK\b|\bstruck\.py": "onsets",
    r"\bTimekeep\w+|\btimekeeping\b": "TimingScorer",
    r"\bHeard\b|\bListener\b|\bhearing\.py": "features, FeatureExtractor",
    r"\bverdicts?\b": "score",
    r"\bPractice\b": "synthetic workload",
    r"\bcrew\b": "pool",
    r"\bby heart\b": "memorised",
    r"\bdemand_\w+": "check_compatible, require_http",
    r"\bNowhere\b": "NullLogger",
    r"\bat home\b(?! on)": "its training length",
    r"\brolled around\b": "circularly shifted",
}
# A file's name -> patterns that it may hold, since it reads what was written under the old names.
OLD_NAMES_ARE_READ = {
    "checkpoint.py",
    "scorers.py",
    "configs.py",
    "weights.py",
    "recipe.py",
    "test_configs.py",
    "test_checkpoint.py",
    "test_training.py",
    "test_weights.py",
    "test_recipe.py",
}


def searched() -> Iterator[Path]:
    """The files that are searched."""
    for folder, pattern in (("frieren", "*.py"), ("tests", "*.py"), ("docs", "*.md"), ("recipes", "*.toml")):
        yield from sorted((ROOT / folder).rglob(pattern))
    yield from (ROOT / name for name in ("README.md", "CONTRIBUTING.md"))


def found_in(path: Path) -> list[str]:
    """The private words of a file: "line: word -> standard term"."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [
        f"{number}: {found[0]} -> {standard}"
        for number, line in enumerate(lines, 1)
        for pattern, standard in PRIVATE.items()
        for found in re.finditer(pattern, line)
    ]


FILES = [path for path in searched() if path != Path(__file__) and path.name not in OLD_NAMES_ARE_READ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_speaks_the_fields_words(path: Path) -> None:
    assert not found_in(path)


def test_private_words_are_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("An early year.\nThe head foretells what the ear hears.\nFour judges.\nA polish notation.\n")
    assert [found.split(" -> ")[0] for found in found_in(page)] == ["2: foretells", "2: ear", "3: judges"]
