"""Hide marks outside of an evidence range in the slice views; what the engine decided stays as it is.

The label map, the segmentation and the files hold what is marked. A narrowed range is shown by a copy of the label map
that leaves out what lies outside of it; the copy goes when the range is whole again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from .boxes import boundingBoxSteps
from .legend import moveLevelLegend
from .localization import LABELS_IN_RANGE, Localization, helperNodes, removeNodes
from .scene_results import dressLabels, placeBeside
from .steps import Steps, slabs
from .volume_nodes import RESULT_ATTRIBUTE, setVoxelsSteps


def setLabelRangeSteps(localization: Localization, low: float, high: float) -> Steps:
    """Show the marks whose evidence lies between ``low`` and ``high``, logits; returns the number of voxels shown."""
    decided = slicer.util.arrayFromVolume(localization.labelVolume)
    weakest, top = localization.defaultRange()
    box = yield from boundingBoxSteps(decided, 1)
    if box is None or (low <= weakest and high >= top):
        _showAll(localization)
        return int(np.count_nonzero(decided))
    copy = localization.labelsInRange
    if copy is None:
        copy = yield from _addCopySteps(localization)
    part = tuple(slice(a, b + 1) for a, b in box)
    inside, target = decided[part], slicer.util.arrayFromVolume(copy)[part]
    evidence, count = localization.map()[part], 0
    for rows in slabs(evidence):
        values = evidence[rows]
        hidden = (values < low) | ((values > high) & (high < top))
        target[rows] = np.where(hidden, 0, inside[rows])
        count += int(np.count_nonzero(target[rows]))
        yield min(1.0, rows.stop / len(inside))
    slicer.util.arrayFromVolumeModified(copy)
    _showInstead(localization, localization.labelVolume, copy)
    return count


def _addCopySteps(localization: Localization) -> Steps:
    source = localization.labelVolume
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", f"{source.GetName()} in range")
    try:
        node.SetAttribute(RESULT_ATTRIBUTE, "labels in range")
        yield from setVoxelsSteps(node, slicer.util.arrayFromVolume(source), localization.geometryMatrix())
        dressLabels(node, localization.levelColors)
        placeBeside(source, node)
        localization.resultNode.SetNodeReferenceID(LABELS_IN_RANGE, node.GetID())
    except BaseException:
        removeNodes([node, *helperNodes(node)])
        raise
    return node


def _showAll(localization: Localization) -> None:
    copy = localization.labelsInRange
    if copy is not None:
        _showInstead(localization, copy, localization.labelVolume)
        removeNodes([copy, *helperNodes(copy)])


def _showInstead(localization: Localization, former: Any, node: Any) -> None:
    """Put a label map into the views that show the former one, and its legend with it."""
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if composite.GetLabelVolumeID() == former.GetID():
            composite.SetLabelVolumeID(node.GetID())
    moveLevelLegend(localization, former, node)
