"""Tables that read well as Markdown, on a terminal of 80 columns and in a pipe: plain text, columns padded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

NOT_DEFINED = "–"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> str:
    """Return a Markdown table whose first `words` columns are text, the others numbers; nothing without rows."""
    body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    if not body:
        return ""
    widths = [max(3, *(len(row[k]) for row in (head, *body))) for k in range(len(head))]
    rule = ["-" * width if k < words else "-" * (width - 1) + ":" for k, width in enumerate(widths)]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if k < words else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    return "\n".join([line(head), line(rule), *map(line, body)]) + "\n"


def decimals(value: float | None) -> str:
    """Return three decimals, or a dash for what is not defined."""
    return NOT_DEFINED if value is None or not math.isfinite(value) else f"{value:.3f}"


def span(bounds: tuple[float, float, *tuple[object, ...]] | None) -> str:
    """Return an interval with three decimals, or a dash."""
    return NOT_DEFINED if bounds is None else f"{decimals(bounds[0])} … {decimals(bounds[1])}"
