"""How a service bears many clients: `tiny` on the loopback, each client with one job after another until time is up.

PYTHONPATH=tests python tests/service/load.py --clients 200 --seconds 60
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx2
from command import make_video
from serving import Process

CLIPS = 8  # different videos among them
REST = 300.0  # seconds that accepted jobs have to end once no new ones come


async def client(
    http: httpx2.AsyncClient, clips: list[bytes], number: int, end: float, seen: Counter, ids: list
) -> None:
    """Send a job; if there is room wait for its end, else for as long as the service says; and so on."""
    while time.monotonic() < end:
        options = json.dumps({"model": "tiny", "format": "wav", "seed": number + len(ids)})
        files = {"video": ("clip.mp4", clips[number % CLIPS])}
        started = time.monotonic()
        answer = await http.post("/v1/jobs", files=files, data={"options": options})
        seen[answer.status_code] += 1
        if answer.status_code == 202:
            ids.append((answer.json()["id"], time.monotonic() - started))
            while time.monotonic() < end:
                await asyncio.sleep(1.0)
                job = (await http.get(f"/v1/jobs/{ids[-1][0]}")).json()
                if job["state"] not in ("queued", "running"):
                    break
        else:
            await asyncio.sleep(min(float(answer.headers.get("Retry-After", 1)), end - time.monotonic()))


def resident(process: Process) -> float:
    """Memory of the service in MB."""
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1000


async def watch(process: Process, found: list[float], end: float) -> None:
    """Note the memory of the service once a second."""
    while time.monotonic() < end:
        found.append(resident(process))
        await asyncio.sleep(1.0)


async def load(process: Process, clips: list[bytes], clients: int, seconds: float) -> dict[str, object]:
    """What became of all requests and jobs."""
    seen: Counter[int] = Counter()
    ids: list[tuple[str, float]] = []
    memory: list[float] = [resident(process)]
    end = time.monotonic() + seconds
    limits = httpx2.Limits(max_connections=clients)
    async with httpx2.AsyncClient(base_url=process.url, timeout=120, limits=limits) as http:
        each = [client(http, clips, number, end, seen, ids) for number in range(clients)]
        await asyncio.gather(watch(process, memory, end), *each)
        states: Counter[str] = Counter()
        for id, _ in ids:
            rest = time.monotonic() + REST
            while (job := (await http.get(f"/v1/jobs/{id}")).json())["state"] in ("queued", "running"):
                assert time.monotonic() < rest, f"{id} does not end"
                await asyncio.sleep(0.2)
            states[job["state"]] += 1
        text = (await http.get("/metrics")).text
    counts = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    waits = sorted(taken for _, taken in ids)
    return {
        "statuses": dict(seen),
        "jobs": dict(states),
        "different ids": len({id for id, _ in ids}),
        "ended as counted": float(counts['frieren_jobs_ended_total{state="done"}']),
        "accepted as counted": float(counts["frieren_jobs_accepted_total"]),
        "seconds until 202, median and most": [round(waits[len(waits) // 2], 2), round(waits[-1], 2)],
        "MB at first, at most, at last": [round(value) for value in (memory[0], max(memory), resident(process))],
    }


def main() -> None:
    """Start a service, load it, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--queue", type=int, default=64)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clips = [make_video(Path(folder) / f"{number}.mp4", 0.4 + 0.1 * number).read_bytes() for number in range(CLIPS)]
        process = Process(Path(folder) / "jobs", "--queue", str(asked.queue))
        try:
            found = asyncio.run(load(process, clips, asked.clients, asked.seconds))
        finally:
            process.kill()
    for name, value in found.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
