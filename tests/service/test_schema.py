"""The schema: true to the service, the same names as the command line, and a page that needs no network."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import browser
import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import settings
from serving import Process, processes, service  # noqa: F401

from frieren.apps.generate.options import Options
from frieren.service.schema import JobOptions

OPERATORS = {"device", "precision", "vocoder", "refine", "isolate", "max_length", "kind"}  # what clients cannot choose


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
    assert {name: ours[name] for name in ours.keys() & theirs.keys()} == {
        name: theirs[name] for name in ours.keys() & theirs.keys()
    }


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
@pytest.mark.skipif(None in browser.programs(), reason="needs chromium and chromedriver")
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


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[schemathesis.BaseSchema]:
    process = Process(tmp_path_factory.mktemp("process") / "jobs")
    yield schemathesis.openapi.from_url(f"{process.url}/openapi.json")
    process.kill()


by_the_schema = schemathesis.pytest.from_fixture("api")


@by_the_schema.parametrize()
@settings(max_examples=4, deadline=None)
def test_answers_are_those_of_the_schema(case: schemathesis.Case) -> None:
    """Requests that fit the schema, and requests that do not."""
    case.call_and_validate()


@pytest.mark.slow
@by_the_schema.parametrize()
@settings(max_examples=300, deadline=None)
def test_answers_to_many_requests_are_those_of_the_schema(case: schemathesis.Case) -> None:
    case.call_and_validate()
