"""The schema: true to the service, the same names as the command line, and a page that needs no network."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import browser
import pytest
from fastapi.testclient import TestClient
from serving import Process, processes, service  # noqa: F401

from frieren.apps.generate.options import Options
from frieren.service.schema import JobOptions
from frieren.service.settings import Settings

OPERATORS = {"device", "vocoder", "refine", "isolate", "max_length", "kind"}  # what clients cannot choose


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with service(tmp_path_factory.mktemp("service")) as client:
        client.app.state.running.workers.stop(0)
        yield client


def test_options_are_those_of_the_command_line() -> None:
    theirs = {field.name: field.default for field in dataclasses.fields(Options)}
    ours = {name: field.default for name, field in JobOptions.model_fields.items()}
    assert theirs.keys() - ours.keys() == OPERATORS
    assert ours.keys() - theirs.keys() == {"format"}
    shared = ours.keys() & theirs.keys() - {"precision"}  # which is the service's own where a job asks for none
    assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}
    assert ours["precision"] is None and theirs["precision"] == Settings(folder=Path()).precision


def test_the_schema_has_examples_and_every_refusal(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    assert schema["components"]["schemas"]["JobOptions"]["examples"]
    assert schema["components"]["schemas"]["Job"]["examples"]
    form = schema["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["video"]["format"] == "binary"
    statuses = schema["paths"]["/v1/jobs"]["post"]["responses"].keys()
    assert {"202", "200", "400", "401", "413", "415", "422", "429", "503"} <= statuses
    example = JobOptions.model_validate(schema["components"]["schemas"]["JobOptions"]["examples"][0])
    assert example.sounds == "rain, dog@2-4"


def test_the_page_loads_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/docs").text
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(links) >= 2 and all(link.startswith("/") for link in links)
    for link in links:
        assert client.get(link).status_code == 200, link
    assert client.get("/redoc").status_code == 404


@pytest.mark.slow
@browser.needed
def test_the_page_works_in_a_browser(tmp_path: Path, processes: list[Process]) -> None:  # noqa: F811
    processes.append(Process(tmp_path / "jobs"))
    with browser.browser(tmp_path) as window:
        window.go(f"{processes[0].url}/docs")
        window.wait("return document.body.innerText.includes('Ask for the sound of a video')")
        outside = window.run(
            "return performance.getEntriesByType('resource').map(r => r.name).filter(n => !n.startsWith(arguments[0]))",
            processes[0].url,
        )
        assert outside == [] and window.complaints() == []


def hold_against_the_schema(folder: Path, examples: int, phases: str) -> None:
    """Requests that fit the schema and requests that do not; whatever is found is printed."""
    process = Process(folder / "jobs")
    try:
        # Of random bytes none is a video, which no schema can say.
        line = f"run {process.url}/openapi.json --max-examples {examples} --exclude-checks positive_data_acceptance"
        line += f" --phases {phases} --generation-database none --no-color --seed 1"
        command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", *line.split()]
        found = subprocess.run(command, capture_output=True, text=True, cwd=folder)
        assert found.returncode == 0, found.stdout
    finally:
        process.kill()


def test_answers_are_those_of_the_schema(tmp_path: Path) -> None:
    hold_against_the_schema(tmp_path, 3, "examples,fuzzing")


@pytest.mark.slow
def test_answers_to_many_requests_are_those_of_the_schema(tmp_path: Path) -> None:
    hold_against_the_schema(tmp_path, 200, "examples,coverage,fuzzing,stateful")
