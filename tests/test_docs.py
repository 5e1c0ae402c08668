"""README and docs: their code runs, their options exist, their links and numbers hold, and the site builds offline.

Their commands are run by tests/test_commands.py.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import clips
import numpy as np
import pytest
import torch
import typer
from test_house import FLOORS
from typer.core import TyperGroup

import frieren
from frieren import sounds
from frieren.apps.cli import app, main
from frieren.catalogue import SHIPPED
from frieren.conditioning import feature_size
from frieren.nets.field import VectorField
from frieren.pipeline import Model
from frieren.training.recipe import read_recipe

ROOT = Path(frieren.__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
TUTORIAL = DOCS / "own-videos.md"
LONGEST_LINE = 120
USAGE_ERROR = typer.BadParameter.__base__  # of the click that typer brings along


# Pages that still have long lines; this set only shrinks.
LONG_LINES: set[str] = set()


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


class Block(NamedTuple):
    """A fenced block of a page: its language ("" if none is given), its text, and the line where it begins."""

    language: str
    text: str
    line: int


def split(page: Path) -> tuple[list[str], list[Block]]:
    """The lines of a page outside of fences (those inside are ""), and its fenced blocks."""
    prose: list[str] = []
    blocks: list[Block] = []
    fence: tuple[str, int] | None = None
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        inside = fence is not None
        if line.startswith("```"):
            if fence is None:
                fence, inside = (line[3:].strip(), number), True
            else:
                lines = page.read_text(encoding="utf-8").splitlines()[fence[1] : number - 1]
                blocks.append(Block(fence[0], "\n".join(lines), fence[1] + 1))
                fence = None
        prose.append("" if inside else line)
    return prose, blocks


# Prose and links


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_line_of_prose_is_too_long(page: Path) -> None:
    """A row of a table and a picture cannot be broken; everything else can."""
    if name_of(page) in LONG_LINES:
        pytest.xfail("to be wrapped")
    long = [
        f"line {number}: {len(line)}"
        for number, line in enumerate(split(page)[0], 1)
        if len(line) > LONGEST_LINE and not line.lstrip().startswith(("|", "!["))
    ]
    assert not long, long


@pytest.mark.parametrize("page", [*PAGES, *sorted(SHIPPED.rglob("README.md"))], ids=name_of)
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    text = "\n".join(split(page)[0])
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not re.match(r"https?:|mailto:", target):
            assert (page.parent / target).exists(), target


# Code


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the documentation speaks of, as the working folder; every model in it is `tiny`,
    or, where it is called `mini`, one like that which sees cue sheets.

    The clip ends between two columns of a mel, so that whoever forgets to cut its sound is noticed.
    """
    tiny = frieren.load("tiny")
    times = [frame / 25 for frame in range(37)]
    wave = clips.noise(1.48, 16_000)
    clips.video(tmp_path / "clip.mp4", times, sounds=[(wave, 16_000, 0.0)])
    for copy in ("clips/one.mp4", "clips/two.mp4", "more/three.mov"):
        (tmp_path / copy).parent.mkdir(exist_ok=True)
        shutil.copy(tmp_path / "clip.mp4", tmp_path / copy)
    sounds.write(tmp_path / "speech.wav", torch.from_numpy(wave), 16_000)
    np.savez(tmp_path / "clip.npz", feat=np.zeros((50, tiny.field.config.features), np.float32))
    np.save(tmp_path / "clip.npy", np.full((tiny.config.mel.bins, 60), -2, np.float32))
    field = VectorField(dataclasses.replace(tiny.field.config, features=feature_size()))
    cued = Model(dataclasses.replace(tiny.config, name="mini", condition="cues"), {**tiny.parts, "field": field})
    monkeypatch.setattr(frieren, "load", lambda name="mini", **_: cued if str(name).startswith("mini") else tiny)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_code(page: Path) -> dict[str, object]:
    """Run the Python blocks of a page one after the other and return what they define."""
    names: dict[str, object] = {}
    for block in split(page)[1]:
        if block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), names)
    return names


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(block.language == "python" for block in split(page)[1])], ids=name_of
)
def test_code_runs(page: Path, folder: Path) -> None:
    assert run_code(page)


def test_stage_by_stage_gives_the_same_sound_as_generate(folder: Path) -> None:
    """README: the samples are equal, and so is the sound in the video that is written."""
    names = run_code(ROOT / "README.md")
    sound = names["sound"]
    assert len(sound.wave) == 23_680 and len(sound.wave) % 256
    assert torch.equal(names["wave"], sound.wave)
    sound.save("direct.mp4")
    one, other = (sounds.read(path, 16_000) for path in ("direct.mp4", "clip_with_sound.mp4"))
    assert len(one) and np.array_equal(one, other)


# Commands


class Documented(NamedTuple):
    """A `frieren ...` command as a page gives it: the words after `frieren`."""

    page: str
    line: int
    words: tuple[str, ...]


def commands(page: Path) -> Iterator[Documented]:
    """The commands in the blocks of a page; what follows two spaces or a # is a remark; a \\ continues a line."""
    for block in split(page)[1]:
        if block.language not in ("", "console", "bash"):
            continue
        text = re.sub(r"\\\n\s*", "", block.text)
        for offset, line in enumerate(text.splitlines()):
            found = re.match(r"(?:\$ |while |C=\"|torchrun .*-m )?(?:\.venv/bin/)?frieren (?=[a-z-])(.*)", line.strip())
            if found:
                words = re.split(r"\s{2,}|\s#|;|\"$", found[1])[0]
                yield Documented(name_of(page), block.line + offset, tuple(shlex.split(words)))


DOCUMENTED = [one for page in PAGES for one in commands(page) if "..." not in one.words]


def resolve(words: tuple[str, ...]) -> typer.Context:
    """What click makes of a command, without running it; raises typer's usage error where it would be refused."""
    command = typer.main.get_command(app)
    context = command.make_context("frieren", list(words))
    while isinstance(context.command, TyperGroup):
        name, command, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)
    return context


def test_commands_are_found() -> None:
    assert len(DOCUMENTED) > 60
    assert {one.words[0] for one in DOCUMENTED} >= {"generate", "train", "evaluate", "world", "prepare", "weights"}


@pytest.mark.parametrize("command", DOCUMENTED, ids=lambda one: f"{one.page}:{one.line}")
def test_a_command_has_these_options(command: Documented) -> None:
    """Placeholders such as [-o OUT] are left out; a recipe that is in the repository takes the settings."""
    words = tuple(
        word for word in command.words if not word.startswith("[") and not word.endswith("]") and word != "..."
    )
    context = resolve(words)
    if command.words[0] == "train":
        for recipe in map(Path, context.params["recipes"]):
            if recipe.suffix == ".toml":
                assert read_recipe(ROOT / recipe, list(context.params["changes"] or []))
            else:
                assert (ROOT / "recipes" / recipe / "model.toml").exists()


def test_an_unknown_option_is_noticed() -> None:
    with pytest.raises(USAGE_ERROR, match="--nonsense"):
        resolve(("generate", "clip.mp4", "--nonsense"))


def test_the_documented_replay_is_identical(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["generate", "clip.mp4", "--model", "tiny"], ["generate", "--replay", "clip_frieren.mp4.json"]):
        with pytest.raises(SystemExit) as end:
            main(words)
        assert end.value.code == 0
    assert "not identical" not in capsys.readouterr().err


def test_targets_of_make_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        code = "\n".join(block.text for block in split(page)[1])
        inline = " ".join(re.findall(r"`make ([a-z ]+)`", page.read_text(encoding="utf-8"))).split()
        assert {*re.findall(r"^(?:\$ )?make ([a-z]+)", code, re.MULTILINE), *inline} <= targets, name_of(page)


# What the pages say


def test_the_numbers_of_the_page_are_those_of_the_benchmark() -> None:
    """docs/models.md: the first row of aims."""
    models = json.loads((DOCS / "benchmark" / "benchmark.json").read_text())["models"]
    page = (DOCS / "models.md").read_text(encoding="utf-8")
    names = re.findall(r"`([\w-]+)`", re.search(r"^\| \| aim \|(.*)\|$", page, re.MULTILINE)[1])
    assert names == ["foleyworld", "foleyworld-1step", "foleyworld-reflow"]
    row = re.search(r"^\| timing: onset F1, generated / true sound \|[^|]*\|(.*)\|$", page, re.MULTILINE)[1]
    for name, cell in zip(names, row.split("|"), strict=True):
        group = models[name]["timing"]["groups"]["all"]["all"]
        assert cell.strip() == f"{group['value']:.3f}"


def test_the_readme_names_the_models_with_their_steps() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(mini[\w-]*)`[^|]*\| (\d+) \|", readme, re.MULTILINE)
    assert [name for name, _ in rows] == ["mini", "mini-reflow", "mini-1step"]
    for name, steps in rows:
        assert int(steps) == json.loads((SHIPPED / name / "config.json").read_text())["steps"]


def test_the_messages_of_troubleshooting_are_the_programs_own() -> None:
    texts: list[str] = []
    for path in Path(frieren.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "\0" for part in node.values)
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert len(messages) > 30
    for message in messages:
        pattern = re.compile("\0".join(re.escape(part) for part in message.split("…")).replace("\0", "[^\n]*\0[^\n]*"))
        assert any(pattern.search(text) for text in texts), message


def test_the_reference_has_every_public_name() -> None:
    page = (DOCS / "reference.md").read_text(encoding="utf-8")
    for name in frieren.__all__:
        value = getattr(frieren, name)
        known = f"::: {value.__module__}.{value.__qualname__}" in page
        assert known or value.__module__ == "frieren.errors", f"{value.__module__}.{value.__qualname__}"


def test_contributing_shows_the_floors_as_they_are_checked() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    shown = {
        int(floor): set(rooms.split()) for floor, rooms in re.findall(r"^(\d)  ((?:\w+ {1,2})*\w+)", page, re.MULTILINE)
    }
    built = {floor: set(rooms.split()) - {"__init__"} for floor, rooms in FLOORS.items()}
    assert shown == {floor: rooms for floor, rooms in built.items() if rooms != {"__main__"}}


def test_every_page_is_in_the_navigation() -> None:
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert pages == set(re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))


def test_pictures_and_sounds_are_small() -> None:
    gallery = {path: path.stat().st_size for path in (DOCS / "gallery").iterdir()}
    assert gallery and sum(gallery.values()) < 700_000
    assert all(size < (60_000 if path.suffix == ".webp" else 40_000) for path, size in gallery.items())
    assert (DOCS / "demo.webp").stat().st_size < 150_000
    page = (DOCS / "gallery.md").read_text(encoding="utf-8")
    assert all(f"gallery/{path.name}" in page for path in gallery)


def test_the_site_builds_without_warnings_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    site = tmp_path / "site"
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(site)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = sorted(site.rglob("*.html"))
    assert len(pages) >= len(list(DOCS.rglob("*.md")))
    for path in pages:
        text = path.read_text(encoding="utf-8")
        elements = re.findall(r"<(?:script|link|img|iframe|source|audio|video)\b[^>]*>", text)
        assert not [one for one in elements if re.search(r"(?:src|href)=[\"']?(?:https?:)?//", one)], path.name
        assert "doc-heading" in text or path.name != "reference.html"
    for path in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//|@import", path.read_text(encoding="utf-8")), path.name
