"""The strip under the evidence range: the color scale of the shown map, with the calibrated levels marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import qt

MARGIN = 6
BAR = 8


def paintMarks(
    painter: Any,
    width: int,
    span: tuple[float, float],
    low: float,
    high: float,
    colors: np.ndarray,
    marks: Sequence[tuple[str, float, Sequence[float]]],
) -> None:
    """Paint color bar and marks, ``width`` units wide.

    Parameters
    ----------
    span : evidence at both ends of the scale.
    low, high : the chosen range, on the same scale; outside of it the bar is grayed.
    colors : N×3 RGB in 0–1, from one end of the scale to the other.
    marks : text, place on the scale, and color (rgb 0–1) of each level.
    """
    inner = width - 2 * MARGIN
    length = max(span[1] - span[0], 1e-6)

    def position(value: float) -> int:
        return MARGIN + int(inner * min(max((value - span[0]) / length, 0.0), 1.0))

    for n in range(64):
        value = span[0] + length * (n + 0.5) / 64
        shown = low <= value and (value <= high or high >= span[1])
        shade = colors[n * len(colors) // 64] if shown else (0.6, 0.6, 0.6)
        left = MARGIN + n * inner // 64
        painter.fillRect(left, 0, MARGIN + (n + 1) * inner // 64 - left, BAR,
                         qt.QColor(*(int(255 * float(v)) for v in shade), 255 if shown else 70))
    font = qt.QFont()  # PythonQt hands out the painter's own font, not a copy
    font.setPixelSize(10)
    painter.setFont(font)
    metrics = qt.QFontMetrics(font)
    taken = -1000
    for text, at, color in marks:
        x = position(at)
        painter.fillRect(x - 1, 0, 3, BAR + 5, qt.QColor(*(int(255 * float(v)) for v in color)))
        painter.setPen(qt.QPen(qt.QColor(128, 128, 128)))
        size = metrics.boundingRect(text).width()
        left = min(max(x - size // 2, 0), width - size - 2)
        if left > taken + 4:  # a name that would cover another is left out; the levels' list has them all
            painter.drawText(left, BAR + 17, text)
            taken = left + size
