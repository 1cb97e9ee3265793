"""Two dates side by side: the later scan on the left, the earlier one on the right, in linked views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
import vtk

from .comparison import Comparison
from .display import fitSliceViews, jumpTo

_LATER_VIEW, _EARLIER_VIEW = "Red", "Yellow"
_LABEL_OPACITY = 0.35
"""So faint that what lies beneath is seen: outlines say what became of a region."""

_CHANGE_OPACITY = 0.7
_LAYERS = ("LinkedControl", "HotLinkedControl", "BackgroundVolumeID", "ForegroundVolumeID", "LabelVolumeID",
           "ForegroundOpacity", "LabelOpacity")


class ComparisonViews:
    """Shows one comparison, until it is hidden."""

    def __init__(self) -> None:
        self.shown: Comparison | None = None
        self._formerLayout: int | None = None
        self._restore: list[Callable[[], None]] = []

    def show(self, comparison: Comparison, withChange: bool = False) -> None:
        """Show both dates, with what was marked on each, and what became of each region as outlines.

        ``withChange``: see `showChange`.
        """
        self.hide()
        self.shown = comparison
        self._restore = [_restoring(composite) for composite in _composites()]
        self._restore += [_turningBack(node) for node in _sliceNodes()]
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
        """Go back to the former layout, to what the two views showed then, and along which plane."""
        self.showChange(False)
        shown, self.shown = self.shown, None
        layout, self._formerLayout = self._formerLayout, None
        if shown is None:
            return
        if shown.valid:
            shown.change.GetDisplayNode().SetVisibility2D(False)
        for restore in self._restore:
            restore()
        manager = slicer.app.layoutManager()
        if manager is not None and layout is not None:
            manager.setLayout(layout)
        fitSliceViews()  # they have another size now


def _showIn(viewName: str, orientation: str, scan: Any, levels: Any) -> None:
    for composite in _composites(viewName):
        composite.SetBackgroundVolumeID(scan.GetID())
        composite.SetForegroundVolumeID(None)
        composite.SetLabelVolumeID(levels.GetID() if levels is not None else None)
        composite.SetLabelOpacity(_LABEL_OPACITY)
        composite.SetLinkedControl(True)
        composite.SetHotLinkedControl(True)
    for node in _sliceNodes(viewName):
        node.SetOrientation(orientation)


def _restoring(composite: Any) -> Callable[[], None]:
    """Puts back into a view the volumes that it shows now."""
    former = {name: getattr(composite, f"Get{name}")() for name in _LAYERS}

    def restore() -> None:
        for name, value in former.items():
            gone = isinstance(value, str) and slicer.mrmlScene.GetNodeByID(value) is None
            getattr(composite, f"Set{name}")(None if gone else value)

    return restore


def _turningBack(node: Any) -> Callable[[], None]:
    """Turns a view back to the plane that it shows now."""
    orientation = vtk.vtkMatrix4x4()
    orientation.DeepCopy(node.GetSliceToRAS())

    def turn() -> None:
        node.GetSliceToRAS().DeepCopy(orientation)
        node.UpdateMatrices()

    return turn


def _sliceNodes(*viewNames: str) -> list[Any]:
    """Slice views by name; both views of a comparison where none is named."""
    return [node for node in slicer.util.getNodesByClass("vtkMRMLSliceNode")
            if node.GetLayoutName() in (viewNames or (_LATER_VIEW, _EARLIER_VIEW))]


def _composites(*viewNames: str) -> list[Any]:
    """What says which volumes a slice view shows; of both views of a comparison where none is named."""
    return [node for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
            if node.GetLayoutName() in (viewNames or (_LATER_VIEW, _EARLIER_VIEW))]
