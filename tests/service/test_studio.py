"""What the studio asks of the service besides jobs: its page, cue sheets of uploads, categories; and its command."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import make_video, run
from fastapi.testclient import TestClient
from serving import service

from frieren.apps.web import studio
from frieren.categories import categories
from frieren.cues import from_json
from frieren.errors import VideoError
from frieren.service.studio import page, sight
from frieren.spotting import look


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with service(tmp_path_factory.mktemp("service"), max_seconds=3.0) as client:
        client.app.state.running.workers.stop(0)
        yield client


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("clips") / "clip.mp4", 1.0)


def spot(client: TestClient, content: bytes, name: str = "clip.mp4", **options: Any) -> Any:
    return client.post("/v1/cues", files={"video": (name, content)}, **options)


def leftovers(client: TestClient) -> list[Path]:
    return list((client.app.state.running.settings.folder / "jobs").iterdir())


def test_the_page_and_all_that_it_loads_is_there_and_nothing_else(client: TestClient) -> None:
    answer = client.get("/", follow_redirects=True)
    assert answer.url.path == "/studio/" and answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy and "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|\sstyle=", answer.text)
    ahead, seen = {*re.findall(r'(?:src|href)="([^"]+)"', answer.text)}, set()
    while ahead:
        seen.add(name := ahead.pop())
        found = client.get(f"/studio/{name}")
        assert found.status_code == 200 and found.headers["content-security-policy"] == policy, name
        if name.endswith(".js"):
            assert found.headers["content-type"].startswith("text/javascript")
            ahead |= {*re.findall(r'from "\./([^"]+)"', found.text)} - seen
    assert seen == page.FILES.keys() - {"index.html"}
    assert client.get("/studio/example.mp4").content == page.EXAMPLE.read_bytes()
    for name in ("..%2f..%2fversion.py", "nothing.js", "%2fetc%2fpasswd"):
        assert client.get(f"/studio/{name}").status_code == 404


def test_the_page_asks_for_nothing_elsewhere() -> None:
    for path in page.FILES.values():
        addresses = {*re.findall(r"https?://[^\s\"'`)]+", path.read_text(encoding="utf-8"))}
        assert addresses <= {"http://www.w3.org/2000/svg"}, path.name


@pytest.fixture(scope="module")
def told(client: TestClient, clip: Path) -> Any:
    return spot(client, clip.read_bytes(), "../x/my clip.mp4").json()


def test_an_upload_is_spotted_as_a_file_is_and_nothing_of_it_stays(client: TestClient, clip: Path, told: Any) -> None:
    known = look(clip)
    assert from_json(json.dumps(told["cues"])) == known.cues
    assert [guess["name"] for guess in told["likeliest"]] == [name for name, _ in known.likeliest[: sight.GUESSES]]
    assert told["video"]["name"] == "my clip.mp4" and told["video"]["fps"] == 25.0
    assert told["video"]["seconds"] == 1.0 and not leftovers(client)


def test_events_tell_the_progress_and_end_with_the_same_sheet(client: TestClient, clip: Path, told: Any) -> None:
    answer = spot(client, clip.read_bytes(), "my clip.mp4", headers={"Accept": "text/event-stream"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = re.findall(r"event: (\w+)\r?\ndata: (.*?)\r?\n", answer.text)
    assert {kind for kind, _ in events[:-1]} <= {"progress"} and events[-1][0] == "sight"
    assert json.loads(events[-1][1]) == told and not leftovers(client)


def test_what_cannot_be_spotted_is_refused_with_a_reason(client: TestClient, clip: Path, tmp_path: Path) -> None:
    long = make_video(tmp_path / "long.mp4", 3.2).read_bytes()
    refused = {
        415: [spot(client, b"no video"), client.post("/v1/cues", json={})],
        422: [spot(client, b""), spot(client, long), client.post("/v1/cues", files={"film": ("x", b"x")})],
        400: [client.post("/v1/cues", content=b"x", headers={"content-type": "multipart/form-data"})],
    }
    for status, answers in refused.items():
        for answer in answers:
            assert answer.status_code == status and answer.json()["detail"], answer.text
    assert client.put("/v1/cues").headers["Allow"] == "POST" and not leftovers(client)


@pytest.mark.parametrize(("error", "status"), [(VideoError("input: broken"), 415), (RuntimeError("odd"), 415)])
def test_a_fault_while_it_is_looked_at_is_told_as_a_refusal_or_an_event(
    client: TestClient, clip: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def fail(self: Any, look: Any, on_progress: Any) -> None:
        raise error

    monkeypatch.setattr(sight.Sights, "_looked", fail)
    answer = spot(client, clip.read_bytes())
    assert answer.status_code == status and answer.json()["detail"].startswith("clip.mp4: ")
    streamed = spot(client, clip.read_bytes(), headers={"Accept": "text/event-stream"})
    assert streamed.status_code == 200 and "event: error" in streamed.text and not leftovers(client)


def test_no_more_are_taken_in_than_can_be_looked_at(
    client: TestClient, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sight, "MOST", 0)
    answer = spot(client, clip.read_bytes())
    assert answer.status_code == 429 and answer.headers["Retry-After"]


def test_categories_are_those_of_the_table(client: TestClient) -> None:
    told = client.get("/v1/categories").json()
    assert [each["name"] for each in told] == [each.name for each in categories()] and len(told) == 83
    assert told[0] == {
        "name": "dog",
        "title": categories()[0].title,
        "behaviour": "vocal",
        "aliases": list(categories()[0].aliases),
    }


def test_the_command_serves_the_loopback_and_opens_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[tuple[Any, ...]] = []
    monkeypatch.setattr(studio, "run", lambda *given, **named: runs.append((*given, named)))
    assert run("studio", "--folder", tmp_path, "--model", "tiny", "--device", "cpu") == 0
    assert run("studio", "--folder", tmp_path, "--model", "tiny", "--device", "cpu", "--no-browser", "--port", 0) == 0
    settings, host, port, hosts, named = runs[0]
    assert settings.models == ("tiny",) and settings.token is None and host == "127.0.0.1" and port == studio.PORT
    assert "localhost" in hosts and named == {"page": "studio/", "on_ready": studio.show}
    assert runs[1][2] == 0 and runs[1][4]["on_ready"] is None
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    studio.show("http://127.0.0.1:1/studio/").join()
    assert opened == ["http://127.0.0.1:1/studio/"]
