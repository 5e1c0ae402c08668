"""Who may speak to the service, and how it is told from the command line."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from command import run
from fastapi.testclient import TestClient
from serving import service
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from frieren.apps.web import serve
from frieren.service.application import create_app
from frieren.service.guards import Guards
from frieren.service.settings import Settings

TOKEN = "a-token-of-this-test"


def test_a_token_is_asked_for_wherever_there_is_something_of_somebody(tmp_path: Path) -> None:
    with service(tmp_path, token=TOKEN) as client:
        guarded = ("/v1/models", "/v1/jobs/x", "/v1/jobs/x/result", "/metrics")
        for path in guarded:
            answer = client.get(path)
            assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
            for wrong in ("Bearer", "Bearer nonsense", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \xff"):
                assert client.get(path, headers={"Authorization": wrong.encode("latin-1")}).status_code == 401
        assert client.post("/v1/jobs").status_code == 401
        assert client.get("/v1/health").status_code == 200 and client.get("/docs").status_code == 200
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        assert client.get("/v1/models").status_code == 200 and client.get("/v1/jobs/x").status_code == 404


def test_pages_of_others_and_names_of_others_are_refused(tmp_path: Path) -> None:
    app = create_app(Settings(folder=tmp_path, models=("tiny",), devices=("cpu",)), {"127.0.0.1", "::1", "localhost"})
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        assert client.get("/v1/health").headers["X-Content-Type-Options"] == "nosniff"
        for host, status in (("localhost:1", 200), ("[::1]:8000", 200), ("evil.example", 403), ("[", 403), ("", 403)):
            assert client.get("/v1/health", headers={"Host": host}).status_code == status, host
        for origin, status in (("http://evil.example", 403), ("null", 403), ("http://127.0.0.1:8000", 415)):
            assert client.post("/v1/jobs", headers={"Origin": origin}).status_code == status
        assert client.delete("/v1/jobs/x", headers={"Origin": "http://127.0.0.1:9"}).status_code == 403
        assert client.get("/v1/models", headers={"Origin": "http://evil.example"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "token", "said"),
    [
        ("127.0.0.1", None, ""),
        ("0.0.0.0", None, "whoever reaches it can use this machine; set FRIEREN_TOKEN"),
        ("::", TOKEN, "the token and all videos travel unencrypted"),
    ],
)
def test_a_service_that_is_open_to_the_network_says_so(
    host: str, token: str | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    serve.warn_of_openness(host, token)
    printed = capsys.readouterr().err
    assert said in printed and bool(said) == bool(printed)


def test_the_command_line_makes_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(serve, "run", lambda *arguments: asked.append(arguments))
    monkeypatch.setenv("FRIEREN_TOKEN", TOKEN)
    line = f"--folder {tmp_path} --model tiny --device cpu --precision bfloat16 --queue 3 --batch 2 --max-size 5"
    more = "--max-length 0.5 --max-pixels 7 --keep 2 --port 81 --allow-host sounds.example"
    assert run("serve", *line.split(), *more.split()) == 0
    ((settings, host, port, hosts),) = asked
    assert settings == Settings(
        folder=tmp_path, models=("tiny",), devices=("cpu",), precision="bfloat16",
        queue=3, batch=2, max_bytes=5 * 2**20, max_seconds=30.0,
        max_pixels=7, keep_hours=2.0, token=TOKEN,
    )  # fmt: skip
    assert (host, port, hosts) == ("127.0.0.1", 81, {"127.0.0.1", "::1", "localhost", "sounds.example"})
    assert run("serve", "--host", "0.0.0.0", "--model", "tiny") == 0
    assert asked[1][3] is None and asked[1][0].models == ("tiny",)


def test_what_cannot_be_served_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ("--folder", tmp_path, "--device", "cpu", "--model")
    assert run("serve", *folder, "no-such-model") == 1
    assert "no such model" in capsys.readouterr().err
    for wrong in (("--precision", "float16"), ("--ray", "auto", "--device", "cuda:1")):
        assert run("serve", *folder, "tiny", *wrong) == 2
    assert "Ray numbers the devices" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run("serve", *folder, "tiny", "--ray", "auto") == 1
    assert "pip install 'frieren[ray]'" in capsys.readouterr().err
    monkeypatch.setenv("FRIEREN_TOKEN", "short")
    assert run("serve", *folder, "tiny") == 2
    assert "can be guessed" in capsys.readouterr().err
    monkeypatch.delenv("FRIEREN_TOKEN")
    listener = serve.listen("127.0.0.1", 0)
    with listener:
        assert run("serve", *folder, "tiny", "--port", listener.getsockname()[1]) == 1
    assert "cannot listen there" in capsys.readouterr().err
    with service(tmp_path / "taken"):
        assert run("serve", "--folder", tmp_path / "taken", "--model", "tiny", "--port", 0) == 1
    assert "another service is at work in it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("headers", "pieces", "read"),
    [
        ([(b"content-length", b"30")], [10] * 3, 3),
        ([(b"transfer-encoding", b"chunked")], [10] * 3, 3),
        ([(b"content-length", b"30"), (b"expect", b"100-continue")], [10] * 3, 0),
        ([(b"content-length", b"90000000")], [9_000_000] * 10, 2),
        ([(b"content-length", b"0")], [0], 0),
        ([], [0], 0),
    ],
)
def test_a_refusal_is_sent_once_the_upload_is_read(
    headers: list[tuple[bytes, bytes]], pieces: list[int], read: int
) -> None:
    """Otherwise the connection is reset, and the client never sees why; a very long upload is left unread."""
    order: list[str] = []

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse({"detail": "full"}, 429)(scope, receive, send)

    async def receive() -> Message:
        order.append("read")
        return {"type": "http.request", "body": bytes(pieces[0]), "more_body": len(order) < len(pieces)}

    async def send(message: Message) -> None:
        order.append(message["type"])

    scope = {"type": "http", "method": "POST", "path": "/v1/jobs", "headers": [(b"host", b"a"), *headers]}
    asyncio.run(Guards(refuse, token=None, hosts=None)(scope, receive, send))
    assert order == ["read"] * read + ["http.response.start", "http.response.body"]
