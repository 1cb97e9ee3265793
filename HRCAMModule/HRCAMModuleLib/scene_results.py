"""Put a finished localization into the scene: all of it or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from .boxes import boundingBoxSteps
from .colors import addEvidenceColorNode, addLevelColorNode
from .localization import (
    INPUT,
    LABELS,
    LEVEL_COLORS,
    LEVEL_MAP,
    LEVEL_NAME_ATTRIBUTE,
    MAP,
    MAP_COLORS,
    MODEL_ATTRIBUTE,
    SEGMENTATION,
    Localization,
    findLocalizations,
    helperNodes,
    removeNodes,
)
from .steps import Steps
from .volume_nodes import RESULT_ATTRIBUTE, ijkToRas, setVoxelsSteps


@dataclass(frozen=True)
class EvidenceData:
    """A result on its way into the scene.

    ``info`` is the result's JSON, ``map`` float32 KJI in logit units, ``labels`` uint8 KJI; both on the input's grid.
    ``levelMaps`` gives, by CNN level name, a function that returns that level's map (float KJI) when it is wanted.
    """

    model: str
    info: Mapping[str, Any]
    map: np.ndarray
    labels: np.ndarray
    levelMaps: Mapping[str, Callable[[], np.ndarray]] = field(default_factory=dict)


def addToSceneSteps(volumeNode: Any, data: EvidenceData, keepFormer: bool = False) -> Steps:
    """Add a result beside its input, a few milliseconds a step; returns the ``Localization``.

    The former result of the same input and model is removed once the new one is complete, unless ``keepFormer``.
    When anything fails, or the generator is closed, every node added so far is removed and the former result stays.

    Raises ``ValueError`` where the maps do not fit the input's grid (it was changed meanwhile).
    """
    shape = slicer.util.arrayFromVolume(volumeNode).shape
    if data.map.shape != shape or data.labels.shape != shape:
        raise ValueError(_('"{name}" was changed while it was localized. Run again.').format(
            name=volumeNode.GetName()))
    former = [] if keepFormer else findLocalizations(volumeNode, data.model)
    slicer.mrmlScene.SaveStateForUndo()
    nodes: list[Any] = []
    try:
        localization = yield from _build(volumeNode, data, nodes)
    except BaseException:
        removeNodes([one for node in nodes for one in (node, *helperNodes(node))])
        raise
    for old in former:
        yield 1.0
        old.remove()
    return localization


def addLevelMapSteps(localization: Localization, level: str, array: np.ndarray) -> Steps:
    """Add the map of one CNN level to a result already in the scene; returns its volume node."""
    name = f"{localization.inputVolume.GetName()} HR-CAM level {level}"
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    try:
        node.SetAttribute(RESULT_ATTRIBUTE, "level map")
        node.SetAttribute(LEVEL_NAME_ATTRIBUTE, level)
        yield from setVoxelsSteps(node, np.asarray(array, dtype=np.float32), localization.geometryMatrix())
        _dressMap(node, localization)
        _placeBeside(localization.inputVolume, node)
        localization.resultNode.AddNodeReferenceID(LEVEL_MAP, node.GetID())
    except BaseException:
        removeNodes([node, *helperNodes(node)])
        raise
    return node


def _build(volumeNode: Any, data: EvidenceData, nodes: list[Any]) -> Steps:
    base = f"{volumeNode.GetName()} HR-CAM"
    matrix = ijkToRas(volumeNode)
    levels = list(data.info["evidence_levels"])

    def add(className: str, what: str, role: str) -> Any:
        node = slicer.mrmlScene.AddNewNodeByClass(className, f"{base} {what}")
        node.SetAttribute(RESULT_ATTRIBUTE, role)
        nodes.append(node)
        return node

    resultNode = add("vtkMRMLTextNode", "result", "result")
    resultNode.SetAttribute(MODEL_ATTRIBUTE, data.model)
    resultNode.SetText(json.dumps(dict(data.info)))
    yield 0.0
    nodes.append(addEvidenceColorNode(f"{base} evidence colors"))
    mapColors = nodes[-1]
    nodes.append(addLevelColorNode(f"{base} level colors", levels))
    levelColors = nodes[-1]
    yield 0.0

    mapNode = add("vtkMRMLScalarVolumeNode", "evidence", "map")
    yield from setVoxelsSteps(mapNode, data.map, matrix)
    labelNode = add("vtkMRMLLabelMapVolumeNode", "levels", "labels")
    yield from setVoxelsSteps(labelNode, data.labels, matrix)
    yield 0.8
    labelNode.CreateDefaultDisplayNodes()
    labelNode.GetDisplayNode().SetAndObserveColorNodeID(levelColors.GetID())
    segmentation = add("vtkMRMLSegmentationNode", "segmentation", "segmentation")
    yield from _segmentSteps(segmentation, mapNode, data, levels)

    references = {INPUT: volumeNode, MAP: mapNode, LABELS: labelNode, SEGMENTATION: segmentation,
                  MAP_COLORS: mapColors, LEVEL_COLORS: levelColors}
    for role, node in references.items():
        resultNode.SetNodeReferenceID(role, node.GetID())
    localization = Localization(resultNode)
    yield 0.9
    _dressMap(mapNode, localization)
    for node in (mapNode, labelNode, segmentation, resultNode):
        yield 0.95
        _placeBeside(volumeNode, node)
    yield 1.0
    return localization


def _dressMap(mapNode: Any, localization: Localization) -> None:
    """Give a map its display node, which hides what is below the weakest level.

    It is set up beforehand: Slicer's default one would look at every voxel's intensity.
    """
    display = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
    display.AutoWindowLevelOff()
    display.AutoThresholdOff()
    display.SetWindowLevelMinMax(*localization.evidenceSpan())
    display.SetThreshold(localization.defaultRange()[0], 1e6)
    display.SetApplyThreshold(1)
    display.SetInterpolate(1)
    display.SetAndObserveColorNodeID(localization.mapColors.GetID())
    mapNode.SetAndObserveDisplayNodeID(display.GetID())


def _segmentSteps(segmentation: Any, reference: Any, data: EvidenceData, levels: list[dict]) -> Steps:
    """One segment per level on one shared label map, cropped to where it is not empty."""
    from hrcam.output.terminology import DEFAULT_TERMINOLOGY

    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    segmentation.CreateDefaultDisplayNodes()
    display = segmentation.GetDisplayNode()
    display.SetVisibility2D(False)  # the label map is what the slices show: twice would be darker, not clearer
    display.SetVisibility3D(False)
    display.SetOpacity3D(0.45)
    shared = yield from _croppedLabels(data.labels, reference)
    terminology = data.info["provenance"].get("shown_terminology") or DEFAULT_TERMINOLOGY
    binary = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    for value, level in enumerate(levels, start=1):
        segment = slicer.vtkSegment()
        segment.SetName(f"{data.info['shown_class']}: {level['name']}")
        segment.SetColor(*(float(v) for v in level["color"]))
        segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), terminology)
        segment.AddRepresentation(binary, shared)
        segment.SetLabelValue(value)
        segmentation.GetSegmentation().AddSegment(segment, f"evidence_{value}")
        yield 0.9


def _croppedLabels(labels: np.ndarray, reference: Any) -> Steps:
    from vtk.util.numpy_support import vtk_to_numpy

    bounds = yield from boundingBoxSteps(labels, 1)
    (k0, k1), (j0, j1), (i0, i1) = bounds or ((0, 0), (0, 0), (0, 0))
    image = slicer.vtkOrientedImageData()
    image.SetExtent(i0, i1, j0, j1, k0, k1)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    target = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)
    target[:] = labels[k0:k1 + 1, j0:j1 + 1, i0:i1 + 1]
    matrix = vtk.vtkMatrix4x4()
    reference.GetIJKToRASMatrix(matrix)
    image.SetImageToWorldMatrix(matrix)
    return image


def _placeBeside(volumeNode: Any, node: Any) -> None:
    """Same parent transform and same place in the subject hierarchy as the input."""
    if node.IsA("vtkMRMLTransformableNode"):
        node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    if hierarchy is None:
        return
    source, item = hierarchy.GetItemByDataNode(volumeNode), hierarchy.GetItemByDataNode(node)
    if not source:
        return
    if item:
        hierarchy.SetItemParent(item, hierarchy.GetItemParent(source))
    else:  # no plugin made one, as in scripts that run outside the application
        hierarchy.CreateItem(hierarchy.GetItemParent(source), node)
