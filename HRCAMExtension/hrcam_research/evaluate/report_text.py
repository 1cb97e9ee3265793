"""Numbers and tables of a report as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def number(found: dict[str, Any] | None, digits: int, interval: bool = False) -> str:
    """A mean, on request with its interval; a dash where there is none."""
    if not found or found["mean"] is None:
        return "–"
    text = f"{found['mean']:.{digits}f}"
    if interval and found["low"] is not None:
        text += f" ({found['low']:.{digits}f}–{found['high']:.{digits}f})"
    return text


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table; a "|" inside a cell (of a name) would end it and is escaped."""
    clean = [[cell.replace("|", "\\|") for cell in row] for row in [head, ["---"] * len(head), *rows]]
    return [f"| {' | '.join(row)} |" for row in clean]
