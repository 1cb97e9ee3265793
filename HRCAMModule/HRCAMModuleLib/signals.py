"""Widgets that show something new without telling that the user chose it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def signalsBlocked(widget: Any) -> Iterator[None]:
    """Let a widget emit no signal within the block."""
    wasBlocked = widget.blockSignals(True)
    try:
        yield
    finally:
        widget.blockSignals(wasBlocked)
