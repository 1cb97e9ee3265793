"""Show a result in the slice views: layers, levels, evidence range, outline, legend, and jumping to a place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import Enum

import numpy as np
import slicer
from slicer.i18n import tr as _

from .boxes import boundingBoxSteps
from .colors import levelVisible, setLevelVisible
from .localization import FUSED, Localization
from .steps import Steps, slabs

_BOX_ATTRIBUTE = "HRCAM.Box"


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
        label=localization.labelVolume if showLabels else None,
        foregroundOpacity=opacity if showMap else 0.0,
        labelOpacity=opacity if showLabels else 0.0,
    )
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        node.SetUseLabelOutline(outline)


def setMapRange(localization: Localization, low: float, high: float) -> None:
    """Hide the continuous maps' evidence outside ``low`` to ``high`` (logit units); the voxels stay as they are.

    The top of the scale means "and above", as in the colour legend.
    """
    top = high if high < localization.evidenceSpan()[1] else 1e6
    for volume in (localization.mapVolume, *localization.levelVolumes.values()):
        display = volume.GetDisplayNode() if volume is not None else None
        if display is not None:
            display.SetThreshold(low, top)
            display.SetApplyThreshold(1)


def setLabelRangeSteps(localization: Localization, low: float, high: float) -> Steps:
    """Recompute the label map for evidence between ``low`` and ``high``; returns the number of labelled voxels.

    Levels keep their calibrated thresholds: the range only hides. Work is limited to the box that holds the weakest
    level, found once from the label map's own non-zero voxels or, after hiding, from the map.
    """
    evidence, node = localization.map(), localization.labelVolume
    labels = slicer.util.arrayFromVolume(node)
    thresholds = [float(level["threshold"]) for level in localization.evidenceLevels]
    top = high if high < localization.evidenceSpan()[1] else np.inf
    box = yield from _boxAbove(evidence, min(thresholds, default=np.inf), localization)
    if box is None:
        return 0
    part = tuple(slice(a, b + 1) for a, b in box)
    inside, target, count = evidence[part], labels[part], 0
    for rows in slabs(inside):
        values = inside[rows]
        new = np.zeros(values.shape, np.uint8)
        for threshold in thresholds:
            new += values >= threshold
        new[(values < low) | (values > top)] = 0
        target[rows] = new
        count += int(np.count_nonzero(new))
        yield min(1.0, rows.stop / len(inside))
    slicer.util.arrayFromVolumeModified(node)
    return count


def _boxAbove(evidence: np.ndarray, threshold: float, localization: Localization) -> Steps:
    """Bounding box of voxels at or above ``threshold``, remembered on the result node."""
    cached = localization.resultNode.GetAttribute(_BOX_ATTRIBUTE)
    if cached is None:
        box = yield from boundingBoxSteps(evidence, threshold)
        cached = json.dumps(box)
        localization.resultNode.SetAttribute(_BOX_ATTRIBUTE, cached)
    return json.loads(cached)


def showLevel(localization: Localization, level: str | int, visible: bool = True) -> None:
    """Show or hide one evidence level (name, or 1 for the weakest) in slices and in 3D.

    Raises ``ValueError`` with the names there are.
    """
    number = levelNumber(localization.evidenceLevels, level)
    setLevelVisible(localization.levelColors, number, visible)
    segmentation = localization.segmentation
    if segmentation is not None and segmentation.GetSegmentation().GetSegment(f"evidence_{number}"):
        segmentation.GetDisplayNode().SetSegmentVisibility(f"evidence_{number}", visible)


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


def setLegendVisible(localization: Localization, kind: OverlayKind, source: str, visible: bool) -> None:
    """Show the colour legend of whatever overlay is shown; legends of the others are hidden."""
    wanted = []
    if visible and kind in (OverlayKind.MAP, OverlayKind.BOTH):
        wanted.append((localization.mapSource(source), _("Evidence (logit)")))
    elif visible and kind is OverlayKind.LEVELS:
        wanted.append((localization.labelVolume, _("Evidence level")))
    shown = [volume for volume, _title in wanted]
    logic = slicer.modules.colors.logic()
    for volume in (localization.mapVolume, localization.labelVolume, *localization.levelVolumes.values()):
        legend = logic.GetColorLegendDisplayNode(volume)
        if legend is not None and volume not in shown:
            legend.SetVisibility(False)
    for volume, title in wanted:
        if volume is None:
            continue
        legend = logic.AddDefaultColorLegendDisplayNode(volume)
        if legend is None:
            continue
        legend.SetTitleText(title)
        if volume.IsA("vtkMRMLLabelMapVolumeNode"):
            legend.SetUseColorNamesForLabels(True)
            legend.SetMaxNumberOfColors(len(localization.evidenceLevels) + 1)
            legend.SetNumberOfLabels(len(localization.evidenceLevels) + 1)
        else:
            legend.SetLabelFormat("%.1f")
        legend.SetSize(0.12, 0.5)
        legend.SetPosition(0.97, 0.5)
        legend.SetVisibility(True)


def jumpTo(ras: Sequence[float]) -> None:
    """Center all slice views on a point in world RAS, mm, and put the crosshair there."""
    r, a, s = (float(v) for v in ras)
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, r, a, s, slicer.vtkMRMLSliceNode.CenteredJumpSlice)
    crosshair = slicer.util.getFirstNodeByClassByName("vtkMRMLCrosshairNode", "default") \
        or next(iter(slicer.util.getNodesByClass("vtkMRMLCrosshairNode")), None)
    if crosshair is not None:
        crosshair.SetCrosshairRAS(r, a, s)


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
