"""Every command of README, CONTRIBUTING and docs: it runs here on small models and data, or a list says why not.

A command that is new on a page runs as it stands; where that takes long, SMALLER makes it small, and SLOW puts it into
the tests of `pytest -m slow`. What cannot run in a test stands in NOT_RUN with its reason.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import clips
import numpy as np
import pytest
import torch
from command import run
from test_docs import PAGES, ROOT, TUTORIAL, name_of, split

import frieren
from frieren import sounds
from frieren.catalogue import SHIPPED
from frieren.conditioning import feature_size
from frieren.nets.field import VectorField
from frieren.weights import save_model_config, save_part

SHELL = ("", "console", "bash", "sh")  # languages of blocks with commands; trees and the like are called "text"
SCRIPTS = ("docs/own-videos.md", "docs/own-sounds.md")  # pages whose commands build on each other: run as a whole
NETWORK = "needs a network"
SERVICE = "a service, which tests/service/ starts and asks"
NOT_RUN = {
    r"git clone|pip install|python tests/eyes_clips\.py|frieren weights fetch": NETWORK,
    r"frieren weights convert": "the published files have to be fetched first; tests/test_convert.py has small ones",
    r"frieren evaluate GENERATED REFERENCE --preset (paper -o|av-bench)": "networks that have to be fetched first",
    r"frieren evaluate --mos": "answers of people; tests/test_mos.py makes some",
    r"make (setup|tiny)$": "`.ci/run` does it in a fresh environment",
    r"make (demo|mini|foleyworld)\b": "its commands are among those of the Makefile, which are here as well",
    r"while frieren train|frieren train foleyworld": "takes hours; tests/test_stages.py trains such parts",
    r"(C=\S* )?torchrun|C=": "several GPUs; tests/test_machines.py runs torchrun on two processes",
    r"ray start|frieren .*--ray auto": "a cluster; tests/test_scatter.py has one of this machine",
    r"(FRIEREN_TOKEN=\S+ \S+ \S+ \S+ )?frieren serve|curl": SERVICE,
    r"frieren studio": "the service with its page, which tests/service/ drives in a browser",
    r"frieren generate --watch": "goes on until it is stopped; tests/test_watch.py stops it",
    r"ln -s .*ComfyUI|~/ComfyUI/": "ComfyUI, which no test installs; tests/test_comfyui.py has its nodes",
    r"frieren reproduce": "takes minutes to days; `.ci/run` has a quick table, tests/test_reproduction.py cells",
    r"frieren .*rivals": "takes hours; tests/test_rivals.py trains small ones",
    r"frieren bench train": "takes minutes, and measures the machine; tests/test_bench.py runs its parts",
}
# How a command becomes small work. `seeing` sees the frames of FoleyWorld, `cued` sees cue sheets; both are random.
FEW = "--set optim.steps=1 --set optim.batch=2 --set save_every=1"
SMALLER = (
    (r"--model (mini(-1step)?|runs/(mini|sounds)/model\S*)(?= |$)", "--model cued"),
    (
        r"--model (frieren|FOLDER|OTHER|OUT|runs/foleyworld/model\S*)(?= |$)|(?<=pairs )runs/published/model",
        "--model seeing",
    ),
    (r"pairs --model seeing", "pairs seeing"),
    (r"^(frieren generate (?!.*--(model|replay|redo)).*)$", r"\1 --model cued"),
    (r"^(frieren evaluate (timing|sweep) .*)$", r"\1 --clips 2"),
    (r"^(frieren evaluate timing .*)$", r"\1 --steady 2"),
    (r"^(frieren evaluate scorers)$", r"\1 --clips 8"),
    (r"^(frieren evaluate foleyworld .*?)( --limit \d+)?$", r"\1 --limit 2"),
    (r"^(frieren evaluate --listening .*)$", r"\1 --items 2"),
    (r"^(frieren world render .*) --clips \d+", r"\1 --clips 1 --size 32"),
    (r"^(frieren world preview out/kinds)$", r"\1 --kind bell --kind rain"),
    (r"--examples \d+|(?<=--kind rain)$", " --examples 1"),
    (r"mixtures:train:\d+,valid:\d+", "mixtures:train:4,valid:2"),
    (r"(?<=--recordings )(DIR|\$\(AUDIO\))|(?<=--audio )(DIR|recordings|\$\(AUDIO\))|AUDIO", "sounds"),
    (r"evaluate real FOLDER", "evaluate real clips/"),
    (r"--workers \d+", "--workers 0"),
    (r"^(frieren prepare (?!.*--workers).*)$", r"\1 --workers 0"),
    (r"^(frieren train (?!tiny).*)$", rf"\1 {FEW}"),
    (r"\$\(TINY\)", "runs/tiny"),
)
SLOW = r"frieren (prepare|pairs|train|evaluate|world render|world preview|spot|bench)"
PREPARED = "frieren prepare vggsound.csv data/vggsound --videos clips --model seeing --workers 0"
MIXED = (
    "frieren prepare mixtures:train:4,valid:2 data/mixtures --recordings sounds --model mini --seconds 8 --workers 0"
)
BEFORE = {
    r"--replay clip_frieren": "frieren generate clip.mp4 --model cued",
    r"--(replay|from) out/clip_frieren": "frieren generate clip.mp4 -o out/ --model cued",
    r"frieren pairs": f"{PREPARED} --split-list train.txt --split-list valid.txt",
    r"frieren train (mini|recipes/mini)": f"{MIXED} --seconds 8 --fields features,mean,log_variance,wave,mel",
}
CODES = {r"--check": 1}  # random models miss the aims


class Command(NamedTuple):
    """A command as a page gives it, without prompt and remark."""

    page: str
    line: int
    text: str


def commands(page: Path) -> Iterator[Command]:
    """The commands of a page; two spaces or a # begin a remark, a \\ continues a line."""
    for block in split(page)[1]:
        if block.language in SHELL:
            text = re.sub(r"\\\n\s*", "", block.text)
            for offset, line in enumerate(text.splitlines()):
                if line.startswith("$ ") or block.language != "console":
                    words = re.split(r"\s{2,}|\s#|^#", line.strip().removeprefix("$ "))[0]
                    if words:
                        yield Command(name_of(page), block.line + offset, words.replace(".venv/bin/", ""))


def made() -> Iterator[Command]:
    """The commands of the Makefile, those of `$(if ...)` left out."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Makefile").read_text(encoding="utf-8"))
    for number, line in enumerate(text.splitlines(), 1):
        if found := re.match(r"\t\$\(BIN\)/(frieren .*?)( \$\(if.*)?$", line):
            yield Command("Makefile", number, re.sub(r"\s+", " ", found[1]).replace('"', ""))


FOUND = [*(one for page in PAGES for one in commands(page)), *made()]


def is_known(command: Command) -> bool:
    """Whether a command can be run here, or has a reason why not."""
    return reason_of(command) is not None or command.text.startswith("frieren ") and "..." not in command.text


def reason_of(command: Command) -> str | None:
    """Why a command is not run by itself; None if there is no reason."""
    if command.page in SCRIPTS:
        return "its page is run as a whole"
    return next((why for pattern, why in NOT_RUN.items() if re.match(pattern, command.text)), None)


def small(text: str) -> str:
    """A command as it is run here."""
    for pattern, replacement in SMALLER:
        text = re.sub(pattern, replacement, text)
    return text


def test_every_command_is_run_or_has_a_reason() -> None:
    assert len(FOUND) > 120
    unknown = [command for command in FOUND if not is_known(command)]
    assert not unknown, "neither run nor in NOT_RUN"
    assert sum(reason_of(command) is None for command in FOUND) > 60
    for pattern in NOT_RUN:
        assert any(re.match(pattern, command.text) for command in FOUND), f"no page has {pattern}"
    for pattern, _ in SMALLER:
        assert any(re.search(pattern, small_before(command.text, pattern)) for command in FOUND), f"none has {pattern}"


def small_before(text: str, last: str) -> str:
    """A command as far as it is made smaller before a pattern comes."""
    for pattern, replacement in SMALLER:
        if pattern == last:
            break
        text = re.sub(pattern, replacement, text)
    return text


@pytest.mark.parametrize("text", ["sox a.wav b.wav", "frieren generate VIDEO... [-o OUT]"])
def test_a_command_that_no_test_runs_is_noticed(text: str) -> None:
    assert not is_known(Command("README.md", 1, text))


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands speak of, made once."""
    root = tmp_path_factory.mktemp("stock")
    tiny = frieren.load("tiny")
    cued = dataclasses.replace(tiny.field.config, features=feature_size())
    torch.manual_seed(0)
    models = {"seeing": dict(tiny.parts), "cued": {**tiny.parts, "field": VectorField(cued)}}
    del models["cued"]["encoder"]
    for name, parts in models.items():
        condition = "frames" if "encoder" in parts else "cues"
        config = dataclasses.replace(tiny.config, name=name, condition=condition, parts=tuple(parts))
        save_model_config(root / name, config)
        for part, network in parts.items():
            save_part(root / name / part, network, network.config)
    clip = clips.video(root / "clip.mp4", [frame / 25 for frame in range(150)], sounds=[(noise(6.0), 16_000, 0.0)])
    folders = ("clips", "out", "out/base", "out/mini", "out/generated", "out/test", "GENERATED", "REFERENCE")
    for copy in (
        "my_clip.mp4",
        "hammer.mp4",
        "more/three.mov",
        *(f"{each}/{name}.mp4" for each in folders for name in ("one", "two")),
    ):
        (root / copy).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, root / copy)
    manifest = [{"file": f"{name}.mp4", "action": "x", "seconds": 6.0, "events_s": [1.0]} for name in ("one", "two")]
    (root / "clips" / "manifest.json").write_text(json.dumps({"clips": manifest}))
    (root / "my_clip.json").write_text('{"sounds": [{"name": "rain"}], "strikes": [{"time": 1.2}]}')
    np.savez(root / "clip.npz", feat=np.zeros((100, tiny.field.config.features), np.float32))
    np.save(root / "clip.npy", np.full((tiny.config.mel.bins, 250), -2, np.float32))
    (root / "vggsound.csv").write_text("id,start,label,split\none,,rain,train\ntwo,,rain,valid\n")
    for name, listed in (("train", "one"), ("valid", "two"), ("test", ""), ("Train", "one"), ("Test", "two")):
        (root / f"{name}.txt").write_text(f"{listed}\n")
    write_recordings(root / "sounds")
    shutil.copytree(root / "sounds", root / "audio")
    return root


def noise(seconds: float) -> np.ndarray:
    """Noise that comes in bursts, every half of a second."""
    wave = clips.noise(seconds, 16_000)
    return (wave * np.exp(-8 * (np.arange(len(wave)) / 16_000 % 0.5))).astype(np.float32)


def write_recordings(root: Path) -> None:
    """Recordings by category, and a manifest with every split."""
    rows = ["path,split,category"]
    for category in ("dog", "hammer"):
        for split_name in ("train", "valid", "test"):
            path = root / category / f"{split_name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            sounds.write(path, torch.from_numpy(noise(2.0)), 16_000)
            rows.append(f"{path.relative_to(root)},{split_name},{category}")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")


@pytest.fixture
def folder(stock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder like that of a user who has what the documentation speaks of."""
    shutil.copytree(stock, tmp_path / "here")
    (tmp_path / "here" / "frieren").mkdir()
    (tmp_path / "here" / "frieren" / "models").symlink_to(SHIPPED)
    (tmp_path / "here" / "frieren" / "assets").symlink_to(SHIPPED.parent / "assets")
    (tmp_path / "here" / "recipes").symlink_to(ROOT / "recipes")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("FRIEREN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "here"


def cases() -> Iterator[object]:
    """Every command that runs, once."""
    seen: set[str] = set()
    for command in FOUND:
        text = small(command.text)
        if is_known(command) and reason_of(command) is None and text not in seen:
            seen.add(text)
            marks = [pytest.mark.slow] if re.match(SLOW, text) else []
            yield pytest.param(text, marks=marks, id=f"{command.page}:{command.line}: {text[8:60]}")


@pytest.mark.parametrize("text", list(cases()))
def test_a_command_runs(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = [first for pattern, first in BEFORE.items() if re.search(pattern, text)]
    wanted = next((code for pattern, code in CODES.items() if re.search(pattern, text)), 0)
    for each, code in [*((first, 0) for first in before), (text, wanted)]:
        assert run(*shlex.split(each)[1:]) == code, f"{each}: {capsys.readouterr().err}"


@pytest.mark.slow
@pytest.mark.parametrize("page", SCRIPTS)
def test_a_page_that_is_a_script_runs(page: str, folder: Path) -> None:
    """From its first command to its last, with fewer clips and steps."""
    program = folder / "bin" / "frieren"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m frieren "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    shutil.rmtree(folder / "clips")
    (folder / "sounds" / "manifest.csv").unlink()  # that of somebody who has folders alone
    script = []
    for command in commands(ROOT / page):
        text = re.sub(r"--clips \d+", "--clips 6", command.text).replace("head -20", "head -4")
        text = text.replace("tail -4", "tail -2").replace("mixtures:train:1500,valid:64", "mixtures:train:4,valid:2")
        few = " --set optim.steps=2 --set optim.batch=2 --set save_every=1" if "frieren train" in text else ""
        script.append(text + few)
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-e", "-x"], input="\n".join(script), text=True, cwd=folder, env=environment, capture_output=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    if page == name_of(TUTORIAL):
        assert len(list((folder / "out" / "mine").glob("*.mp4"))) == 2
        scores = json.loads((folder / "scores" / "mine" / "scores.json").read_text())
        assert "onset_f1_50ms" in json.dumps(scores)
        assert frieren.load(folder / "runs" / "mine" / "model").config.steps == 25
