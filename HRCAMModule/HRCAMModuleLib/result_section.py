"""The panel's result: what the scan shows, warnings, regions, and the evidence of each slice."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from .display import nearestSlice
from .evidence_plot import EvidencePlot
from .localization import PLACE_PROBLEM_ATTRIBUTE, Localization
from .parameters import Plane
from .probability_bars import ProbabilityBars
from .regions_table import RegionsTable
from .signals import signalsBlocked
from .steps import Steps

PLANES = (Plane.AXIAL, Plane.CORONAL, Plane.SAGITTAL, Plane.ALL)

WARNINGS_SHOWN = 2
"""More are in the tooltip: a wall of warnings is not read."""


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
        self._shown: Localization | None = None
        self._regionsHint = str(ui.regionsTable.toolTip)
        for plane in PLANES:
            ui.readPlaneCombo.addItem(plane.label())
        ui.copyRegionsButton.connect("clicked()", lambda: slicer.app.clipboard().setText(self.regions.text()))

    def close(self) -> None:
        """Stop listening to the widgets' events."""
        self.plot.close()

    def showSteps(self, result: Localization | None, classColors: Mapping[str, Sequence[float]]) -> Steps:
        """Show a result (None: that there is none yet), one part a step."""
        self.bars.show(result.probabilities if result else {}, classColors, result.predicted if result else "")
        self._showText(result)
        yield 0.5
        levels = result.evidenceLevels if result else []
        unit = result.unit if result else 1.0
        colors = {level["name"]: level["color"] for level in levels}
        yield from self.regions.showSteps(result.regions if result else [], colors, unit, result == self._shown)
        self._shown = result
        problem = result.resultNode.GetAttribute(PLACE_PROBLEM_ATTRIBUTE) or "" if result else ""
        self._ui.regionsTable.toolTip = "\n".join([self._regionsHint, problem]).strip()
        yield 0.7
        self._slices = result.slices if result else []
        marks = [(str(level["name"]), float(level["threshold"]) / unit, level["color"]) for level in levels]
        self.plot.show([_peak(item) / unit for item in self._slices], _planeEnds(self._slices), marks,
                       [_hint(item) for item in self._slices])
        self.follow()
        yield 1.0

    def follow(self) -> None:
        """Mark the slice that the slice views show."""
        index = nearestSlice(self._slices) if self._slices else None
        if index is not None and index != self.plot.current:
            self.plot.setCurrent(index)

    def showChoices(self, result: Localization | None) -> None:
        """Name the scan, the class and the plane that are shown; another one may have been chosen and its run
        cancelled, and a sequence may show another frame by now.
        """
        self._ui.resultTitleLabel.text = _title(result)
        shown = result.shownClass if result else None
        _select(self._ui.classCombo, self.classes.index(shown) if shown in self.classes else -1)
        planes = [plane.value for plane in PLANES]
        read = result.plane if result else None
        _select(self._ui.readPlaneCombo, planes.index(read) if read in planes else -1)
        self._ui.readPlaneCombo.enabled = read in planes

    def _sliceChosen(self, index: int) -> None:
        if 0 <= index < len(self._slices):
            self._onSlice(self._slices[index]["position_ras"])

    def _showText(self, result: Localization | None) -> None:
        ui = self._ui
        self.classes = list(result.probabilities) if result else []
        with signalsBlocked(ui.classCombo):
            ui.classCombo.clear()
            for name in self.classes:
                ui.classCombo.addItem(name.replace("_", " "))
        self.showChoices(result)
        ui.classCombo.enabled = len(self.classes) > 1
        for widget in (ui.classLabel, ui.classCombo, ui.readPlaneLabel, ui.readPlaneCombo, ui.copyRegionsButton,
                       ui.editSegmentsButton):
            widget.setVisible(result is not None)
        withheld = result is not None and _somethingWithheld(result)
        ui.showMarksButton.setVisible(withheld)
        ui.showMarksButton.text = _("Mark the evidence for {name} all the same").format(
            name=result.shownClass.replace("_", " ")) if withheld else ""
        warnings = result.warnings if result else []
        shown = [html.escape(text) for text in warnings[:WARNINGS_SHOWN]]
        if len(warnings) > len(shown):
            shown.append(_("{count} more: hold the mouse here.").format(count=len(warnings) - len(shown)))
        ui.warningsLabel.text = "<br>".join(shown)
        ui.warningsLabel.toolTip = "\n".join(warnings) if len(warnings) > WARNINGS_SHOWN else ""
        ui.warningsLabel.setVisible(bool(warnings))
        nothing = result is not None and not result.regions
        ui.noRegionsLabel.text = _nothingMarked(result) if nothing else ""
        ui.noRegionsLabel.setVisible(nothing)
        ui.regionsTable.setVisible(result is not None and not nothing)
        ui.copyRegionsButton.enabled = ui.editSegmentsButton.enabled = not nothing


def _select(combo: Any, index: int) -> None:
    with signalsBlocked(combo):
        combo.setCurrentIndex(index)


def _title(result: Localization | None) -> str:
    if result is None:
        return _("No result yet. Choose a scan and press \"Localize pathology\".")
    words = _("<b>{predicted}</b> is the most probable class of <i>{volume}</i>.").format(
        predicted=html.escape(result.predicted.replace("_", " ")), volume=html.escape(result.scanName))
    if result.scanMoved:
        return words + " " + _("<b>The scan was moved since</b>: localize it again.")
    frame = result.otherFrame
    return words if frame is None else words + " " + _(
        "<b>The scan now shows frame {frame}</b>: localize it again for that one.").format(frame=frame)


def _nothingMarked(result: Localization) -> str:
    """Why the overlay is empty: nothing is there, or what is there is withheld, or too small."""
    name = result.shownClass.replace("_", " ")
    if _strongest(result) >= result.unit:
        return _("Nothing is marked; single spots reach {units} times the weakest level for {name}.").format(
            units=result.inUnits(_strongest(result)), name=name)  # the warning above says why
    return _("Nothing is marked: the evidence for {name} stays below the weakest calibrated level.").format(name=name)


def _somethingWithheld(result: Localization) -> bool:
    """Whether evidence reaches a level and is not marked, because the scan as a whole is called normal."""
    return result.withheld and _strongest(result) >= result.unit


def _strongest(result: Localization) -> float:
    """Strongest evidence of the scan, logits."""
    return max((_peak(item) for item in result.info["slices"]), default=float("-inf"))


def _peak(item: dict) -> float:
    """Strongest evidence of a slice, logits; results of before 0.2 state its mean alone."""
    return float(item["evidence"] if item.get("peak") is None else item["peak"])


def _hint(item: dict) -> str:
    """A slice's evidence in the files' own numbers."""
    peak = item.get("peak")
    strongest = "" if peak is None else _("Strongest {peak:.2f} logits, ").format(peak=peak)
    return strongest + _("mean {mean:.3f} logits.").format(mean=item["evidence"])


def _planeEnds(slices: list[dict]) -> tuple[str, str]:
    """What lies at the first and at the last slice."""
    if len(slices) < 2:
        return "", ""
    first, last = slices[0]["position_ras"], slices[-1]["position_ras"]
    axis = max(range(3), key=lambda n: abs(last[n] - first[n]))
    low, high = ((_("Left"), _("Right")), (_("Posterior"), _("Anterior")), (_("Inferior"), _("Superior")))[axis]
    return (low, high) if last[axis] > first[axis] else (high, low)
