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


class OverlayKind(Enum):
    """What lies over the scan."""

    LEVELS = "levels"
    MAP = "map"
    BOTH = "both"
    NONE = "none"


def showOverlay(
    localization: Localization,
    kind: OverlayKind = OverlayKind.LEVELS,
    source: str = FUSED,
    opacity: float = 0.45,
    outline: bool = False,
) -> None:
    """Put the scan in the background and the chosen overlay over it, in all slice views.

    Under the fused map lie the labels too, unseen: Data Probe names the level under the cursor, and their legend, which
    explains the map's colors as well, appears only where their volume is.

    Raises ``ValueError`` when the map of the CNN level ``source`` is not in the scene.
    """
    volume = localization.mapSource(source)
    if volume is None:
        raise ValueError(_('The map of level "{source}" is not in the scene. Run the localization again.').format(
            source=source))
    showMap = kind in (OverlayKind.MAP, OverlayKind.BOTH)
    showLabels = kind in (OverlayKind.LEVELS, OverlayKind.BOTH)
    slicer.util.setSliceViewerLayers(
        background=localization.inputVolume,
        foreground=volume if showMap else None,
        label=localization.shownLabels if showLabels or (showMap and source == FUSED) else None,
        foregroundOpacity=opacity if showMap else 0.0,
        labelOpacity=opacity if showLabels else 0.0,
    )
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        node.SetUseLabelOutline(outline)


def bringScanIn(volumeNode: Any) -> bool:
    """Show a scan alone in all slice views; whether any of them showed another one before."""
    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    if {node.GetBackgroundVolumeID() for node in composites} == {volumeNode.GetID()}:
        return False
    slicer.util.setSliceViewerLayers(background=volumeNode, foreground=None, label=None)
    return True


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
    from hrcam.output.scene_nodes import segment_id

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
    r, a, s = (float(v) for v in ras)
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        (node.JumpSliceByOffsetting if _inFrame(node, (r, a, s)) else node.JumpSliceByCentering)(r, a, s)
    crosshair = _crosshair()
    if crosshair is not None:
        crosshair.SetCrosshairRAS(r, a, s)


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


def fitSliceViews() -> None:
    """Fit the slice views to their volumes, where there are views (none with ``--no-main-window``)."""
    if slicer.app.layoutManager() is not None:
        slicer.util.resetSliceViews()


def fitNewViews() -> None:
    """Fit the slice views, then go where `jumpTo` went last, or the user since with the crosshair."""
    fitSliceViews()
    crosshair = _crosshair()
    place = crosshair.GetCrosshairRAS() if crosshair is not None else (0.0, 0.0, 0.0)
    if any(place):  # it was set
        jumpTo(place)
