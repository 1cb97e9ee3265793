"""Class probabilities as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from .engine import ensureEngineOnPath

NEUTRAL = (0.45, 0.55, 0.65)


class ProbabilityBars:
    """One labeled bar per class in ``container``, most probable first."""

    def __init__(self, container: Any) -> None:
        self._container = container
        self._layout = qt.QGridLayout(container)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setVerticalSpacing(3)
        self._widgets: list[Any] = []

    def show(self, probabilities: Mapping[str, float], colors: Mapping[str, Sequence[float]], predicted: str) -> None:
        """Replace the bars; the predicted class is bold. An empty mapping removes them."""
        for widget in self._widgets:
            self._layout.removeWidget(widget)
            widget.hide()
            widget.deleteLater()
        self._widgets = []
        if not probabilities:
            return
        ensureEngineOnPath()
        from hrcam.run.result import percent

        ordered = sorted(probabilities.items(), key=lambda item: -item[1])
        for row, (name, probability) in enumerate(ordered):
            label = qt.QLabel(name.replace("_", " "))
            label.setStyleSheet("font-weight: bold;" if name == predicted else "")
            bar = qt.QProgressBar()
            bar.setRange(0, 1000)
            bar.setValue(round(1000 * probability))
            bar.setFormat(percent(probability))
            bar.setMaximumHeight(16)
            bar.setAlignment(qt.Qt.AlignCenter)
            bar.setToolTip(_("Probability of {name} for the whole volume, calibrated on the model's validation "
                             "scans.").format(name=name))
            red, green, blue = (int(255 * float(v)) for v in colors.get(name, NEUTRAL))
            bar.setStyleSheet(
                "QProgressBar { border: 1px solid palette(mid); border-radius: 3px; text-align: center; }"
                f"QProgressBar::chunk {{ background-color: rgba({red}, {green}, {blue}, 170); border-radius: 2px; }}")
            for column, widget in enumerate((label, bar)):
                self._layout.addWidget(widget, row, column)
                widget.show()  # a layout does so a turn later, in which the place of the bars would be empty
                self._widgets.append(widget)
        self._layout.setColumnStretch(1, 1)
