"""The panel's comparison: which earlier scan, what became of each region, and both dates side by side."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from .comparison import Comparison
from .display import jumpTo
from .logic_protocol import LogicProtocol
from .panel_runs import PanelRuns
from .regions_table import anatomicalPlace, spelled
from .shown_state import ShownState
from .signals import signalsBlocked
from .steps import StepRunner, Steps
from .tables import colorIcon, fillRow, fitHeight, prepareTable
from .volume_nodes import checkInput


class ComparisonSection:
    """Compares the chosen scan with an earlier one, and shows the comparison of the scan that is chosen.

    Parameters
    ----------
    ui : the panel's widgets.
    logic : what shows comparisons.
    runs : starts and cancels runs.
    shown : what the slice views show otherwise.
    isOpen : whether the panel is the one that the user sees.
    onBack : called when the slice views came back, for results to be shown in them again.
    """

    def __init__(self, ui: Any, logic: LogicProtocol, runs: PanelRuns, shown: ShownState,
                 isOpen: Callable[[], bool], onBack: Callable[[], None]) -> None:
        self._ui, self._logic, self._runs, self._shown = ui, logic, runs, shown
        self._isOpen, self._onBack = isOpen, onBack
        self._comparison: Comparison | None = None
        self._listed: tuple[Any, ...] | None = ()  # unlike that of any scan
        self._scans: tuple[Any, Any] = (None, None)
        self._changes: list[dict] = []
        self._turning: StepRunner | None = None
        table = ui.changesTable
        headers = [_("#"), _("Change"), _("ml"), _("Evidence"), _("Slice")]
        prepareTable(table, headers)
        table.horizontalHeader().setHighlightSections(False)
        table.horizontalHeader().setStretchLastSection(True)
        table.connect("cellClicked(int,int)", lambda row, column: self._jump(row))
        table.connect("currentCellChanged(int,int,int,int)", lambda row, *others: self._jump(row))
        ui.compareButton.connect("clicked()", self._clicked)
        ui.sideBySideButton.connect("clicked(bool)", self._sideBySide)
        ui.changeMapButton.connect("clicked(bool)", self._showChange)
        ui.removeComparisonButton.connect("clicked()", self._remove)

    def refresh(self, later: Any, earlier: Any) -> None:
        """Show the latest comparison of a scan, with whatever it was compared; and whether the two can be compared."""
        ui = self._ui
        self._scans = later, earlier
        if not self._logic.running:
            reason = self._whyNot(later, earlier)
            ui.compareButton.enabled, ui.compareButton.text = not reason, _("Compare")
            ui.compareButton.toolTip = reason or _("Say what became of each region since the earlier scan.")
        found = [one for one in self._logic.comparisons() if one.valid and later in (one.later, one.earlier)]
        fitting = [one for one in found if earlier in (one.later, one.earlier)]
        self._show(next(reversed(fitting or found), None) if later is not None else None)

    @property
    def showing(self) -> bool:
        """Whether the views are on their way to both dates, or back."""
        return self._turning is not None

    def leave(self) -> None:
        """The slice views show a result again."""
        self._stopTurning()
        self._logic.comparisonViews.hide()
        self._ui.sideBySideButton.checked = self._ui.changeMapButton.checked = False

    def end(self) -> None:
        """Lead the slice views back to the former layout, if they show two dates."""
        if self._ui.sideBySideButton.checked:
            self.leave()
            self._takeBack()

    def _whyNot(self, later: Any, earlier: Any) -> str:
        if earlier is None:
            return _("Choose the earlier scan.")
        if earlier is later:
            return _("Both scans are the same. Choose the earlier one.")
        return next((reason for node in (later, earlier) for valid, reason in [checkInput(node)] if not valid), "")

    def _clicked(self) -> None:
        if self._logic.running:
            self._runs.cancel()
            self._say(_("Cancelled."))
            self.refresh(*self._scans)
            return
        self._ui.compareButton.text = _("Cancel")
        self._say(_("Starting..."))
        self._runs.compare(self._scans[1], self._say, self._done, self._failed)

    def _failed(self, message: str) -> None:
        self._say(message)
        self.refresh(*self._scans)

    def _done(self, comparison: Comparison) -> None:
        self._show(comparison)
        self.refresh(*self._scans)
        if self._isOpen():  # the views of another module stay as they are
            self._ui.sideBySideButton.checked = True
            self._sideBySide(True)

    def _show(self, comparison: Comparison | None) -> None:
        state = (comparison, comparison.node.GetMTime()) if comparison is not None else None
        if state == self._listed:
            return
        if comparison != self._comparison:
            self.end()
        self._listed, self._comparison = state, comparison
        self._changes = comparison.changes if comparison is not None else []
        ui = self._ui
        for widget in (ui.changesTable, ui.sideBySideButton, ui.changeMapButton, ui.removeComparisonButton):
            widget.setVisible(comparison is not None)
        self._say("" if comparison is None else "\n".join([_summary(comparison), *comparison.warnings]))
        self._fill()

    def _fill(self) -> None:
        from hrcam.compare.calls import CALLS, spelled_call

        table, comparison = self._ui.changesTable, self._comparison
        unit = _unit(comparison) if comparison is not None else 1.0
        with signalsBlocked(table):
            table.setRowCount(len(self._changes))
            for row, change in enumerate(self._changes):
                texts = (str(change["number"]), spelled_call(change["call"], change.get("beyond_repeatability", True)),
                         f"{change['volume_earlier_ml']:.2f} → {change['volume_later_ml']:.2f}",
                         _evidence(change, unit), f"{change['plane']} {change['slice_index'] + 1}")
                fillRow(table, row, texts, _hint(change), colorIcon(CALLS[change["call"]]))
            for column in range(4):
                table.resizeColumnToContents(column)
            fitHeight(table, len(self._changes))
            table.setCurrentCell(-1, -1)

    def _jump(self, row: int) -> None:
        if 0 <= row < len(self._changes):
            jumpTo(self._changes[row]["peak_ras"])

    def _sideBySide(self, on: bool) -> None:
        if self._comparison is None:
            return
        views = self._logic.comparisonViews
        if on:
            self._shown.lend()
            change, legend = (bool(box.checked) for box in (self._ui.changeMapButton, self._ui.legendCheckBox))
            self._turn(views.showSteps(self._comparison, change, legend))
        else:
            self._ui.changeMapButton.checked = False
            self._turn(views.hideSteps(), self._takeBack)

    def _takeBack(self) -> None:
        self._shown.takeBack()
        self._onBack()

    def _showChange(self, on: bool) -> None:
        """Lay the change of evidence over both dates, which are shown for it where they are not."""
        if on and not self._ui.sideBySideButton.checked:
            self._ui.sideBySideButton.checked = True
            self._sideBySide(True)
        else:
            self._logic.comparisonViews.showChange(on)

    def _turn(self, steps: Steps, onDone: Callable[[], None] = lambda: None) -> None:
        """Change the views, one a turn of the event loop."""
        def ended(outcome: Any) -> None:
            self._turning = None
            if isinstance(outcome, Exception):
                logging.error("HR-CAM: %s", outcome)
            onDone()

        self._stopTurning()
        self._turning = StepRunner(steps, ended, ended, budget=0.0)
        self._turning.start()

    def _stopTurning(self) -> None:
        turning, self._turning = self._turning, None
        if turning is not None:
            turning.cancel()

    def _remove(self) -> None:
        comparison = self._comparison
        if comparison is not None and comparison.valid:
            self.end()
            comparison.remove()
            self._say("")

    def _say(self, message: str) -> None:
        self._ui.compareStatusLabel.text = message
        self._ui.compareStatusLabel.setVisible(bool(message))


def _summary(comparison: Comparison) -> str:
    calls = comparison.info["calls"]
    counts = ", ".join(f"{count} {call}" for call, count in calls.items() if count)
    earlier = comparison.earlier.GetName() if comparison.earlier is not None else comparison.info["earlier"]["case"]
    return _("{later}, compared with {earlier}: {counts}.").format(
        later=comparison.later.GetName(), earlier=earlier, counts=counts or _("no region on either date"))


def _unit(comparison: Comparison) -> float:
    from hrcam.run.units import unit_of

    return unit_of([float(level["threshold"]) for level in comparison.info["evidence_levels"]])


def _evidence(change: dict, unit: float) -> str:
    """Strongest evidence on both dates, as people read it."""
    peaks = (change["peak_earlier"], change["peak_later"])
    return " → ".join("–" if peak is None else spelled(peak / unit) for peak in peaks)


def _hint(change: dict) -> str:
    from hrcam.compare.calls import spelled_call

    words = _("Diameter {diameter:+.1f} mm, mean evidence {evidence:+.2f} logits. Strongest at {place} mm; slices of "
              "the later scan, counted from 1.").format(
        diameter=change["diameter_change_mm"], evidence=change["evidence_change"],
        place=anatomicalPlace(change["peak_ras"]))
    if spelled_call(change["call"], change.get("beyond_repeatability", True)) == change["call"]:
        return words
    return words + "\n" + _("\"?\": two runs on one scan can differ by as much.")
