"""The panel's display widgets: overlay, map source, evidence range with marks, levels, opacity, outline, legend."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from .canvas import drawOn
from .display import visibleLevels
from .localization import FUSED, Localization
from .range_marks import paintMarks


def rangeStep(span: float) -> float:
    """Step of the evidence range: a round number, 100 to 1000 steps along the scale.

    Example
    -------
    >>> rangeStep(6.1), rangeStep(609.3)
    (0.01, 1.0)
    """
    return max(0.01, 10.0 ** (math.floor(math.log10(max(span, 1e-6))) - 2))


class _ResizeFilter(qt.QObject):
    """Tells the section that its strip of marks has another width."""

    section = None

    def eventFilter(self, watched: Any, event: Any) -> bool:
        if self.section is not None and event.type() == qt.QEvent.Resize:
            self.section.drawMarks()
        return False


class DisplaySection:
    """Shows one result's display settings; the parameter node holds them, this class holds none.

    Parameters
    ----------
    ui : the panel's widgets.
    onSource : called with the map source that the user chose.
    onRange : called with lowest and highest evidence.
    onLevel : called with a level's number (1 is the weakest) and whether it is to be shown.
    """

    def __init__(self, ui: Any, onSource: Callable[[str], None], onRange: Callable[[float, float], None],
                 onLevel: Callable[[int, bool], None]) -> None:
        self._ui, self._onSource, self._onRange, self._onLevel = ui, onSource, onRange, onLevel
        self._sources: list[str] = []
        self._result: Localization | None = None
        self._checks: list[Any] = []
        self._levels: tuple[Any, ...] = ()
        self._scale: tuple[float, float] | None = None
        self._levelsLayout = qt.QHBoxLayout(ui.levelsWidget)
        self._levelsLayout.setContentsMargins(0, 0, 0, 0)
        ui.mapSourceCombo.connect("activated(int)", self._sourceActivated)
        ui.evidenceRangeWidget.connect("valuesChanged(double,double)", self._rangeChanged)
        self._filter = _ResizeFilter()
        self._filter.section = self
        ui.evidenceMarksLabel.installEventFilter(self._filter)

    def close(self) -> None:
        """Stop listening to the widgets' events."""
        self._filter.section = None

    def show(self, result: Localization | None, sources: list[str], source: str, low: float, high: float) -> None:
        """Show the settings of a result; ``None`` empties the section."""
        self._result, self._sources = result, sources
        combo = self._ui.mapSourceCombo
        wasBlocked = combo.blockSignals(True)
        combo.clear()
        for name in sources:
            combo.addItem(_("Fused, all levels") if name == FUSED else _("Level {name}").format(name=name))
        combo.setCurrentIndex(sources.index(source) if source in sources else 0)
        combo.blockSignals(wasBlocked)
        if result is not None:
            start, end = result.evidenceSpan()
            slider = self._ui.evidenceRangeWidget
            wasBlocked = slider.blockSignals(True)
            scale = (min(start, low), end)
            if scale != self._scale:  # not while the user drags a handle
                self._scale = scale
                slider.singleStep = rangeStep(end - start)
                slider.minimum, slider.maximum = scale
            slider.setValues(low, min(high, end))
            slider.blockSignals(wasBlocked)
        self._showLevels()
        self.drawMarks()

    def drawMarks(self) -> None:
        """Paint the strip under the evidence range."""
        label = self._ui.evidenceMarksLabel
        if self._result is None or not self._result.valid:
            label.setPixmap(qt.QPixmap())
            return
        slider, result = self._ui.evidenceRangeWidget, self._result
        drawOn(label, lambda painter, width, height: paintMarks(
            painter, width, result.evidenceSpan(), slider.minimumValue, slider.maximumValue, result.evidenceLevels))

    def _showLevels(self) -> None:
        levels = (self._result, *visibleLevels(self._result)) if self._result is not None else ()
        if levels == self._levels:
            return
        self._levels = levels
        for check in self._checks:
            self._levelsLayout.removeWidget(check)
            check.hide()
            check.deleteLater()
        self._checks = []
        if self._result is None:
            return
        for number, level in enumerate(self._result.evidenceLevels, start=1):
            check = qt.QCheckBox(str(level["name"]))
            pixmap = qt.QPixmap(12, 12)
            pixmap.fill(qt.QColor(*(int(255 * float(v)) for v in level["color"])))
            check.setIcon(qt.QIcon(pixmap))
            check.setChecked(levels[number])
            check.setToolTip(_("Evidence from {threshold:.2f} logits.").format(threshold=float(level["threshold"])))
            check.connect("toggled(bool)", lambda on, number=number: self._onLevel(number, on))
            self._levelsLayout.addWidget(check)
            self._checks.append(check)

    def _sourceActivated(self, index: int) -> None:
        if 0 <= index < len(self._sources):
            self._onSource(self._sources[index])

    def _rangeChanged(self, low: float, high: float) -> None:
        self.drawMarks()
        start, end = self._result.evidenceSpan() if self._result is not None else (low, high)
        # The widget rounds to its decimals and steps: a handle at an end means the very end.
        close = 0.51 * self._ui.evidenceRangeWidget.singleStep
        self._onRange(start if abs(low - start) <= close else low, end if high >= end - close else high)
