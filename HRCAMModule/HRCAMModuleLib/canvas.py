"""Small pictures drawn for a label, as sharp as its screen."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import qt

SMALLEST = (80, 30)
"""A label that was not laid out yet is a few pixels large or none."""


def drawOn(label: Any, paint: Callable[[Any, int, int], None]) -> None:
    """Show in a QLabel what ``paint(painter, width, height)`` draws; both it and the painter count the label's units.

    On a high-density screen a unit is several pixels, or one and a half.
    """
    label.setPixmap(drawn(label.width, label.height, label.devicePixelRatioF(), paint))


def drawn(width: int, height: int, ratio: float, paint: Callable[[Any, int, int], None]) -> Any:
    """A ``QPixmap`` of ``width`` x ``height`` units of ``ratio`` pixels each, painted on nothing."""
    width, height = max(width, SMALLEST[0]), max(height, SMALLEST[1])
    pixmap = qt.QPixmap(math.ceil(width * ratio), math.ceil(height * ratio))
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(qt.QColor(0, 0, 0, 0))
    painter = qt.QPainter()
    painter.begin(pixmap)
    try:
        paint(painter, width, height)
    finally:
        painter.end()
    return pixmap
