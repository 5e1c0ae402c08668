"""One file from a server that cuts, refuses and changes its mind: whole in the end, or not there at all."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from frieren.official import download as downloading
from frieren.official.download import DownloadError, download, remote_size

DATA = bytes(range(256)) * 8000  # 2 MB, of which gdown reads half a megabyte at a time
CUT = 1 << 20
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
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setattr("random.uniform", lambda low, high: 0.001)  # gdown's pauses
    monkeypatch.setattr(downloading, "RETRIES", 2)
    server = Server()
    yield server
    server.close()


def answer(
    data: bytes = DATA,
    cut: int | None = None,
    ranges: bool = True,
    tag: str = '"a"',
    kind: str = "application/x-raw",
    changed: float = 0.0,
) -> Answer:
    """Sends the file: from where it is asked to if `ranges` and the tag is this one; `cut` after n bytes."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        asked, expected = handler.headers.get("Range"), handler.headers.get("If-Range")
        honoured = asked is not None and ranges and expected in (None, tag)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and honoured else 0
        if start >= len(data):
            return status(416)(handler)
        handler.send_response(206 if honoured else 200)
        if honoured:
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        handler.send_header("Content-Length", str(len(data) - start))
        handler.send_header("Content-Type", kind)
        handler.send_header("ETag", tag)
        handler.send_header("Last-Modified", formatdate(changed, usegmt=True))
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(data[start : len(data) if cut is None else start + cut])

    return send


def status(code: int, **headers: str) -> Answer:
    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return send


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_cut_is_gone_on_with_where_it_was(server, tmp_path):
    server.answers = [answer(cut=CUT), answer(cut=CUT // 2), answer()]
    reports = []
    target = download(server.url, tmp_path / "file", on_progress=lambda *both: reports.append(both))
    assert target.read_bytes() == DATA and names(tmp_path) == ["file"]
    assert server.ranges == [None, f"bytes={CUT}-", f"bytes={CUT + CUT // 2}-"]
    assert reports[-1] == (len(DATA), len(DATA)) and reports == sorted(reports)


@pytest.mark.parametrize(
    "refusal", [status(503), status(429), answer(b"quota", ranges=False, kind="text/html")], ids=["503", "429", "page"]
)
def test_what_stays_cut_is_no_file_and_a_later_run_goes_on(server, tmp_path, refusal):
    server.answers = [answer(cut=CUT), refusal]
    with pytest.raises(DownloadError, match="try again"):
        download(server.url, tmp_path / "file")
    with pytest.raises(DownloadError, match="try again"):  # and costs no byte that was there
        download(server.url, tmp_path / "file")
    (part,) = tmp_path.iterdir()
    assert part.name.startswith("file") and part.suffix == ".part", "never half a file under its name"
    assert part.read_bytes() == DATA[:CUT]
    server.answers = [answer()]
    assert download(server.url, tmp_path / "file").read_bytes() == DATA
    assert server.ranges[-1] == f"bytes={CUT}-" and names(tmp_path) == ["file"]


def test_no_network_costs_no_byte_that_was_there(server, tmp_path):
    (tmp_path / "fileabcdefgh.part").write_bytes(DATA[:CUT])
    server.close()
    with pytest.raises(DownloadError, match="cannot be reached"):
        download(server.url, tmp_path / "file")
    assert (tmp_path / "fileabcdefgh.part").read_bytes() == DATA[:CUT]


def test_a_file_that_changed_since_the_last_run_is_not_spliced(server, tmp_path):
    (tmp_path / "fileabcdefgh.part").write_bytes(DATA[:CUT])
    server.answers = [answer(DATA[::-1], tag='"b"', changed=time.time() + 60)]
    assert download(server.url, tmp_path / "file").read_bytes() == DATA[::-1]


@pytest.mark.parametrize(
    ("left", "ranges"),
    [(DATA[:CUT], False), (DATA, True), (DATA + b"more", True)],
    ids=["a server without ranges", "nothing is missing", "too much is there"],
)
def test_where_nothing_can_be_gone_on_with_it_starts_afresh(server, tmp_path, left, ranges):
    (tmp_path / "fileabcdefgh.part").write_bytes(left)
    server.answers = [answer(ranges=ranges)]
    assert download(server.url, tmp_path / "file").read_bytes() == DATA
    assert names(tmp_path) == ["file"]


def test_a_file_that_changes_meanwhile_is_not_spliced(server, tmp_path):
    new = DATA[::-1]
    server.answers = [answer(cut=CUT), answer(new, tag='"b"', changed=time.time() + 60)]
    with pytest.raises(DownloadError, match="try again"):
        download(server.url, tmp_path / "file")
    assert download(server.url, tmp_path / "file").read_bytes() == new


def test_parts_of_other_files_stay(server, tmp_path):
    (tmp_path / "file.2abcdefgh.part").write_bytes(b"another")
    (tmp_path / "fileabcdefgh.part").write_bytes(DATA[:CUT])
    server.answers = [answer(ranges=False)]
    download(server.url, tmp_path / "file")
    assert names(tmp_path) == ["file", "file.2abcdefgh.part"]


def test_what_is_there_is_not_fetched_again(server, tmp_path):
    (tmp_path / "file").write_bytes(b"here")
    server.answers = [answer()]
    assert download(server.url, tmp_path / "file").read_bytes() == b"here"


def test_what_will_not_pass_is_said(server, tmp_path):
    server.answers = [status(404)]
    with pytest.raises(DownloadError, match="answers 404 .*may have moved"):
        download(server.url, tmp_path / "file")
    assert len(server.ranges) == 1 and not names(tmp_path)
    server.answers = [answer()]
    with pytest.raises(DownloadError, match="missing.*cannot be written .*No such file"):
        download(server.url, tmp_path / "missing" / "file")


def test_a_server_that_falls_silent(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloading, "PATIENCE", (1.0, 0.2))
    over = threading.Event()
    server.answers = [lambda handler: over.wait(5), answer()]
    assert download(server.url, tmp_path / "file").read_bytes() == DATA
    over.set()


def test_a_redirect_is_followed(server, tmp_path):
    server.answers = [status(302, Location=server.url), answer()]
    assert download(server.url, tmp_path / "file").read_bytes() == DATA


def unresolved(*_: object, **__: object) -> None:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_remote_size(server, monkeypatch):
    server.answers = [answer()]
    assert remote_size(server.url) == len(DATA)
    server.answers = [status(302, Location=server.url), answer()]
    server.ranges.clear()
    assert remote_size(server.url) == len(DATA)
    server.answers = [status(405)]
    assert remote_size(server.url) is None, "the server knows no HEAD"
    server.answers = [answer(kind="text/html; charset=utf-8")]
    assert remote_size(server.url) is None, "the length of a web page"
    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    with pytest.raises(DownloadError, match="cannot be reached"):
        remote_size("https://nowhere.invalid/file")
