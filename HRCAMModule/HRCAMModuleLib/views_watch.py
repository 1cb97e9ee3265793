"""What the slice views do while the panel is open: they move, show another scan, or come with another layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk
from slicer.util import VTKObservationMixin

from .display import fitAgain, isFitted
from .volume_nodes import RESULT_ATTRIBUTE


class ViewsWatch(VTKObservationMixin):
    """Observes the slice views, those of a layout that is chosen later too.

    A view that was fitted to its scan is so in another size too: Slicer keeps the height of what is seen, so that a
    narrower view, as in another layout, cuts the sides of the scan off.

    Parameters
    ----------
    onMoved : called when a slice view moved.
    onScanShown : called with the volume node, none of a result, that no view had in its background before.
    onNewViews : called when views were added, which show no overlay yet; once for all of a layout.
    """

    def __init__(
        self, onMoved: Callable[[], None], onScanShown: Callable[[Any], None], onNewViews: Callable[[], None]
    ) -> None:
        super().__init__()
        self._onMoved, self._onScanShown, self._onNewViews = onMoved, onScanShown, onNewViews
        self._backgrounds: dict[str, str] = {}
        self._queued = False
        self._frames: dict[str, tuple[tuple[int, ...], bool]] = {}
        self._resized: list[Any] = []
        self.watching = False

    def start(self) -> None:
        """Observe all views that there are, and those to come."""
        self.watching = True
        scene = slicer.mrmlScene
        if not self.hasObserver(scene, scene.NodeAddedEvent, self._nodeAdded):
            self.addObserver(scene, scene.NodeAddedEvent, self._nodeAdded)
        for node in (*slicer.util.getNodesByClass("vtkMRMLSliceNode"),
                     *slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")):
            self._observe(node)

    def stop(self) -> None:
        """Observe nothing any more."""
        self.watching = False
        self._frames.clear()
        self.removeObservers()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _nodeAdded(self, _caller: Any, _event: str, node: Any) -> None:
        if node is None or not self.watching:
            return
        self._observe(node)
        if node.IsA("vtkMRMLSliceCompositeNode"):
            first = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode")
            node.SetLinkedControl(first.GetLinkedControl())
            if not self._queued:
                self._queued = True
                qt.QTimer.singleShot(0, self._tellNewViews)

    def _tellNewViews(self) -> None:
        self._queued = False
        if self.watching:
            self._onNewViews()

    def _observe(self, node: Any) -> None:
        event = vtk.vtkCommand.ModifiedEvent
        if node.IsA("vtkMRMLSliceNode") and not self.hasObserver(node, event, self._moved):
            self.addObserver(node, event, self._moved)
            self._watchFrame(node)
        elif node.IsA("vtkMRMLSliceCompositeNode") and not self.hasObserver(node, event, self._layersChanged):
            self._backgrounds[node.GetID()] = node.GetBackgroundVolumeID()
            self.addObserver(node, event, self._layersChanged)

    def _moved(self, node: Any, _event: str) -> None:
        self._watchFrame(node)
        self._onMoved()

    def _watchFrame(self, node: Any) -> None:
        size = tuple(node.GetDimensions()[:2])
        formerSize, fitted = self._frames.get(node.GetID(), (size, False))
        if node in self._resized:
            return
        if fitted and size != formerSize:
            self._resized.append(node)  # it is asked when all of it has changed
            if len(self._resized) == 1:
                qt.QTimer.singleShot(0, self._fitResized)
            return
        self._frames[node.GetID()] = size, isFitted(node)

    def _fitResized(self) -> None:
        """Fit one view, which is drawn in a turn of the event loop, then the next."""
        if not self.watching:
            self._resized.clear()
            return
        node = self._resized[0]
        if node.GetScene() is not None:
            fitAgain(node)
            self._frames[node.GetID()] = tuple(node.GetDimensions()[:2]), isFitted(node)
        self._resized.pop(0)  # now: what fitting it changes is no change of its size
        if self._resized:
            qt.QTimer.singleShot(0, self._fitResized)

    def _layersChanged(self, composite: Any, _event: str) -> None:
        shown = composite.GetBackgroundVolumeID()
        if shown == self._backgrounds.get(composite.GetID()):
            return
        new = shown not in self._backgrounds.values()
        self._backgrounds[composite.GetID()] = shown
        volume = slicer.mrmlScene.GetNodeByID(shown) if shown and new else None
        if volume is not None and not volume.GetAttribute(RESULT_ATTRIBUTE):
            self._onScanShown(volume)
