"""The panel's result: what the scan shows, warnings, regions, and the evidence of each slice."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from slicer.i18n import tr as _

from .display import nearestSlice
from .evidence_plot import EvidencePlot
from .localization import Localization
from .probability_bars import ProbabilityBars
from .regions_table import RegionsTable
from .steps import Steps


class ResultSection:
    """Shows one result, or that there is none.

    Parameters
    ----------
    ui : the panel's widgets.
    onRegion : called with the label of the region that the user chose.
    onSlice : called with the world RAS, mm, of the slice that the user chose.
    """

    def __init__(self, ui: Any, onRegion: Callable[[int], None], onSlice: Callable[[Sequence[float]], None]) -> None:
        self._ui, self._onSlice = ui, onSlice
        self.bars = ProbabilityBars(ui.probabilitiesWidget)
        self.regions = RegionsTable(ui.regionsTable, onRegion)
        self.plot = EvidencePlot(ui.evidencePlotLabel, ui.sliceSlider, ui.previousStrongestButton,
                                 ui.nextStrongestButton, ui.sliceLabel, self._sliceChosen)
        self.classes: list[str] = []
        self._slices: list[dict] = []

    def close(self) -> None:
        """Stop listening to the widgets' events."""
        self.plot.close()

    def showSteps(self, result: Localization | None, classColors: Mapping[str, Sequence[float]]) -> Steps:
        """Show a result (None: that there is none yet), one part a step."""
        self.bars.show(result.probabilities if result else {}, classColors, result.shownClass if result else "")
        self._showText(result)
        yield 0.5
        colors = {level["name"]: level["color"] for level in result.evidenceLevels} if result else {}
        yield from self.regions.showSteps(result.regions if result else [], colors)
        yield 0.7
        self._slices = result.slices if result else []
        self.plot.show([item["evidence"] for item in self._slices], _planeEnds(self._slices))
        self.follow()
        yield 1.0

    def follow(self) -> None:
        """Mark the slice that the slice views show."""
        index = nearestSlice(self._slices) if self._slices else None
        if index is not None and index != self.plot.current:
            self.plot.setCurrent(index)

    def showClass(self, result: Localization | None) -> None:
        """Name the class that is shown; another one may have been chosen and its run cancelled."""
        combo = self._ui.classCombo
        wasBlocked = combo.blockSignals(True)
        shown = result.shownClass if result else None
        combo.setCurrentIndex(self.classes.index(shown) if shown in self.classes else -1)
        combo.blockSignals(wasBlocked)

    def _sliceChosen(self, index: int) -> None:
        if 0 <= index < len(self._slices):
            self._onSlice(self._slices[index]["position_ras"])

    def _showText(self, result: Localization | None) -> None:
        ui = self._ui
        self.classes = list(result.probabilities) if result else []
        wasBlocked = ui.classCombo.blockSignals(True)
        ui.classCombo.clear()
        for name in self.classes:
            ui.classCombo.addItem(name.replace("_", " "))
        ui.classCombo.blockSignals(wasBlocked)
        self.showClass(result)
        ui.classCombo.enabled = len(self.classes) > 1
        if result is None:
            ui.resultTitleLabel.text = _("No result yet. Choose a scan and press \"Localize pathology\".")
        else:
            ui.resultTitleLabel.text = _("<b>{predicted}</b> is the most probable class of <i>{volume}</i>.").format(
                predicted=html.escape(result.predicted.replace("_", " ")),
                volume=html.escape(result.inputVolume.GetName()))
        warnings = result.warnings if result else []
        ui.warningsLabel.text = "<br>".join(html.escape(text) for text in warnings)
        ui.warningsLabel.setVisible(bool(warnings))
        nothing = result is not None and not result.regions
        ui.noRegionsLabel.text = _("No evidence for {name} reaches the weakest calibrated level: the overlay is "
                                   "empty.").format(name=result.shownClass.replace("_", " ")) if nothing else ""
        ui.noRegionsLabel.setVisible(nothing)
        ui.regionsTable.setVisible(not nothing)


def _planeEnds(slices: list[dict]) -> tuple[str, str]:
    """What lies at the first and at the last slice."""
    if len(slices) < 2:
        return "", ""
    first, last = slices[0]["position_ras"], slices[-1]["position_ras"]
    axis = max(range(3), key=lambda n: abs(last[n] - first[n]))
    low, high = ((_("Left"), _("Right")), (_("Posterior"), _("Anterior")), (_("Inferior"), _("Superior")))[axis]
    return (low, high) if last[axis] > first[axis] else (high, low)
