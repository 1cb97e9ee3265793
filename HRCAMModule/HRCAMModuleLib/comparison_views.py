"""Two dates side by side: the later scan on the left, the earlier one on the right, in linked views."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import slicer
import vtk

from .comparison import Comparison
from .display import drawView, fitView, jumpTo, jumpView, lastPlace
from .legend import hideComparisonLegends, showComparisonLegends
from .steps import Steps, runToEnd

_VIEWS = _LATER_VIEW, _EARLIER_VIEW = ("Red", "Yellow")
_LABEL_OPACITY = 0.35
"""So faint that what lies beneath is seen: outlines say what became of a region."""

_CHANGE_OPACITY = 0.7
_LAYERS = ("LinkedControl", "HotLinkedControl", "BackgroundVolumeID", "ForegroundVolumeID", "LabelVolumeID",
           "ForegroundOpacity", "LabelOpacity")


class ComparisonViews:
    """Shows one comparison, until it is hidden."""

    def __init__(self) -> None:
        self.shown: Comparison | None = None
        self._legend = self._withChange = False
        self._formerLayout: int | None = None
        self._restore: list[Callable[[], None]] = []

    def show(self, comparison: Comparison, withChange: bool = False, legend: bool = True) -> None:
        """Show both dates, with what was marked on each, and what became of each region as outlines.

        ``withChange``: see `showChange`. ``legend``: also say what the colors mean.
        """
        runToEnd(self.showSteps(comparison, withChange, legend))

    def showSteps(self, comparison: Comparison, withChange: bool = False, legend: bool = True) -> Steps:
        """As `show`, one view a step, which is drawn in it, so that no turn of the event loop has to draw both."""
        manager = slicer.app.layoutManager()
        if self.shown is None:
            self._restore = [_restoring(name) for name in _VIEWS]
            self._formerLayout = int(manager.layout) if manager is not None else None
        else:
            _undress(self.shown)
        self.shown, self._withChange, self._legend = comparison, withChange, legend
        yield 0.1  # the views draw what the caller has changed in them
        if manager is not None:
            manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView)
        yield 0.3
        changes = comparison.changes
        orientation = (changes[0]["plane"] if changes else "axial").capitalize()
        point = changes[0]["peak_ras"] if changes else None
        changeMap = comparison.changeMap if withChange else None
        _showIn(_EARLIER_VIEW, orientation, comparison.earlierThere, comparison.earlierLevels, changeMap, point)
        yield 0.6
        _showIn(_LATER_VIEW, orientation, comparison.later, comparison.laterLevels, changeMap, point)
        yield 0.8
        _outline(comparison, True)
        yield 0.85
        self._showLegends()
        yield 0.95
        if point is not None:
            jumpTo(point)  # the views of other layouts too
        yield 1.0

    def showChange(self, on: bool) -> None:
        """Show where evidence was gained and lost, in both views, instead of what was marked on each date."""
        changeMap = self.shown.changeMap if self.shown is not None else None
        if changeMap is not None:
            for composite in _composites(*_VIEWS):
                _layChange(composite, changeMap if on else None)
            self._withChange = on
            self._showLegends()

    def showInNewViews(self) -> None:
        """Show the later date in views that another layout brought and that show no scan yet, and legends once more."""
        shown = self.shown
        for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode") if shown is not None else ():
            if composite.GetBackgroundVolumeID() is None:
                composite.SetBackgroundVolumeID(shown.later.GetID())
                composite.SetLabelVolumeID(shown.laterLevels.GetID() if shown.laterLevels is not None else None)
                composite.SetLabelOpacity(_LABEL_OPACITY)
        self._showLegends()

    def hide(self) -> None:
        """Go back to the former layout, to what the two views showed then, and along which plane."""
        runToEnd(self.hideSteps())

    def hideSteps(self) -> Steps:
        """As `hide`, one view a step; closed before its end, it does the rest at once."""
        shown, self.shown = self.shown, None
        if shown is None:
            return
        for composite in _composites(*_VIEWS):
            _layChange(composite, None)
        _undress(shown)
        manager = slicer.app.layoutManager()
        if manager is not None and self._formerLayout is not None:
            manager.setLayout(self._formerLayout)
        waiting = list(self._restore)
        try:
            while waiting:
                yield 0.5
                waiting.pop(0)()
        finally:
            for restore in waiting:
                restore()

    def _showLegends(self) -> None:
        if self._legend and self.shown is not None:
            showComparisonLegends(self.shown, self._withChange)


def _showIn(
    viewName: str, orientation: str, scan: Any, levels: Any, changeMap: Any, point: Sequence[float] | None
) -> None:
    for composite in _composites(viewName):
        with slicer.util.NodeModify(composite):
            composite.SetBackgroundVolumeID(scan.GetID())
            composite.SetLabelVolumeID(levels.GetID() if levels is not None else None)
            composite.SetLinkedControl(True)
            composite.SetHotLinkedControl(True)
            _layChange(composite, changeMap)
    for node in _sliceNodes(viewName):
        node.SetOrientation(orientation)
        _aim(node, point)


def _aim(node: Any, point: Sequence[float] | None) -> None:
    """Fit a view, which has another size than before, go to a point, and draw it."""
    fitView(node)
    if point is not None:
        jumpView(node, point)
    drawView(node)


def _layChange(composite: Any, changeMap: Any) -> None:
    """Lay the change of evidence over a view's scan, or with None what was marked."""
    on = changeMap is not None
    composite.SetForegroundVolumeID(changeMap.GetID() if on else None)
    composite.SetForegroundOpacity(_CHANGE_OPACITY if on else 0.0)
    composite.SetLabelOpacity(0.0 if on else _LABEL_OPACITY)


def _undress(comparison: Comparison) -> None:
    """Take outlines and legends of a comparison out of the views."""
    _outline(comparison, False)
    if comparison.valid:
        hideComparisonLegends(comparison)


def _outline(comparison: Comparison, on: bool) -> None:
    """Outline what became of each region, in the two views."""
    if comparison.valid:
        display = comparison.change.GetDisplayNode()
        with slicer.util.NodeModify(display):
            display.SetViewNodeIDs([node.GetID() for name in _VIEWS for node in _sliceNodes(name)])
            display.SetVisibility2DFill(False)
            display.SetVisibility2DOutline(True)
            display.SetVisibility2D(on)


def _restoring(viewName: str) -> Callable[[], None]:
    """Puts back into a view the volumes that it shows now, and turns it back to its plane."""
    layers = [(composite, {name: getattr(composite, f"Get{name}")() for name in _LAYERS})
              for composite in _composites(viewName)]
    planes = [(node, vtk.vtkMatrix4x4()) for node in _sliceNodes(viewName)]
    for node, orientation in planes:
        orientation.DeepCopy(node.GetSliceToRAS())

    def restore() -> None:
        for composite, former in layers:
            for name, value in former.items():
                gone = isinstance(value, str) and slicer.mrmlScene.GetNodeByID(value) is None
                getattr(composite, f"Set{name}")(None if gone else value)
        for node, orientation in planes:
            node.GetSliceToRAS().DeepCopy(orientation)
            node.UpdateMatrices()
            _aim(node, lastPlace())

    return restore


def _sliceNodes(viewName: str) -> list[Any]:
    return [node for node in slicer.util.getNodesByClass("vtkMRMLSliceNode") if node.GetLayoutName() == viewName]


def _composites(*viewNames: str) -> list[Any]:
    """What says which volumes a slice view shows."""
    return [node for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
            if node.GetLayoutName() in viewNames]
