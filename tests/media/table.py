"""docs/media.md: every case of the media suite, what is expected of it and what came out; a few minutes.

python tests/media/table.py            write the page
python tests/media/table.py --accept   take what comes out now as what is expected, to be read before it is committed
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from cases import CASES
from suite import outcome

PAGE = Path(__file__).parents[2] / "docs" / "media.md"
EXPECTED = Path(__file__).with_name("expected.json")
HEAD = """# Media

What becomes of {count} films: each is made by PyAV, given a soundtrack by `frieren generate`, and measured in the
output by PyAV alone. In every row the frames are all there, in order and at their times (2 ms), a click at the flash of
the film is within 10 ms of it, the output begins at zero, and a copied stream decodes to the same pictures; what fails
one of these would say so in capitals. The films are in `tests/media/cases.py`; `python tests/media/table.py` makes
this page.
"""


def expected() -> dict[str, str]:
    """Name of a case -> what is to become of it."""
    return json.loads(EXPECTED.read_text(encoding="utf-8"))


def outcomes() -> dict[str, str]:
    """Name of a case -> what becomes of it."""
    found = {}
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            try:
                found[case.name] = outcome(case, Path(folder))
            except NotImplementedError as error:
                found[case.name] = str(error)
    return found


def page(found: dict[str, str]) -> str:
    """The page in Markdown."""
    wanted, lines = expected(), [HEAD.format(count=len(CASES))]
    for group in dict.fromkeys(case.group for case in CASES):
        lines += [f"\n## {group.capitalize()}\n", "| case | expected | got |", "|---|---|---|"]
        for case in CASES:
            if case.group == group:
                cells = (case.name, wanted[case.name], found[case.name])
                lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    got = outcomes()
    if sys.argv[1:] == ["--accept"]:
        EXPECTED.write_text(json.dumps(got, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(got), encoding="utf-8")
    sys.exit(got != expected())
