"""One file from a server that cuts, refuses, lies and changes its mind."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from urllib3.util import connection

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
        self.conditions: list[str | None] = []
        self.encodings: set[str | None] = set()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.ranges.append(self.headers.get("Range"))
                server.conditions.append(self.headers.get("If-Range"))
                server.encodings.add(self.headers.get("Accept-Encoding"))
                server.answers[min(len(server.ranges), len(server.answers)) - 1](self)

            do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/file.bin"
        self.http.handle_error = lambda *_: None  # a client that hangs up is no news
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


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
    most: int | None = None,
    strict: bool = True,
    kind: str = "application/octet-stream",
) -> Answer:
    """Sends the file: from where it is asked to if `ranges`, `cut` after so many bytes, `shift`ed by a liar.

    At most `most` bytes of a range are granted; without `strict` the server does not look at If-Range.
    """

    def send(handler: BaseHTTPRequestHandler) -> None:
        asked, expected = handler.headers.get("Range"), handler.headers.get("If-Range")
        honoured = bool(asked) and ranges and (not strict or expected in (None, tag))
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if honoured else 0
        if start >= len(data):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(data)}")
            if tag:
                handler.send_header("ETag", tag)
            handler.end_headers()
            return
        end = min(start + most, len(data)) if honoured and most else len(data)
        handler.send_response(206 if honoured else 200)
        if honoured:
            start += shift
            handler.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        handler.send_header("Content-Length", str(end - start))
        handler.send_header("Content-Type", kind)
        if tag:
            handler.send_header("ETag", tag)
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(data[start : end if cut is None else start + cut])

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
    assert server.conditions == [None, '"a"', '"a"'] and server.encodings == {"identity"}


def test_a_cut_inside_a_block(server, tmp_path):
    server.answers = [answer(cut=20 * CHUNK + 5), answer(cut=3), answer()]
    assert download(server.url, tmp_path / "file").read_bytes() == DATA


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


@pytest.mark.parametrize("new", [DATA[::-1], DATA[: 20 * CHUNK][::-1]], ids=["206", "416"])
def test_a_server_that_does_not_look_at_if_range(server, tmp_path, new):
    server.answers = [answer(cut=20 * CHUNK), answer(data=new, tag='"b"', strict=False)]
    assert download(server.url, tmp_path / "file").read_bytes() == new


def test_a_server_that_grants_less_than_was_asked_for(server, tmp_path):
    server.answers = [answer(cut=20 * CHUNK), answer(most=20 * CHUNK)]
    assert download(server.url, tmp_path / "file").read_bytes() == DATA
    assert server.ranges == [None, *(f"bytes={start * CHUNK}-" for start in (20, 40, 60))]


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
    assert server.ranges == [f"bytes={len(DATA)}-"], "asked once, and nothing sent again"
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


def test_starting_afresh_for_ever_is_given_up(server, tmp_path):
    server.answers = [answer(cut=20 * CHUNK), status(416)] * 20
    with pytest.raises(DownloadError, match="gave up after 3 attempts"):
        download(server.url, tmp_path / "file", attempts=3)
    assert len(server.ranges) == 4


def test_a_server_that_falls_silent(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloading, "PATIENCE", (1.0, 0.1))
    over = threading.Event()
    server.answers = [lambda handler: over.wait(3), answer()]
    begun = time.monotonic()
    assert download(server.url, tmp_path / "file").read_bytes() == DATA
    assert time.monotonic() - begun < 2, "it waited for the server to hang up"
    over.set()


def test_what_will_not_pass_stops_at_once(server, tmp_path):
    server.answers = [status(404)]
    with pytest.raises(DownloadError, match="404"):
        download(server.url, tmp_path / "file")
    server.answers = [answer(kind="text/html; charset=utf-8")]
    with pytest.raises(DownloadError, match="web page"):
        download(server.url, tmp_path / "file")
    assert len(server.ranges) == 2
    for call in (lambda url: download(url, tmp_path / "file"), remote_size):
        with pytest.raises(DownloadError, match="https"):
            call("file:///etc/passwd")


def test_a_place_that_cannot_be_written(server, tmp_path):
    server.answers = [answer()]
    with pytest.raises(DownloadError, match=r"missing.*No such file"):
        download(server.url, tmp_path / "missing" / "file")


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
    download(server.url, tmp_path / "file", sha256=SHA256.upper(), size=len(DATA))
    assert server.ranges == []
    (tmp_path / "file").write_bytes(DATA[:-1])
    assert download(server.url, tmp_path / "file", size=len(DATA)).read_bytes() == DATA


def test_a_redirect_is_followed(server, tmp_path):
    server.answers = [status(302, Location=server.url), answer()]
    assert download(server.url, tmp_path / "file").read_bytes() == DATA


def unresolved(*_: object, **__: object) -> None:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_offline_is_said_at_once(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloading.time, "sleep", lambda seconds: pytest.fail("waited"))
    server.http.shutdown()
    server.http.server_close()
    for call in (lambda url: download(url, tmp_path / "file"), remote_size):
        with pytest.raises(DownloadError, match="127.0.0.1 cannot be reached"):
            call(server.url)
        with monkeypatch.context() as patch, pytest.raises(DownloadError, match="nowhere.invalid cannot be reached"):
            patch.setattr(socket, "getaddrinfo", unresolved)
            call("https://nowhere.invalid/file")


def test_offline_in_the_middle_is_waited_for(server, tmp_path, monkeypatch):
    """The first answer comes and is cut; then nobody is there for a while."""
    real, refusals = connection.create_connection, []

    def connect(*args, **kwargs):
        if server.ranges and len(refusals) < 2:
            refusals.append(args)
            raise ConnectionRefusedError("Connection refused")
        return real(*args, **kwargs)

    monkeypatch.setattr(connection, "create_connection", connect)
    server.answers = [answer(cut=20 * CHUNK), answer()]
    assert download(server.url, tmp_path / "file").read_bytes() == DATA
    assert len(refusals) == 2


def test_a_slow_connection_is_not_offline(server, tmp_path, monkeypatch):
    real, tries = connection.create_connection, []

    def connect(*args, **kwargs):
        tries.append(args)
        if len(tries) == 1:
            raise TimeoutError("timed out")
        return real(*args, **kwargs)

    monkeypatch.setattr(connection, "create_connection", connect)
    server.answers = [answer()]
    assert download(server.url, tmp_path / "file").read_bytes() == DATA
    assert len(tries) == 2


def test_remote_size(server):
    server.answers = [answer()]
    assert remote_size(server.url) == len(DATA)
    server.ranges.clear()
    server.answers = [status(405), answer()]
    assert remote_size(server.url) == len(DATA)
    assert server.ranges == [None, "bytes=0-0"]
    server.ranges.clear()
    server.answers = [status(405), answer(ranges=False)]
    assert remote_size(server.url) == len(DATA)
    server.answers = [status(405)]
    assert remote_size(server.url) is None
    server.answers = [answer(kind="text/html")]
    assert remote_size(server.url) is None, "the length of a web page"
    assert server.encodings == {"identity"}
