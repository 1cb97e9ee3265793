"""Numbers and tables of a report as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

BY_PATIENT = "patient_"
"""Begins the keys of an interval that are of the mean over patients, not over cases."""


def number(found: dict[str, Any] | None, digits: int, interval: bool = False, of: str = "") -> str:
    """A mean, on request with its interval; a dash where there is none. `of` `BY_PATIENT`: the mean over patients."""
    if not found or found.get(f"{of}mean") is None:
        return "–"
    text = f"{found[f'{of}mean']:.{digits}f}"
    if interval and found[f"{of}low"] is not None:
        text += f" ({found[f'{of}low']:.{digits}f}–{found[f'{of}high']:.{digits}f})"
    return text


def signed(found: dict[str, Any], of: str = "") -> str:
    """A mean difference with its sign and interval, if it is known; `of` as in `number`."""
    mean, low, high = (found.get(f"{of}{key}") for key in ("mean", "low", "high"))
    if mean is None:
        return "–"
    return f"{mean:+.3f}" if low is None else f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"


def plain_number(value: Any) -> str:
    """Three digits of a fraction, anything else as it is; a dash for None."""
    return "–" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table; a "|" inside a cell (of a name) would end it and is escaped."""
    clean = [[cell.replace("|", "\\|") for cell in row] for row in [head, ["---"] * len(head), *rows]]
    return [f"| {' | '.join(row)} |" for row in clean]
