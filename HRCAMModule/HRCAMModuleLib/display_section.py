"""The panel's display widgets: overlay, map source, evidence range with marks, levels, opacity, outline, legend."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from .canvas import drawOn
from .colors import engineLevels
from .display import visibleLevels
from .localization import FUSED, Localization
from .range_marks import paintMarks
from .signals import signalsBlocked
from .tables import colorIcon


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

    Evidence is shown in units: 1.0 is the weakest calibrated level. Callbacks take logits, as everything beneath does.

    Parameters
    ----------
    ui : the panel's widgets.
    onSource : called with the map source that the user chose.
    onRange : called with lowest and highest evidence of the source that is shown, logits.
    onLevel : called with a level's number (1 is the weakest) and whether it is to be shown.
    """

    def __init__(self, ui: Any, onSource: Callable[[str], None], onRange: Callable[[float, float], None],
                 onLevel: Callable[[int, bool], None]) -> None:
        self._ui, self._onSource, self._onRange, self._onLevel = ui, onSource, onRange, onLevel
        self._sources: list[str] = []
        self._source = FUSED
        self._result: Localization | None = None
        self._checks: list[Any] = []
        self._levels: tuple[Any, ...] = ()
        slider = ui.evidenceRangeWidget
        self._emptyScale = self._scale = (slider.minimum, slider.maximum)
        self._levelsLayout = qt.QHBoxLayout(ui.levelsWidget)
        self._levelsLayout.setContentsMargins(0, 0, 0, 0)
        ui.mapSourceCombo.connect("activated(int)", self._sourceActivated)
        slider.connect("valuesChanged(double,double)", self._rangeChanged)
        self._filter = _ResizeFilter()
        self._filter.section = self
        ui.evidenceMarksLabel.installEventFilter(self._filter)

    def close(self) -> None:
        """Stop listening to the widgets' events."""
        self._filter.section = None

    def show(self, result: Localization | None, sources: list[str], source: str, low: float, high: float) -> None:
        """Show the settings of a result, with the range of its shown source, logits; ``None`` empties the section."""
        self._result, self._sources = result, sources
        self._source = source if source in sources else FUSED
        combo = self._ui.mapSourceCombo
        with signalsBlocked(combo):
            combo.clear()
            for name in sources:
                combo.addItem(_("All levels, fused") if name == FUSED else _("Only {words}").format(
                    words=result.levelWords(name)))
                combo.setItemData(combo.count - 1, name, qt.Qt.ToolTipRole)
            combo.setCurrentIndex(sources.index(self._source) if sources else -1)
        self._showRange(result, low, high)
        self._showLevels()
        self.drawMarks()

    def _showRange(self, result: Localization | None, low: float, high: float) -> None:
        slider = self._ui.evidenceRangeWidget
        if result is None:
            scale = low, high = self._emptyScale
        else:
            start, end = (value / result.unit for value in result.evidenceSpan(self._source))
            low, high = low / result.unit, min(high / result.unit, end)
            scale = (min(start, low), end)
        with signalsBlocked(slider):
            if scale != self._scale:  # not while the user drags a handle
                self._scale = scale
                slider.singleStep = rangeStep(scale[1] - scale[0])
                slider.minimum, slider.maximum = scale
            slider.setValues(low, high)

    def drawMarks(self) -> None:
        """Paint the strip under the evidence range."""
        label = self._ui.evidenceMarksLabel
        if self._result is None or not self._result.valid:
            label.setPixmap(qt.QPixmap())
            return
        from hrcam.output.evidence_colors import even_colors, map_colors

        slider, result, fused = self._ui.evidenceRangeWidget, self._result, self._source == FUSED
        levels = engineLevels(result.evidenceLevels)
        colors = map_colors(levels) if fused else even_colors()
        span = tuple(value / result.unit for value in result.evidenceSpan(self._source))
        marks = [(level.name, level.threshold / result.unit, level.color) for level in levels] if fused else []
        drawOn(label, lambda painter, width, height: paintMarks(
            painter, width, span, slider.minimumValue, slider.maximumValue, colors, marks))

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
            check.setIcon(colorIcon(level["color"]))
            check.setChecked(levels[number])
            threshold = float(level["threshold"])
            check.setToolTip(_("Evidence from {units} times the weakest level on ({threshold:.2f} logits).").format(
                units=self._result.inUnits(threshold), threshold=threshold))
            check.connect("toggled(bool)", lambda on, number=number: self._onLevel(number, on))
            self._levelsLayout.addWidget(check)
            self._checks.append(check)

    def _sourceActivated(self, index: int) -> None:
        if 0 <= index < len(self._sources):
            self._onSource(self._sources[index])

    def _rangeChanged(self, low: float, high: float) -> None:
        self.drawMarks()
        if self._result is None:
            return
        unit = self._result.unit
        start, end = self._result.evidenceSpan(self._source)
        # The widget rounds to its decimals and steps: a handle at an end or at a level means exactly that.
        close = 0.51 * self._ui.evidenceRangeWidget.singleStep * unit
        low, high = low * unit, high * unit
        exact = [start, *(float(level["threshold"]) for level in self._result.evidenceLevels)]
        low = next((value for value in exact if abs(low - value) <= close), low)
        self._onRange(low, end if high >= end - close else high)
