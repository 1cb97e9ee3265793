"""Strongest evidence of every slice as a small bar plot to click in, and the way through slices from strongest to
weakest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from .canvas import drawOn
from .regions_table import spelled
from .signals import signalsBlocked

LEFT, RIGHT, TOP, BOTTOM = 34, 8, 8, 18
_GRAY = (128, 128, 128)
_FAINT = (0.55, 0.55, 0.62)
_CURSOR = (46, 134, 222)

Mark = tuple[str, float, Sequence[float]]
"""Name of an evidence level, where it begins (in units), its color (rgb 0–1)."""


def ranking(values: Sequence[float]) -> list[int]:
    """Indices from the largest value to the smallest; equal values keep their order.

    Example
    -------
    >>> ranking([0.1, 0.9, 0.5])
    [1, 2, 0]
    """
    return sorted(range(len(values)), key=lambda n: -values[n])


def sliceAt(x: float, width: int, count: int) -> int:
    """Slice under the horizontal position ``x`` in a plot ``width`` pixels wide."""
    inner = max(1, width - LEFT - RIGHT)
    return max(0, min(count - 1, int((x - LEFT) * count / inner)))


def paintPlot(
    painter: Any, width: int, height: int, values: Sequence[float], current: int, ends: tuple[str, str],
    marks: Sequence[Mark] = (),
) -> None:
    """Paint the plot.

    Parameters
    ----------
    values : strongest evidence of each slice, in units (1.0 is the weakest calibrated level), in slice order.
    current : slice shown in the views; -1 for none.
    ends : what lies at the first and at the last slice, such as ``("Inferior", "Superior")``.
    marks : the calibrated levels, weakest first: a line each, and the color of bars that reach it.
    """
    gray = qt.QColor(*_GRAY)
    inner, bottom = width - LEFT - RIGHT, height - BOTTOM
    low, high = min(0.0, *values), max(1e-6, *values)
    scale = (bottom - TOP) / (high - low)
    zero = int(bottom + low * scale)
    font = qt.QFont()  # PythonQt hands out the painter's own font, not a copy
    font.setPixelSize(10)
    painter.setFont(font)
    for n, value in enumerate(values):
        left = LEFT + n * inner // len(values)
        right = max(left + 1, LEFT + (n + 1) * inner // len(values))
        top = int(bottom - (max(value, 0.0) - low) * scale)
        length = max(1, zero - top) if value >= 0 else max(1, int(-value * scale))
        shade = next((color for _name, at, color in reversed(marks) if value >= at), _FAINT)
        painter.fillRect(left, top if value >= 0 else zero, right - left, length, _color(shade))
    for _name, at, shade in marks:
        if at <= high:
            y = int(bottom - (at - low) * scale)
            painter.setPen(qt.QPen(_color(shade)))
            painter.drawLine(LEFT, y, width - RIGHT, y)
    painter.setPen(qt.QPen(gray))
    painter.drawLine(LEFT, TOP, LEFT, bottom)
    painter.drawLine(LEFT, zero, width - RIGHT, zero)
    painter.drawText(2, TOP + 8, spelled(high))
    painter.drawText(2, zero + 3, "0")
    painter.drawText(LEFT, height - 4, ends[0])
    painter.drawText(width - RIGHT - 6 * len(ends[1]), height - 4, ends[1])
    if 0 <= current < len(values):
        x = LEFT + int((current + 0.5) * inner / len(values))
        painter.setPen(qt.QPen(qt.QColor(*_CURSOR), 2))
        painter.drawLine(x, TOP - 4, x, bottom + 3)


def _color(rgb: Sequence[float]) -> Any:
    return qt.QColor(*(int(255 * float(part)) for part in rgb))


class _MouseFilter(qt.QObject):
    """Tells a plot of clicks, drags and changes of size on its label."""

    plot = None

    def eventFilter(self, watched: Any, event: Any) -> bool:
        if self.plot is not None:
            kind = event.type()
            if kind == qt.QEvent.Resize:
                self.plot.draw()
            elif kind in (qt.QEvent.MouseButtonPress, qt.QEvent.MouseMove):
                # Qt 6 calls it position()
                point = event.pos() if hasattr(event, "pos") else event.position()
                self.plot.clickedAt(point.x())
        return False


class EvidencePlot:
    """The plot, its slider, its previous / next buttons and its text.

    Parameters
    ----------
    label : QLabel that shows the plot.
    slider : QSlider with one step per slice, the keyboard's way through the slices.
    previousButton, nextButton : step through the slices by strength, towards stronger and weaker ones. The walk begins
        with the strongest and goes on where it was, wherever the views were moved meanwhile.
    text : QLabel that names the slice.
    onChosen : called with the index of the slice that the user chose.
    """

    def __init__(self, label: Any, slider: Any, previousButton: Any, nextButton: Any, text: Any,
                 onChosen: Callable[[int], None]) -> None:
        self._label, self._slider, self._text, self._onChosen = label, slider, text, onChosen
        self._buttons = (previousButton, nextButton)
        self._values: list[float] = []
        self._order: list[int] = []
        self._ends = ("", "")
        self._marks: Sequence[Mark] = ()
        self._hints: Sequence[str] = ()
        self._walked = -1
        self.current = -1
        self._filter = _MouseFilter()
        self._filter.plot = self
        label.installEventFilter(self._filter)
        slider.connect("valueChanged(int)", self._choose)
        previousButton.connect("clicked()", lambda: self._step(-1))
        nextButton.connect("clicked()", lambda: self._step(1))
        self.show([], ("", ""))

    def close(self) -> None:
        """Stop listening; the label may be deleted before this object."""
        self._filter.plot = None

    def show(
        self, values: Sequence[float], ends: tuple[str, str], marks: Sequence[Mark] = (), hints: Sequence[str] = ()
    ) -> None:
        """Show the slices of one result, each with a hint for its tooltip; an empty list empties the plot."""
        self._values, self._order, self._ends = list(values), ranking(values), ends
        self._marks, self._hints, self._walked = marks, hints, -1
        with signalsBlocked(self._slider):
            self._slider.setRange(0, max(0, len(values) - 1))
        self._slider.enabled = bool(values)
        self.setCurrent(-1)

    def setCurrent(self, index: int) -> None:
        """Mark the slice that the views show, without telling anyone."""
        self.current = index if 0 <= index < len(self._values) else -1
        if self.current >= 0:
            with signalsBlocked(self._slider):
                self._slider.setValue(self.current)
            rank = self._order.index(self.current)
            self._text.text = _("Slice {number} of {count}: evidence {evidence}, rank {rank}").format(
                number=self.current + 1, count=len(self._values), evidence=spelled(self._values[self.current]),
                rank=rank + 1)
        else:
            self._text.text = _("{count} slices").format(count=len(self._values)) if self._values else ""
        self._text.toolTip = self._hints[self.current] if 0 <= self.current < len(self._hints) else ""
        self._buttons[0].enabled = self._walked > 0
        self._buttons[1].enabled = bool(self._values) and self._walked < len(self._order) - 1
        self.draw()

    def draw(self) -> None:
        """Paint again, at the label's present size."""
        if not self._values:
            self._label.setPixmap(qt.QPixmap())
            return
        drawOn(self._label, lambda painter, width, height: paintPlot(
            painter, width, height, self._values, self.current, self._ends, self._marks))

    def clickedAt(self, x: float) -> None:
        """The user pressed or dragged at a horizontal position of the plot."""
        if self._values:
            self._choose(sliceAt(x, self._label.width, len(self._values)))

    def _choose(self, index: int) -> None:
        if index != self.current and 0 <= index < len(self._values):
            self.setCurrent(index)
            self._onChosen(index)

    def _step(self, direction: int) -> None:
        place = self._walked + direction
        if not 0 <= place < len(self._order):
            return
        if place == 0 and self._walked < 0 and self.current == self._order[0] and len(self._order) > 1:
            place = 1  # the strongest is shown already
        self._walked = place
        self.setCurrent(self._order[place])
        self._onChosen(self._order[place])
