"""What changes around the shown result without the panel's doing: transform, shown range, places, its scan's frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
import vtk
from slicer.util import VTKObservationMixin

from .localization import Localization
from .volume_nodes import sequenceBrowser


class ResultWatch(VTKObservationMixin):
    """Observes one result at a time.

    Parameters
    ----------
    onMoved : called when the result's place in the world changed, to which it follows its scan.
    onChanged : called when the result was added to, is shown otherwise, or its scan's sequence may show another frame.
    """

    def __init__(self, onMoved: Callable[[], None], onChanged: Callable[[], None]) -> None:
        super().__init__()
        self._onMoved, self._onChanged = onMoved, onChanged
        self._result: Localization | None = None

    def watch(self, result: Localization | None) -> None:
        """Observe this result, or none, and no other one any more."""
        self.removeObservers()
        self._result = result
        if result is None:
            return
        self.addObserver(result.inputVolume, slicer.vtkMRMLTransformableNode.TransformModifiedEvent, self._scanMoved)
        self.addObserver(result.inputVolume, vtk.vtkCommand.ModifiedEvent, self._changed)
        self.addObserver(result.mapVolume, slicer.vtkMRMLTransformableNode.TransformModifiedEvent, self._moved)
        self.addObserver(result.mapVolume, slicer.vtkMRMLDisplayableNode.DisplayModifiedEvent, self._changed)
        self.addObserver(result.resultNode, vtk.vtkCommand.ModifiedEvent, self._changed)
        browser = sequenceBrowser(result.inputVolume)
        if browser is not None:
            self.addObserver(browser, vtk.vtkCommand.ModifiedEvent, self._changed)

    def _scanMoved(self, *_arguments: Any) -> None:
        if self._result is not None and self._result.valid:
            self._result.followScan()
            self._onChanged()

    def _moved(self, *_arguments: Any) -> None:
        self._onMoved()

    def _changed(self, *_arguments: Any) -> None:
        self._onChanged()
