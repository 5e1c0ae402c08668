"""One file from a server that cuts, refuses, lies and changes its mind."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from frieren.official import download as downloading
from frieren.official.download import CHUNK, DownloadError, download, remote_size

DATA = bytes(range(256)) * 4000  # 1 MB
SHA256 = hashlib.sha256(DATA).hexdigest()
Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """Answers each request with the next of `answers`, then with the last one for ever; remembers what was asked."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.ranges: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.ranges.append(self.headers.get("Range"))
                server.answers[min(len(server.ranges), len(server.answers)) - 1](self)

            do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/file.bin"
        self.http.handle_error = lambda *_: None  # a client that hangs up is no news
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setattr(downloading, "PAUSE", 0.001)
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


def answer(
    *,
    data: bytes = DATA,
    cut: int | None = None,
    ranges: bool = True,
    tag: str | None = '"a"',
    shift: int = 0,
    kind: str = "application/octet-stream",
) -> Answer:
    """Sends the file: from where it is asked to if `ranges`, `cut` after so many bytes, `shift`ed by a liar."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        asked, expected = handler.headers.get("Range"), handler.headers.get("If-Range")
        honoured = bool(asked) and ranges and expected in (None, tag)
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if honoured else 0
        if start >= len(data):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(data)}")
            handler.end_headers()
            return
        handler.send_response(206 if honoured else 200)
        if honoured:
            handler.send_header("Content-Range", f"bytes {start + shift}-{len(data) - 1}/{len(data)}")
        handler.send_header("Content-Length", str(len(data) - start))
        handler.send_header("Content-Type", kind)
        if tag:
            handler.send_header("ETag", tag)
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(data[start:] if cut is None else data[start : start + cut])

    return send


def status(code: int, **headers: str) -> Answer:
    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return send


def only(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_cuts_are_resumed_where_they_were(server, tmp_path):
    server.answers = [answer(cut=20 * CHUNK), answer(cut=30 * CHUNK), answer()]
    reports = []
    target = download(server.url, tmp_path / "file", sha256=SHA256, on_progress=lambda *both: reports.append(both))
    assert target.read_bytes() == DATA
    assert server.ranges == [None, f"bytes={20 * CHUNK}-", f"bytes={50 * CHUNK}-"]
    assert reports[-1] == (len(DATA), len(DATA)) and only(tmp_path) == ["file"]


def test_a_later_run_goes_on_from_an_earlier_one(server, tmp_path):
    server.answers = [answer(cut=20 * CHUNK), status(503)]
    with pytest.raises(DownloadError, match="503"):
        download(server.url, tmp_path / "file", attempts=1)
    assert only(tmp_path) == ["file.part", "file.part.tag"], "never a partial target"
    server.answers = [answer()]
    assert download(server.url, tmp_path / "file").read_bytes() == DATA
    assert server.ranges[-1] == f"bytes={20 * CHUNK}-"


def test_a_changed_file_is_not_spliced(server, tmp_path):
    new = DATA[::-1]
    server.answers = [answer(cut=20 * CHUNK), answer(data=new, tag='"b"')]
    assert download(server.url, tmp_path / "file").read_bytes() == new


@pytest.mark.parametrize("tag", [None, 'W/"weak"'])
def test_without_a_validator_it_starts_afresh(server, tmp_path, tag):
    server.answers = [answer(cut=20 * CHUNK, tag=tag), answer(tag=tag)]
    assert download(server.url, tmp_path / "file").read_bytes() == DATA
    assert server.ranges == [None, None]


def test_a_server_without_ranges(server, tmp_path):
    server.answers = [answer(cut=20 * CHUNK), answer(ranges=False)]
    assert download(server.url, tmp_path / "file").read_bytes() == DATA


def test_a_server_that_sends_another_part(server, tmp_path):
    server.answers = [answer(cut=20 * CHUNK), answer(shift=7), answer()]
    assert download(server.url, tmp_path / "file").read_bytes() == DATA


def test_a_part_that_was_complete(server, tmp_path):
    (tmp_path / "file.part").write_bytes(DATA)
    (tmp_path / "file.part.tag").write_text('"a"')
    server.answers = [answer()]
    assert download(server.url, tmp_path / "file", sha256=SHA256).read_bytes() == DATA
    (tmp_path / "other.part").write_bytes(DATA + b"more")
    (tmp_path / "other.part.tag").write_text('"a"')
    assert download(server.url, tmp_path / "other").read_bytes() == DATA


def test_errors_that_may_pass_are_waited_for(server, tmp_path, monkeypatch):
    pauses = []
    monkeypatch.setattr(downloading.time, "sleep", pauses.append)
    server.answers = [status(500), status(429, Retry_After="7"), status(503, Retry_After="9999"), answer()]
    assert download(server.url, tmp_path / "file").read_bytes() == DATA
    assert pauses == [pytest.approx(0.002), 7.0, downloading.LONGEST_PAUSE]


def test_it_gives_up(server, tmp_path):
    server.answers = [status(500)]
    with pytest.raises(DownloadError, match="500.*gave up after 3 attempts"):
        download(server.url, tmp_path / "file", attempts=3)
    assert len(server.ranges) == 3 and not only(tmp_path)


def test_attempts_count_only_those_without_a_new_byte(server, tmp_path):
    server.answers = [answer(cut=5 * CHUNK)] * 13
    assert download(server.url, tmp_path / "file", attempts=2).read_bytes() == DATA


def test_what_will_not_pass_stops_at_once(server, tmp_path):
    server.answers = [status(404)]
    with pytest.raises(DownloadError, match="404"):
        download(server.url, tmp_path / "file")
    server.answers = [answer(kind="text/html; charset=utf-8")]
    with pytest.raises(DownloadError, match="web page"):
        download(server.url, tmp_path / "file")
    assert len(server.ranges) == 2
    with pytest.raises(DownloadError, match="https"):
        download("file:///etc/passwd", tmp_path / "file")


def test_a_wrong_file_is_not_kept(server, tmp_path):
    server.answers = [answer()]
    with pytest.raises(DownloadError, match=f"{SHA256}, expected {'0' * 64}"):
        download(server.url, tmp_path / "file", sha256="0" * 64)
    with pytest.raises(DownloadError, match=r"bytes, expected 7"):
        download(server.url, tmp_path / "file", size=7)
    assert not only(tmp_path)


def test_what_is_there_is_not_fetched_again(server, tmp_path):
    server.answers = [answer()]
    (tmp_path / "file").write_bytes(DATA)
    download(server.url, tmp_path / "file", sha256=SHA256, size=len(DATA))
    assert server.ranges == []
    (tmp_path / "file").write_bytes(DATA[:-1])
    assert download(server.url, tmp_path / "file", size=len(DATA)).read_bytes() == DATA


def test_a_redirect_is_followed(server, tmp_path):
    server.answers = [status(302, Location=server.url), answer()]
    assert download(server.url, tmp_path / "file").read_bytes() == DATA


def test_offline_is_said_at_once(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloading.time, "sleep", lambda seconds: pytest.fail("waited"))
    server.http.shutdown()
    server.http.server_close()
    for url in (server.url, "https://no-such-host.invalid/file"):
        with pytest.raises(DownloadError, match="cannot be reached"):
            download(url, tmp_path / "file")
        with pytest.raises(DownloadError, match="cannot be reached"):
            remote_size(url)


def test_remote_size(server):
    server.answers = [answer()]
    assert remote_size(server.url) == len(DATA)
    server.ranges.clear()
    server.answers = [status(405), answer()]
    assert remote_size(server.url) == len(DATA)
    server.ranges.clear()
    server.answers = [status(405), answer(ranges=False)]
    assert remote_size(server.url) is None
