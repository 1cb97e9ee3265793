"""The panel's list of all results in the scene: choose one, load one, remove one, copy the table."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from .localization import Localization
from .logic_protocol import LogicProtocol
from .signals import signalsBlocked
from .tables import fillRow, prepareTable

_COLUMNS = 6
"""So many fit into the panel; model and time are in the hints, in the chooser and in the copied table."""

_NAME_LENGTH = 20
"""So many letters of a scan's name are in the chooser; the whole name stands below it."""


def resultTitle(result: Localization) -> str:
    """A result in the chooser: scan, predicted class, model and time, so that two of the same scan are told apart.

    Another class, whose evidence the user asked for, is named too. A long name is cut in its middle, so that the time
    is seen.
    """
    name = result.scanName
    predicted, chosen = result.predicted, result.info["provenance"]["options"].get("class_name")
    classes = [predicted] if chosen in (None, predicted) else [predicted, _("evidence for {name}").format(name=chosen)]
    if len(name) > _NAME_LENGTH:
        name = f"{name[:_NAME_LENGTH // 2]}…{name[1 - _NAME_LENGTH // 2:]}"
    return " · ".join((name, ", ".join(classes).replace("_", " "), result.model, clockTime(result)))


def clockTime(result: Localization) -> str:
    """When a result was computed, on this computer's clock."""
    created = result.info["provenance"].get("created")
    return datetime.datetime.fromisoformat(created).astimezone().strftime("%H:%M:%S") if created else ""


class ResultsSection:
    """Shows every result in the scene, as a chooser above the result and as one table.

    Parameters
    ----------
    ui : the panel's widgets.
    logic : loads and removes results.
    onChosen : called with the result that the user chose, or loaded from a file.
    """

    def __init__(self, ui: Any, logic: LogicProtocol, onChosen: Callable[[Localization], None]) -> None:
        self._ui, self._logic, self._onChosen = ui, logic, onChosen
        self._current: Localization | None = None
        self._results: list[Localization] = []
        self._shown: tuple[Any, ...] | None = None
        table = ui.resultsTable
        self._headers = [_("Scan"), _("Class"), _("Probability"), _("Regions"), _("Volume (ml)"), _("Evidence"),
                         _("Model"), _("Time")]
        prepareTable(table, [*self._headers[:2], "%", "#", _("ml"), _("Evidence")])
        table.horizontalHeaderItem(3).setToolTip(self._headers[3])
        table.setTextElideMode(qt.Qt.ElideMiddle)
        table.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.Stretch)  # a long name is cut in its middle
        table.horizontalHeader().setHighlightSections(False)
        table.connect("cellClicked(int,int)", lambda row, column: self._choose(row))
        ui.resultCombo.connect("activated(int)", self._choose)
        ui.loadResultButton.connect("clicked()", self._load)
        ui.removeResultButton.connect("clicked()", self._remove)
        ui.copyResultsButton.connect("clicked()", lambda: slicer.app.clipboard().setText(self.text()))

    def show(self, results: list[Localization], current: Localization | None) -> None:
        """List the results, oldest first, in both places the latest first."""
        ordered = results[::-1]
        state = (tuple((one, one.resultNode.GetMTime(), one.scanName) for one in ordered), current)
        if state == self._shown:
            return
        self._shown, self._results, self._current = state, ordered, current
        combo, table = self._ui.resultCombo, self._ui.resultsTable
        with signalsBlocked(combo):
            combo.clear()
            for result in ordered:
                combo.addItem(resultTitle(result))
            combo.setCurrentIndex(ordered.index(current) if current in ordered else -1)
        combo.setVisible(len(ordered) > 1)
        table.setRowCount(len(ordered))
        for row, result in enumerate(ordered):
            cells = self._row(result)
            hint = "\n".join(f"{header}: {text}" for header, text in zip(self._headers, cells, strict=True))
            fillRow(table, row, cells[:_COLUMNS], hint)
        for column in range(1, _COLUMNS):
            table.resizeColumnToContents(column)
        table.clearSelection()
        if current in ordered:
            table.selectRow(ordered.index(current))
        self._ui.copyResultsButton.enabled = bool(ordered)
        self._ui.removeResultButton.enabled = current is not None

    def text(self) -> str:
        """The table as tab-separated lines, to paste into a spreadsheet."""
        return "\n".join("\t".join(line) for line in (self._headers, *(self._row(one) for one in self._results)))

    def _row(self, result: Localization) -> list[str]:
        from hrcam.run.result import percent

        info = result.info
        regions = info["regions"]
        return [result.scanName, result.predicted.replace("_", " "), percent(result.probabilities[result.predicted]),
                str(len(regions)), f"{sum(region['volume_ml'] for region in regions):.2f}",
                result.inUnits(max(region["peak"] for region in regions)) if regions else "",
                result.model, clockTime(result)]

    def _choose(self, row: int) -> None:
        if 0 <= row < len(self._results):
            self._onChosen(self._results[row])

    def _remove(self) -> None:
        if self._current is not None and self._current.valid:
            self._logic.remove(self._current)

    def _load(self) -> None:
        path = qt.QFileDialog.getOpenFileName(
            self._ui.loadResultButton, _("Choose a result"), "", f"{_('HR-CAM results')} (*_result.json)")
        if path:
            with slicer.util.tryWithErrorDisplay(_("The result was not loaded."), waitCursor=True):
                self._onChosen(self._logic.loadResult(path))
