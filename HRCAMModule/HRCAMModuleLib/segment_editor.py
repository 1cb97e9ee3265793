"""Open Slicer's Segment Editor on a result: there the segments show in the slices; on return the overlay does again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer

from .legend import hideLegends
from .localization import Localization

MODULE = "SegmentEditor"
_SINGLETON, _CLASS = "SegmentEditor", "vtkMRMLSegmentEditorNode"


def openSegmentEditor(localization: Localization) -> None:
    """Open the Segment Editor on the result's segmentation, with the scan as its source volume.

    Raises ``ValueError`` when the segmentation was removed.
    """
    segmentation = localization.presentSegmentation()
    editor = _editorNode()
    editor.SetAndObserveSegmentationNode(segmentation)
    editor.SetAndObserveSourceVolumeNode(localization.inputVolume)
    slicer.util.selectModule(MODULE)


class SegmentEditorVisit:
    """Lets the segments of a result show in the slices while the user is in the Segment Editor."""

    def __init__(self) -> None:
        self._visited: Localization | None = None

    def leave(self, localization: Localization, stillAway: Callable[[], bool]) -> None:
        """The panel is left: hand over once Slicer knows which module is opened instead."""
        qt.QTimer.singleShot(0, lambda: self._handOver(localization, stillAway))

    def back(self) -> bool:
        """The panel is opened again: hide the segments; whether the overlay is to be shown anew."""
        visited, self._visited = self._visited, None
        if visited is None or not visited.valid or visited.segmentation is None:
            return False
        visited.segmentation.GetDisplayNode().SetVisibility2D(False)
        return True

    def forget(self) -> None:
        """The scene is closed."""
        self._visited = None

    def _handOver(self, localization: Localization, stillAway: Callable[[], bool]) -> None:
        """Show the segments, and the scan alone beneath them: what the overlay showed can now be edited."""
        if not stillAway() or not localization.valid or localization.segmentation is None or not _editorIsOpen():
            return
        self._visited = localization
        localization.hide()
        hideLegends(localization)
        localization.segmentation.GetDisplayNode().SetVisibility2D(True)


def _editorIsOpen() -> bool:
    """Whether the user is in the Segment Editor; never without a main window."""
    try:
        return slicer.util.selectedModule() == MODULE
    except RuntimeError:
        return False


def _editorNode() -> Any:
    """The node that the Segment Editor module itself uses, made as that does when it was never opened."""
    node = slicer.mrmlScene.GetSingletonNode(_SINGLETON, _CLASS)
    if node is None:
        node = slicer.mrmlScene.CreateNodeByClass(_CLASS)
        node.UnRegister(None)  # owned by the Python variable now
        node.SetSingletonTag(_SINGLETON)
        node = slicer.mrmlScene.AddNode(node)
    return node
