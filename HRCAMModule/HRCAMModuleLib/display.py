"""Show a result in the slice views: layers, levels, range of the maps, outline, and jumping to a place."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from .colors import levelVisible, setLevelVisible
from .localization import FUSED, Localization
from .steps import Steps

_FITTED = (0.98, 1.02)
"""Shares of a scan's width or height that a frame holds which is fitted to it."""


class OverlayKind(Enum):
    """What lies over the scan."""

    LEVELS = "levels"
    MAP = "map"
    BOTH = "both"
    NONE = "none"


def showOverlaySteps(
    localization: Localization, kind: OverlayKind, source: str, opacity: float, outline: bool,
    point: Sequence[float] | None = None, drawEach: bool = False,
) -> Steps:
    """Put the scan in the background and the chosen overlay over it, in one slice view a step.

    Under the fused map lie the labels too, unseen: Data Probe names the level under the cursor, and their legend, which
    explains the map's colors as well, appears only where their volume is. A view that another scan was in is fitted to
    this one. With ``point`` the views go there, as with `jumpTo`. With ``drawEach`` each is drawn in its step, so that
    no turn of the event loop has to draw them all.

    Raises ``ValueError`` when the map of the CNN level ``source`` is not in the scene.
    """
    volume = localization.mapSource(source)
    if volume is None:
        raise ValueError(_('The map of level "{source}" is not in the scene. Run the localization again.').format(
            source=source))
    scan = localization.inputVolume.GetID()
    showMap = kind in (OverlayKind.MAP, OverlayKind.BOTH)
    showLabels = kind in (OverlayKind.LEVELS, OverlayKind.BOTH)
    labels = localization.shownLabels if showLabels or (showMap and source == FUSED) else None
    views = {node.GetLayoutName(): node for node in slicer.util.getNodesByClass("vtkMRMLSliceNode")}
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        new = composite.GetBackgroundVolumeID() != scan
        with slicer.util.NodeModify(composite):
            composite.SetBackgroundVolumeID(scan)
            composite.SetForegroundVolumeID(volume.GetID() if showMap else None)
            composite.SetLabelVolumeID(labels.GetID() if labels is not None else None)
            composite.SetForegroundOpacity(opacity if showMap else 0.0)
            composite.SetLabelOpacity(opacity if showLabels else 0.0)
        view = views.get(composite.GetLayoutName())
        if view is None:
            continue
        view.SetUseLabelOutline(outline)
        if new:
            fitView(view)
        if point is not None:
            jumpView(view, point)
        if drawEach:
            drawView(view)
        yield 1.0
    if point is not None:
        _setCrosshair(point)


def setMapRange(localization: Localization, low: float, high: float, source: str = FUSED) -> None:
    """Hide a map's evidence outside ``low`` to ``high``, logits; the voxels stay as they are."""
    from hrcam.output.scene_nodes import AND_ABOVE

    volume = localization.mapSource(source)
    display = volume.GetDisplayNode() if volume is not None else None
    if display is not None:
        display.SetThreshold(low, high if high < localization.evidenceSpan(source)[1] else AND_ABOVE)
        display.SetApplyThreshold(1)


def mapRange(localization: Localization, source: str) -> tuple[float, float]:
    """The evidence of a map that is shown, logits."""
    volume = localization.mapSource(source)
    display = volume.GetDisplayNode() if volume is not None else None
    if display is None:
        return localization.defaultRange(source)
    return display.GetLowerThreshold(), min(display.GetUpperThreshold(), localization.evidenceSpan(source)[1])


def showLevel(localization: Localization, level: str | int, visible: bool = True) -> None:
    """Show or hide one evidence level (name, or 1 for the weakest) in slices and in 3D.

    Raises ``ValueError`` with the names there are.
    """
    from hrcam.output.segment import segment_id

    number = levelNumber(localization.evidenceLevels, level)
    setLevelVisible(localization.levelColors, number, visible)
    segmentation = localization.segmentation
    segment = segment_id(number)
    if segmentation is not None and segmentation.GetSegmentation().GetSegment(segment):
        segmentation.GetDisplayNode().SetSegmentVisibility(segment, visible)


def visibleLevels(localization: Localization) -> list[bool]:
    """Whether each evidence level is shown, weakest first."""
    colors = localization.levelColors
    return [levelVisible(colors, n + 1) for n in range(len(localization.evidenceLevels))] if colors else []


def levelNumber(levels: Sequence[dict], level: str | int) -> int:
    """1-based number of a level given by name or number."""
    names = [str(item["name"]) for item in levels]
    if isinstance(level, str) and level in names:
        return names.index(level) + 1
    if isinstance(level, int) and 1 <= level <= len(names):
        return level
    raise ValueError(_("There is no evidence level {level}. The levels are: {names}.").format(
        level=level, names=", ".join(names)))


def jumpTo(ras: Sequence[float]) -> None:
    """Go to a point in world RAS, mm, in all slice views, and put the crosshair there.

    A view goes through its slices and keeps its frame, so that the whole head stays in it; only a view that the point
    lies outside of, as when the user zoomed in elsewhere, is centered on it.
    """
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        jumpView(node, ras)
    _setCrosshair(ras)


def jumpView(sliceNode: Any, ras: Sequence[float]) -> None:
    """Go to a point in world RAS, mm, in one slice view; see `jumpTo`."""
    point = tuple(float(v) for v in ras)
    (sliceNode.JumpSliceByOffsetting if _inFrame(sliceNode, point) else sliceNode.JumpSliceByCentering)(*point)


def _setCrosshair(ras: Sequence[float]) -> None:
    crosshair = _crosshair()
    if crosshair is not None:
        crosshair.SetCrosshairRAS(*(float(v) for v in ras))


def _crosshair() -> Any:
    return slicer.util.getFirstNodeByClassByName("vtkMRMLCrosshairNode", "default") \
        or next(iter(slicer.util.getNodesByClass("vtkMRMLCrosshairNode")), None)


def _inFrame(sliceNode: Any, ras: Sequence[float]) -> bool:
    """Whether a point, seen along the view's axis, lies within what the view shows."""
    width, height, _depth = sliceNode.GetDimensions()
    toXY = slicer.util.arrayFromVTKMatrix(sliceNode.GetXYToRAS())
    x, y = np.linalg.solve(toXY, [*ras, 1.0])[:2]
    return bool(0 <= x <= width and 0 <= y <= height)


def nearestSlice(slices: Sequence[dict]) -> int | None:
    """Index into ``slices`` of the one nearest to what a slice view of the same plane shows; None when none does."""
    if len(slices) < 2:
        return 0 if slices else None
    points = np.array([item["position_ras"] for item in slices], dtype=float)
    along = points[-1] - points[0]
    length = float(np.linalg.norm(along))
    if length == 0.0:
        return None
    best, index = 0.8, None
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        matrix = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())
        cosine = abs(float(matrix[:3, 2] @ along) / length)
        if cosine > best:
            best, index = cosine, int(np.argmin(np.abs((points - matrix[:3, 3]) @ matrix[:3, 2])))
    return index


def drawView(sliceNode: Any) -> None:
    """Draw one slice view now, where it is on the screen, instead of in a later turn of the event loop."""
    manager = slicer.app.layoutManager()
    widget = manager.sliceWidget(sliceNode.GetLayoutName()) if manager is not None else None
    if widget is not None and widget.visible:
        widget.sliceView().forceRender()


def fitView(sliceNode: Any) -> None:
    """Fit one slice view to its scan."""
    logic = slicer.app.applicationLogic().GetSliceLogic(sliceNode)
    if logic is not None:
        logic.FitSliceToBackground()


def isFitted(sliceNode: Any) -> bool:
    """Whether a slice view's frame holds its whole scan, and no more than that: the user did not zoom."""
    logic = slicer.app.applicationLogic().GetSliceLogic(sliceNode)
    scan = logic.GetBackgroundLayer().GetVolumeNode() if logic is not None and logic.GetBackgroundLayer() else None
    if scan is None:
        return False
    size, center = [0.0] * 3, [0.0] * 3
    logic.GetVolumeSliceDimensions(scan, size, center)
    if not all(size[:2]):
        return False
    tightest = min(seen / side for seen, side in zip(sliceNode.GetFieldOfView()[:2], size[:2], strict=True))
    return bool(_FITTED[0] <= tightest <= _FITTED[1])


def fitAgain(sliceNode: Any) -> None:
    """Fit one slice view to its scan, on the slice that it shows."""
    offset = sliceNode.GetSliceOffset()
    fitView(sliceNode)
    sliceNode.SetSliceOffset(offset)


def fitSliceViews() -> None:
    """Fit the slice views to their volumes, where there are views (none with ``--no-main-window``)."""
    if slicer.app.layoutManager() is not None:
        slicer.util.resetSliceViews()


def fitNewViews() -> None:
    """Fit the slice views, then go where `jumpTo` went last, or the user since with the crosshair."""
    fitSliceViews()
    place = lastPlace()
    if place is not None:
        jumpTo(place)


def lastPlace() -> tuple[float, float, float] | None:
    """Where `jumpTo` went last, or the user since with the crosshair, world RAS, mm."""
    crosshair = _crosshair()
    place = crosshair.GetCrosshairRAS() if crosshair is not None else (0.0, 0.0, 0.0)
    return tuple(place) if any(place) else None  # all 0: it was never set
