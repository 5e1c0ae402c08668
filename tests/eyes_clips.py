"""The clips of docs/eyes-clips.csv as a folder for `frieren evaluate real`: what is missing in it is downloaded.

python tests/eyes_clips.py clips/ --half held
frieren evaluate real clips/
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import urllib.request
from pathlib import Path
from urllib.parse import quote

from frieren.files import replacing
from frieren.video import probe

TABLE = Path(__file__).parents[1] / "docs" / "eyes-clips.csv"
SOURCE = "https://github.com/{repository}/raw/HEAD/{path}"


def entry(row: dict[str, str], folder: Path, source: str = SOURCE) -> dict[str, object]:
    """A clip's entry in the manifest; its file is downloaded if it is not in the folder."""
    path = folder / f"{int(row['number']):03d}{Path(row['path']).suffix}"
    if not path.exists():
        address = source.format(repository=row["repository"], path=quote(row["path"]))
        with replacing(path) as part, urllib.request.urlopen(address) as answer, part.open("wb") as file:
            shutil.copyfileobj(answer, file)
    seen = {"known": row["category"].split("|"), "none": "", "unseen": None}[row["kind"]]
    clip: dict[str, object] = {"file": path.name, "action": row["half"], "seconds": probe(path).seconds}
    return clip | {"scored": False, "events_s": [], "category": seen}


def main() -> None:
    """Fill a folder and write its manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--half", choices=["tuned", "held"], help="otherwise both")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if arguments.half in (None, row["half"])]
    listed = {"clips": [entry(row, arguments.folder) for row in rows]}
    (arguments.folder / "manifest.json").write_text(json.dumps(listed, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
