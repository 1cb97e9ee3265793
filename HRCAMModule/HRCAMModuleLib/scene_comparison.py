"""Put a finished comparison into the scene: all of it or nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from .colors import addChangeColorNode, addLevelColorNode
from .comparison import (
    CHANGE,
    CHANGE_COLORS,
    CHANGE_MAP,
    EARLIER,
    EARLIER_LEVELS,
    EARLIER_THERE,
    LATER,
    LATER_LEVELS,
    LEVEL_COLORS,
    ROLE,
    Comparison,
    findComparisons,
)
from .scene_results import croppedLabelsSteps, dressLabels, placeBeside, placeSteps, replaceSteps
from .steps import Steps
from .volume_nodes import RESULT_ATTRIBUTE, ijkToRas, setVoxelsSteps


@dataclass(frozen=True)
class ComparisonData:
    """A comparison on its way into the scene.

    ``info`` is its JSON; the arrays are KJI on the later scan's grid: the number of each region's call and the levels
    that were marked on each date (uint8), and the later minus the earlier evidence (float32, logits). ``swapped`` tells
    that DICOM dates made the two scans change places.
    """

    info: Mapping[str, Any]
    changeLabels: np.ndarray
    earlierLevels: np.ndarray
    laterLevels: np.ndarray
    change: np.ndarray
    swapped: bool = False


def addComparisonSteps(later: Any, earlier: Any, data: ComparisonData) -> Steps:
    """Add a comparison beside the later scan, a few milliseconds a step; returns the ``Comparison``.

    A former one of the same two scans is removed once the new one is complete. When anything fails, or the generator is
    closed, every node added so far is removed.

    Raises ``ValueError`` where the arrays do not fit the later scan's grid (it was changed meanwhile).
    """
    if data.swapped:
        later, earlier = earlier, later
    shape = slicer.util.arrayFromVolume(later).shape
    if any(array.shape != shape for array in (data.changeLabels, data.earlierLevels, data.laterLevels, data.change)):
        raise ValueError(_('"{name}" was changed while it was compared. Run again.').format(name=later.GetName()))
    former = [one for one in findComparisons() if one.later is later and one.earlier is earlier]
    nodes: list[Any] = []
    return (yield from replaceSteps(_build(later, earlier, data, nodes), nodes, former))


def _build(later: Any, earlier: Any, data: ComparisonData, nodes: list[Any]) -> Steps:
    from hrcam.compare.calls import call_segments
    from hrcam.output.scene_nodes import fill_segments

    base = _("{later} compared with {earlier}").format(later=later.GetName(), earlier=earlier.GetName())
    info, matrix = data.info, ijkToRas(later)

    def add(className: str, what: str) -> Any:
        node = slicer.mrmlScene.AddNewNodeByClass(className, f"{base} {what}")
        node.SetAttribute(RESULT_ATTRIBUTE, what)
        nodes.append(node)
        return node

    record = add("vtkMRMLTextNode", ROLE)
    record.SetText(json.dumps(dict(info)))
    nodes.append(addLevelColorNode(f"{base} level colors", info["evidence_levels"]))
    colors = nodes[-1]
    yield 0.0
    there = add("vtkMRMLScalarVolumeNode", "earlier scan")
    laterToEarlier = np.array(info["alignment"]["later_to_earlier_ras"], dtype=float)
    there.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.linalg.inv(laterToEarlier) @ ijkToRas(earlier)))
    there.SetAndObserveImageData(earlier.GetImageData())
    _showAlike(there, earlier)
    yield 0.1
    levels = {}
    for role, what, array in ((EARLIER_LEVELS, "earlier levels", data.earlierLevels),
                              (LATER_LEVELS, "later levels", data.laterLevels)):
        levels[role] = add("vtkMRMLLabelMapVolumeNode", what)
        yield from setVoxelsSteps(levels[role], array, matrix)
        dressLabels(levels[role], colors)
    change = add("vtkMRMLSegmentationNode", "change")
    shared = yield from croppedLabelsSteps(data.changeLabels, levels[LATER_LEVELS])
    fill_segments(change, shared, later, call_segments(
        info["shown_class"], info["later"]["provenance"].get("shown_terminology")))
    yield 0.8
    changeMap = add("vtkMRMLScalarVolumeNode", "change of evidence")
    yield from setVoxelsSteps(changeMap, data.change, matrix)
    most = _strongest(info["changes"])
    nodes.append(addChangeColorNode(f"{base} change colors", most, info["evidence_levels"]))
    _dressChange(changeMap, nodes[-1], most)
    for role, node in {EARLIER: earlier, LATER: later, EARLIER_THERE: there, CHANGE: change, LEVEL_COLORS: colors,
                       CHANGE_MAP: changeMap, CHANGE_COLORS: nodes[-1], **levels}.items():
        record.SetNodeReferenceID(role, node.GetID())
    for node in (there, *levels.values(), change, changeMap):
        placeBeside(later, node)
        yield 0.9
    yield from placeSteps(later, (there, *levels.values(), change, changeMap, record), base)
    return Comparison(record)


def _showAlike(node: Any, pattern: Any) -> None:
    """Give a volume a display node with another one's window and level, so that nothing looks at every voxel."""
    display = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
    if pattern.GetDisplayNode() is not None:
        display.CopyContent(pattern.GetDisplayNode())
    node.SetAndObserveDisplayNodeID(display.GetID())


def _strongest(changes: Sequence[Mapping[str, Any]]) -> float:
    """Strongest evidence of either date, logits."""
    return max([1.0, *(peak for one in changes for peak in (one["peak_earlier"], one["peak_later"])
                       if peak is not None)])


def _dressChange(node: Any, colors: Any, most: float) -> None:
    """Show a change map from a loss to a gain of ``most`` logits: no change is the middle of the scale."""
    display = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(-most, most)
    display.SetAndObserveColorNodeID(colors.GetID())
    node.SetAndObserveDisplayNodeID(display.GetID())
