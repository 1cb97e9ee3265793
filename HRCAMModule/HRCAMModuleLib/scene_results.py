"""Put a finished localization into the scene: all of it or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from .boxes import boundingBoxSteps
from .colors import addLevelColorNode, addMapColorNode, addScaleColorNode, engineLevels
from .localization import (
    FRAME_ATTRIBUTE,
    FUSED,
    INPUT,
    LABELS,
    LEVEL_COLORS,
    LEVEL_MAP,
    LEVEL_MAP_COLORS,
    LEVEL_NAME_ATTRIBUTE,
    LEVEL_PEAK_ATTRIBUTE,
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
from .volume_nodes import RESULT_ATTRIBUTE, ijkToRas, sequenceFrame, setVoxelsSteps


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
    return (yield from replaceSteps(_build(volumeNode, data, nodes, former), nodes, former))


def replaceSteps(build: Steps, nodes: Sequence[Any], former: Sequence[Any]) -> Steps:
    """Run ``build``, then remove what it replaces, and return what it made.

    Parameters
    ----------
    build : adds nodes to the scene.
    nodes : those that it has added so far; when it fails or is closed they are removed, and ``former`` stays.
    former : results or comparisons.
    """
    try:
        made = yield from build
    except BaseException:
        removeNodes([one for node in nodes for one in (node, *helperNodes(node))])
        raise
    for old in former:
        yield 1.0
        old.remove()
        yield 1.0  # what is done with it has a turn of its own
    return made


def addLevelMapSteps(localization: Localization, level: str, array: np.ndarray) -> Steps:
    """Add the map of one CNN level to a result already in the scene; returns its volume node."""
    name = f"{localization.inputVolume.GetName()} HR-CAM {localization.levelWords(level)}"
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    try:
        node.SetAttribute(RESULT_ATTRIBUTE, "level map")
        node.SetAttribute(LEVEL_NAME_ATTRIBUTE, level)
        voxels = np.asarray(array, dtype=np.float32)
        node.SetAttribute(LEVEL_PEAK_ATTRIBUTE, repr(max(float(voxels.max()), 1e-3)))
        yield from setVoxelsSteps(node, voxels, localization.geometryMatrix())
        placeBeside(localization.mapVolume, node)
        localization.resultNode.AddNodeReferenceID(LEVEL_MAP, node.GetID())
        _dressMap(node, localization, level)
    except BaseException:
        removeNodes([node, *helperNodes(node)])
        raise
    return node


def _build(volumeNode: Any, data: EvidenceData, nodes: list[Any], former: Sequence[Localization]) -> Steps:
    base = _freeName(f"{volumeNode.GetName()} HR-CAM {data.info['shown_class'].replace('_', ' ')}", former)
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
    frame = sequenceFrame(volumeNode)
    if frame is not None:
        resultNode.SetAttribute(FRAME_ATTRIBUTE, str(frame))
    yield 0.0
    nodes.append(addMapColorNode(f"{base} evidence colors", levels))
    mapColors = nodes[-1]
    nodes.append(addLevelColorNode(f"{base} level colors", levels))
    levelColors = nodes[-1]
    yield 0.0

    mapNode = add("vtkMRMLScalarVolumeNode", "evidence", "map")
    yield from setVoxelsSteps(mapNode, data.map, matrix)
    labelNode = add("vtkMRMLLabelMapVolumeNode", "levels", "labels")
    yield from setVoxelsSteps(labelNode, data.labels, matrix)
    yield 0.8
    dressLabels(labelNode, levelColors)
    segmentation = add("vtkMRMLSegmentationNode", "segmentation", "segmentation")
    yield from _segmentSteps(segmentation, volumeNode, mapNode, data)

    references = {INPUT: volumeNode, MAP: mapNode, LABELS: labelNode, SEGMENTATION: segmentation,
                  MAP_COLORS: mapColors, LEVEL_COLORS: levelColors}
    for role, node in references.items():
        resultNode.SetNodeReferenceID(role, node.GetID())
    localization = Localization(resultNode)
    yield 0.9
    _dressMap(mapNode, localization)
    yield from placeSteps(volumeNode, (mapNode, labelNode, segmentation, resultNode), base)
    yield 1.0
    return localization


def dressLabels(labelNode: Any, levelColors: Any) -> None:
    """Give a label map its display node, in the colors of the levels."""
    labelNode.CreateDefaultDisplayNodes()
    labelNode.GetDisplayNode().SetAndObserveColorNodeID(levelColors.GetID())


def _dressMap(mapNode: Any, localization: Localization, source: str = FUSED) -> None:
    """Give a map its display node: the source's own scale of colors, and what lies below its default range hidden."""
    from hrcam.output.scene_nodes import dress_map

    display = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
    colors = localization.mapColors if source == FUSED else _scaleColors(mapNode, localization, source)
    dress_map(display, colors, localization.evidenceSpan(source), localization.defaultRange(source)[0])
    mapNode.SetAndObserveDisplayNodeID(display.GetID())


def _scaleColors(mapNode: Any, localization: Localization, level: str) -> Any:
    """Color table of a single CNN level's map, whose legend names the evidence on that map's own scale."""
    node = addScaleColorNode(f"{mapNode.GetName()} colors", localization.evidenceSpan(level)[1],
                             localization.evidenceLevels)
    localization.resultNode.AddNodeReferenceID(LEVEL_MAP_COLORS, node.GetID())
    return node


def _segmentSteps(segmentation: Any, volumeNode: Any, mapNode: Any, data: EvidenceData) -> Steps:
    """One segment per level on one shared label map, cropped to where it is not empty."""
    from hrcam.output.scene_nodes import fill_segmentation

    shared = yield from croppedLabelsSteps(data.labels, mapNode)
    fill_segmentation(segmentation, shared, volumeNode, data.info["shown_class"],
                      engineLevels(data.info["evidence_levels"]), data.info["provenance"].get("shown_terminology"))
    yield 0.9


def croppedLabelsSteps(labels: np.ndarray, reference: Any) -> Steps:
    """Label numbers (KJI) on a volume's grid as an oriented image of the part that is not empty."""
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


def placeBeside(neighbor: Any, node: Any, folder: int = 0) -> None:
    """Same parent transform as its neighbor, and its place in the subject hierarchy unless a folder is given."""
    if node.IsA("vtkMRMLTransformableNode"):
        node.SetAndObserveTransformNodeID(neighbor.GetTransformNodeID())
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    if hierarchy is None:
        return
    source = hierarchy.GetItemByDataNode(neighbor)
    parent = folder or (hierarchy.GetItemParent(source) if source else 0)
    if parent:
        hierarchy.CreateItem(parent, node)  # or moves the item that a plugin has made


def placeSteps(volumeNode: Any, nodes: Sequence[Any], name: str) -> Steps:
    """Put a result's nodes into a folder of their own beside the scan, where there is a subject hierarchy."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    source = hierarchy.GetItemByDataNode(volumeNode) if hierarchy is not None else 0
    folder = hierarchy.CreateFolderItem(hierarchy.GetItemParent(source), name) if source else 0
    try:
        for node in nodes:
            yield 0.95
            placeBeside(volumeNode, node, folder)
    except BaseException:
        if folder:
            hierarchy.RemoveItem(folder, False, False)
        raise


def _freeName(name: str, former: Sequence[Localization]) -> str:
    """The name, with a number where results that stay have it already; those of ``former`` go."""
    taken = {one.baseName for one in findLocalizations() if one not in former}
    return next(free for free in (name, *(f"{name} ({n})" for n in range(2, len(taken) + 3))) if free not in taken)
