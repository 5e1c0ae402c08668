"""Jobs and their events in a SQLite file: what was accepted is there after a crash, and ends once.

One connection in WAL mode, used by all threads of one process in turns. What says that a job is accepted reaches the
disk before the client hears of it; what comes later may be lost with the machine's power, and is then made again.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frieren.errors import OutputError, reason

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    folder TEXT NOT NULL,
    digest TEXT NOT NULL,
    model TEXT NOT NULL,
    batch_key TEXT NOT NULL,
    options TEXT NOT NULL,
    video TEXT NOT NULL,
    seconds REAL NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued',
    attempts INTEGER NOT NULL DEFAULT 0,
    created REAL NOT NULL,
    started REAL,
    finished REAL,
    busy REAL,
    outcome TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX IF NOT EXISTS by_state ON jobs (state, number);
CREATE TABLE IF NOT EXISTS events (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    kind TEXT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (job, number)
) WITHOUT ROWID;
"""
RECENT = 50  # finished jobs that the pace of a model is measured by


class KnownJobError(Exception):
    """There is a job of this id already.

    Attributes:
        job: that one.
    """

    def __init__(self, job: StoredJob) -> None:
        super().__init__(job.id)
        self.job = job


@dataclass(frozen=True)
class StoredJob:
    """A row of the table of jobs.

    Attributes:
        number: order of acceptance.
        folder: name of its folder below the service's, which no client chose.
        digest: of upload and options: the same id with another digest is another job.
        batch_key: jobs that may be sampled together have the same one; "" is for none.
        options, video: JSON.
        seconds: of the video.
        attempts: how often it was begun.
        busy: seconds that it took, its share where several were sampled together.
        outcome: JSON: error, or file, bytes and record.
    """

    id: str
    folder: str
    digest: str
    model: str
    batch_key: str
    options: str
    video: str
    seconds: float
    number: int = 0
    state: str = "queued"
    attempts: int = 0
    created: float = 0.0
    started: float | None = None
    finished: float | None = None
    busy: float | None = None
    outcome: str = "{}"


@dataclass(frozen=True)
class StoredEvent:
    """Something that happened to a job: its state changed, or a stage went on. `data` is JSON."""

    number: int
    kind: str
    data: str


class Store:
    """The jobs of a service."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            OutputError: it cannot be opened, or another service has it.
        """
        self._lock = threading.RLock()
        try:
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._connection.row_factory = sqlite3.Row
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=5000"):
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.executescript(SCHEMA)
        except sqlite3.Error as error:
            raise OutputError(f"{path}: cannot be opened ({reason(error)}); choose another --folder") from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it, or nothing."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    # -- accepting --

    def add(self, job: StoredJob) -> StoredJob:
        """Accept a job: it is on the disk when this returns.

        Raises:
            KnownJobError: there is one of this id.
        """
        values = (job.id, job.folder, job.digest, job.model, job.batch_key, job.options, job.video, job.seconds)
        with self._lock:
            self._connection.execute("PRAGMA synchronous=FULL")
            try:
                with self._writing() as connection:
                    connection.execute(
                        "INSERT INTO jobs (id, folder, digest, model, batch_key, options, video, seconds, created) "
                        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        (*values, time.time()),
                    )
                    self._note(connection, job.id, "state", {"state": "queued"})
            except sqlite3.IntegrityError:
                known = self.get(job.id)
                if known is None:
                    raise
                raise KnownJobError(known) from None
            finally:
                self._connection.execute("PRAGMA synchronous=NORMAL")
        added = self.get(job.id)
        assert added is not None
        return added

    def get(self, name: str) -> StoredJob | None:
        """The job of this id."""
        rows = self._rows("SELECT * FROM jobs WHERE id = ?", name)
        return StoredJob(**rows[0]) if rows else None

    # -- the queue --

    def claim(self, most: int, attempts: int) -> list[StoredJob]:
        """The oldest job that waits, and others that may be sampled with it; they are running from now on.

        A job that was interrupted before comes alone: it may be the cause. One that was begun `attempts` times fails.
        """
        with self._writing() as connection:
            tired = connection.execute(
                "SELECT id FROM jobs WHERE state = 'queued' AND attempts >= ?", (attempts,)
            ).fetchall()
            for row in tired:
                why = f"the service ended {attempts} times while it was at work on this; try another video"
                self._end(connection, row["id"], "queued", "failed", {"error": why}, 0.0)
            first = connection.execute("SELECT * FROM jobs WHERE state = 'queued' ORDER BY number LIMIT 1").fetchone()
            if first is None:
                return []
            rows = [first]
            if first["attempts"] == 0 and first["batch_key"]:
                rows = connection.execute(
                    "SELECT * FROM jobs WHERE state = 'queued' AND attempts = 0 AND batch_key = ? "
                    "ORDER BY number LIMIT ?",
                    (first["batch_key"], most),
                ).fetchall()
            for row in rows:
                connection.execute(
                    "UPDATE jobs SET state = 'running', attempts = attempts + 1, started = ? WHERE id = ?",
                    (time.time(), row["id"]),
                )
                self._note(connection, row["id"], "state", {"state": "running"})
        return [StoredJob(**row) for row in rows]

    def requeue(self, names: Sequence[str] | None = None, *, counts: bool = True) -> None:
        """Let running jobs wait again.

        Args:
            names: of which; None: all, those that a dead process was at work on.
            counts: whether this was an attempt, of which a job has only some.
        """
        with self._writing() as connection:
            rows = connection.execute("SELECT id FROM jobs WHERE state = 'running'").fetchall()
            for row in rows:
                if names is None or row["id"] in names:
                    less = 0 if counts else 1
                    connection.execute(
                        "UPDATE jobs SET state = 'queued', started = NULL, attempts = attempts - ? WHERE id = ?",
                        (less, row["id"]),
                    )
                    self._note(connection, row["id"], "state", {"state": "queued"})

    def finish(self, name: str, outcome: Mapping[str, Any], busy: float) -> bool:
        """End a running job with its outcome, which holds an error or not; False if it was cancelled meanwhile."""
        with self._writing() as connection:
            state = "failed" if "error" in outcome else "done"
            return self._end(connection, name, "running", state, outcome, busy)

    def cancel(self, name: str) -> bool:
        """End a job that waits or runs; False if it has ended."""
        with self._writing() as connection:
            return any(self._end(connection, name, state, "cancelled", {}, 0.0) for state in ("queued", "running"))

    def _end(
        self,
        connection: sqlite3.Connection,
        name: str,
        before: str,
        after: str,
        outcome: Mapping[str, Any],
        busy: float,
    ) -> bool:
        changed = connection.execute(
            "UPDATE jobs SET state = ?, outcome = ?, busy = ?, finished = ? WHERE id = ? AND state = ?",
            (after, json.dumps(outcome), busy, time.time(), name, before),
        ).rowcount
        if changed:
            error = {"error": outcome["error"]} if "error" in outcome else {}
            self._note(connection, name, "state", {"state": after, **error})
        return bool(changed)

    def is_running(self, name: str) -> bool:
        """Return whether a job runs; one that was cancelled does not."""
        return bool(self._rows("SELECT 1 FROM jobs WHERE id = ? AND state = 'running'", name))

    # -- events --

    def _note(self, connection: sqlite3.Connection, name: str, kind: str, data: Mapping[str, Any]) -> None:
        connection.execute(
            "INSERT INTO events SELECT ?, COALESCE(MAX(number), 0) + 1, ?, ? FROM events WHERE job = ?",
            (name, kind, json.dumps(data), name),
        )

    def note(self, name: str, data: Mapping[str, Any]) -> bool:
        """Note the progress of a running job; False if it does not run any more."""
        with self._writing() as connection:
            if not self.is_running(name):
                return False
            self._note(connection, name, "progress", data)
            return True

    def events(self, name: str, after: int = 0) -> list[StoredEvent]:
        """What happened to a job after event number `after`."""
        rows = self._rows("SELECT number, kind, data FROM events WHERE job = ? AND number > ?", name, after)
        return [StoredEvent(**row) for row in rows]

    def last_progress(self, name: str) -> dict[str, Any] | None:
        """The last thing that was noted of a running job's progress."""
        rows = self._rows("SELECT kind, data FROM events WHERE job = ? ORDER BY number DESC LIMIT 1", name)
        return json.loads(rows[0]["data"]) if rows and rows[0]["kind"] == "progress" else None

    # -- counting --

    def counts(self) -> dict[str, int]:
        """Number of jobs by state."""
        return {row["state"]: row["n"] for row in self._rows("SELECT state, COUNT(*) AS n FROM jobs GROUP BY state")}

    def running(self) -> list[StoredJob]:
        """The jobs that run."""
        return [StoredJob(**row) for row in self._rows("SELECT * FROM jobs WHERE state = 'running'")]

    def ahead(self, job: StoredJob) -> list[StoredJob]:
        """The jobs that run, or wait before this one."""
        query = "SELECT * FROM jobs WHERE state = 'running' OR (state = 'queued' AND number < ?) ORDER BY number"
        return [StoredJob(**row) for row in self._rows(query, job.number) if row["id"] != job.id]

    def pace(self, model: str) -> float | None:
        """Seconds of work for a second of video, by a model's last jobs; None before the first."""
        query = (
            "SELECT SUM(busy) AS busy, SUM(seconds) AS seconds FROM (SELECT busy, seconds FROM jobs "
            "WHERE model = ? AND state = 'done' ORDER BY finished DESC LIMIT ?)"
        )
        (row,) = self._rows(query, model, RECENT)
        return float(row["busy"] / row["seconds"]) if row["seconds"] else None

    # -- expiry --

    def folders(self) -> set[str]:
        """Folders of all jobs."""
        return {row["folder"] for row in self._rows("SELECT folder FROM jobs")}

    def remove(self, name: str) -> str | None:
        """Forget a job that has ended; its folder's name, or None if there is no such job."""
        with self._writing() as connection:
            row = connection.execute(
                "DELETE FROM jobs WHERE id = ? AND state NOT IN ('queued', 'running') RETURNING folder", (name,)
            ).fetchone()
        return row["folder"] if row else None

    def expired(self, before: float) -> list[str]:
        """Ids of the jobs that ended before an instant."""
        return [row["id"] for row in self._rows("SELECT id FROM jobs WHERE finished < ?", before)]
