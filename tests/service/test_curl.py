"""Every curl line of docs/service.md runs as it stands there, and there is one for every route."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from command import make_video
from serving import PATIENCE, Process, processes, until  # noqa: F401

from frieren.service.application import create_app
from frieren.service.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "service.md"
ADDRESS, ID = "http://127.0.0.1:8000", "5f0c3f8e9d5b4a41"


def curls() -> list[str]:
    """The lines of the page, without remarks; those with an ellipsis are no whole ones."""
    lines = re.findall(r"^curl (?!.*\.\.\.).*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.split(r"\s+#", line)[0] for line in lines]


def route_of(line: str, paths: list[str]) -> tuple[str, str]:
    """Method and path of what a line asks for, the path as the schema has it."""
    words = shlex.split(line)
    method = words[words.index("-X") + 1] if "-X" in words else "POST" if "-F" in words else "GET"
    path = next(word for word in words if word.startswith(ADDRESS)).removeprefix(ADDRESS)
    return method, next(known for known in paths if re.fullmatch(re.sub(r"\{\w+\}", r"[\\w-]+", known), path))


def test_there_is_a_line_for_every_route(tmp_path: Path) -> None:
    schema = create_app(Settings(folder=tmp_path, models=("tiny",))).openapi()["paths"]
    routes = {(method.upper(), path) for path, methods in schema.items() for method in methods}
    assert {route_of(line, list(schema)) for line in curls()} == routes


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_lines_run(tmp_path: Path, processes: list[Process]) -> None:  # noqa: F811
    """In their order, with `tiny`, which takes no names of sounds; ids are those that the service gives."""
    make_video(tmp_path / "clip.mp4", 0.4)
    processes.append(Process(tmp_path / "jobs"))
    given, answers = ID, []
    for line in curls():
        line = line.replace(ADDRESS, processes[0].url).replace(ID, given)
        line = line.replace('"model": "mini", "sounds": "rain, dog@2-4"', '"model": "tiny"')
        is_job = "-F video" in line and "/v1/jobs" in line
        if is_job and "options" not in line:
            line = line.replace("-F video", '-F options=\'{"model": "tiny"}\' -F video')

        def run(line: str = line) -> str | None:
            done = subprocess.run(
                [*shlex.split(line), "--fail-with-body"], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE
            )
            assert done.returncode == 0, (line, done.stdout, done.stderr)
            return done.stdout or "nothing printed"

        answers.append(until(run))
        if is_job and "PUT" not in line:
            given = re.search(r'"id":\s*"(\w+)"', answers[-1])[1]
    assert (tmp_path / "clip_frieren.mp4").stat().st_size > 999 == (tmp_path / "head").stat().st_size - 1
    assert '"wave_sha256"' in (tmp_path / "clip_frieren.mp4.json").read_text()
    assert any("event: state" in answer for answer in answers) and any('"workers":1' in answer for answer in answers)
