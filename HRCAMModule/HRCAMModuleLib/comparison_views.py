"""Two dates side by side: the later scan on the left, the earlier one on the right, in linked views."""

from __future__ import annotations

from typing import Any

import slicer

from .comparison import Comparison
from .display import fitSliceViews, jumpTo

_LATER_VIEW, _EARLIER_VIEW = "Red", "Yellow"
_LABEL_OPACITY = 0.35
"""So faint that what lies beneath is seen: outlines say what became of a region."""

_CHANGE_OPACITY = 0.7


class ComparisonViews:
    """Shows one comparison, until it is hidden."""

    def __init__(self) -> None:
        self.shown: Comparison | None = None
        self._formerLayout: int | None = None

    def show(self, comparison: Comparison, withChange: bool = False) -> None:
        """Show both dates, with what was marked on each, and what became of each region as outlines.

        ``withChange``: see `showChange`.
        """
        self.hide()
        self.shown = comparison
        manager = slicer.app.layoutManager()
        if manager is not None:
            self._formerLayout = int(manager.layout)
            manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView)
        changes = comparison.changes
        orientation = (changes[0]["plane"] if changes else "axial").capitalize()
        for name, scan, levels in ((_LATER_VIEW, comparison.later, comparison.laterLevels),
                                   (_EARLIER_VIEW, comparison.earlierThere, comparison.earlierLevels)):
            _showIn(name, orientation, scan, levels)
        self.showChange(withChange)
        display = comparison.change.GetDisplayNode()
        display.SetVisibility2DFill(False)
        display.SetVisibility2DOutline(True)
        display.SetVisibility2D(True)
        fitSliceViews()
        if changes:
            jumpTo(changes[0]["peak_ras"])

    def showChange(self, on: bool) -> None:
        """Show where evidence was gained and lost, in both views, instead of what was marked on each date."""
        changeMap = self.shown.changeMap if self.shown is not None else None
        if changeMap is None:
            return
        for composite in _composites():
            composite.SetCompositing(composite.Add if on else composite.Alpha)
            composite.SetForegroundVolumeID(changeMap.GetID() if on else None)
            composite.SetForegroundOpacity(_CHANGE_OPACITY if on else 0.0)
            composite.SetLabelOpacity(0.0 if on else _LABEL_OPACITY)

    def hide(self) -> None:
        """Go back to the former layout; what the views show then is the caller's."""
        self.showChange(False)
        shown, self.shown = self.shown, None
        layout, self._formerLayout = self._formerLayout, None
        if shown is None:
            return
        if shown.valid:
            shown.change.GetDisplayNode().SetVisibility2D(False)
        manager = slicer.app.layoutManager()
        if manager is not None and layout is not None:
            manager.setLayout(layout)


def _showIn(viewName: str, orientation: str, scan: Any, levels: Any) -> None:
    for composite in _composites(viewName):
        composite.SetBackgroundVolumeID(scan.GetID())
        composite.SetForegroundVolumeID(None)
        composite.SetLabelVolumeID(levels.GetID() if levels is not None else None)
        composite.SetLabelOpacity(_LABEL_OPACITY)
        composite.SetLinkedControl(True)
        composite.SetHotLinkedControl(True)
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        if node.GetLayoutName() == viewName:
            node.SetOrientation(orientation)


def _composites(*viewNames: str) -> list[Any]:
    """What says which volumes a slice view shows; of both views of a comparison where none is named."""
    return [node for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
            if node.GetLayoutName() in (viewNames or (_LATER_VIEW, _EARLIER_VIEW))]
