"""One finished localization, as it lives in the scene.

A text node holds the result's JSON and refers to the input, the maps, the label map, the segmentation and the color
tables. Everything that the panel shows is read from these nodes, so a saved scene (.mrb) restores it, and undo or
deleting a node by hand never leaves the panel with stale copies.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from .colors import engineLevels
from .volume_nodes import RESULT_ATTRIBUTE, ijkToRas, localToWorld, sequenceFrame

INPUT, MAP, LABELS, SEGMENTATION = "hrcamInput", "hrcamMap", "hrcamLabels", "hrcamSegmentation"
MAP_COLORS, LEVEL_COLORS, LEVEL_MAP = "hrcamMapColors", "hrcamLevelColors", "hrcamLevelMap"
LABELS_IN_RANGE, LEVEL_MAP_COLORS, HEAD = "hrcamLabelsInRange", "hrcamLevelMapColors", "hrcamHead"
LEVEL_NAME_ATTRIBUTE = "HRCAM.Level"
LEVEL_PEAK_ATTRIBUTE = "HRCAM.Peak"
MODEL_ATTRIBUTE = "HRCAM.Model"
FRAME_ATTRIBUTE = "HRCAM.Frame"
"""Frame of a sequence that was localized, counted from 1."""
PLACE_PROBLEM_ATTRIBUTE = "HRCAM.PlaceProblem"
"""Why the places of the regions are not known, where they were asked for."""

FUSED = "fused"
_OWNED = (MAP, LABELS, LABELS_IN_RANGE, SEGMENTATION, LEVEL_MAP, HEAD, MAP_COLORS, LEVEL_COLORS, LEVEL_MAP_COLORS)


class Localization:
    """What a localization found and the nodes that show it.

    Example
    -------
    >>> result = logic.localize(volumeNode, model=model)
    >>> result.inputVolume.GetName() == volumeNode.GetName()
    True
    >>> abs(sum(result.probabilities.values()) - 1.0) < 1e-3
    True
    """

    def __init__(self, resultNode: Any) -> None:
        self.resultNode = resultNode
        self._parsed: tuple[str, dict] | None = None

    def __eq__(self, other: object) -> bool:
        """Two are equal when they stand for the same result node."""
        return isinstance(other, Localization) and other.resultNode is self.resultNode

    def __hash__(self) -> int:
        return hash(id(self.resultNode))

    @property
    def valid(self) -> bool:
        """Whether the nodes are still in the scene (a user may delete them, undo may remove them)."""
        node = self.resultNode
        return bool(node is not None and node.GetScene() and self.mapVolume and self.inputVolume and self.labelVolume)

    @property
    def info(self) -> dict:
        """The result as written to ``NAME_result.json``; points are in the input's own RAS."""
        text = self.resultNode.GetText() or "{}"
        if self._parsed is None or self._parsed[0] != text:
            self._parsed = (text, json.loads(text))
        return self._parsed[1]

    # Nodes

    @property
    def inputVolume(self) -> Any:
        """The scan; None when it was removed."""
        return self.resultNode.GetNodeReference(INPUT)

    @property
    def mapVolume(self) -> Any:
        """Scalar volume of the fused map, logit units."""
        return self.resultNode.GetNodeReference(MAP)

    @property
    def labelVolume(self) -> Any:
        """Label map as the engine decided it: 0 where nothing is marked, n at level n. The panel never changes it."""
        return self.resultNode.GetNodeReference(LABELS)

    @property
    def labelsInRange(self) -> Any:
        """Copy of the label map without what lies outside of a narrowed evidence range; None while all is shown."""
        return self.resultNode.GetNodeReference(LABELS_IN_RANGE)

    @property
    def shownLabels(self) -> Any:
        """The label map that the slice views show."""
        return self.labelsInRange or self.labelVolume

    @property
    def segmentation(self) -> Any:
        """Segmentation with one named, colored segment per evidence level."""
        return self.resultNode.GetNodeReference(SEGMENTATION)

    def presentSegmentation(self) -> Any:
        """`segmentation`; raises ``ValueError`` when it was removed from the scene."""
        segmentation = self.segmentation
        if segmentation is None:
            raise ValueError(_("The segmentation was removed from the scene. Run the localization again."))
        return segmentation

    @property
    def headModel(self) -> Any:
        """Surface of the scan for the 3D views; None until it is asked for."""
        return self.resultNode.GetNodeReference(HEAD)

    @property
    def baseName(self) -> str:
        """What the names of this result's nodes begin with."""
        return self.resultNode.GetName().removesuffix(" result")

    @property
    def mapColors(self) -> Any:
        """Color table of the continuous map."""
        return self.resultNode.GetNodeReference(MAP_COLORS)

    @property
    def levelColors(self) -> Any:
        """Color table of the label map."""
        return self.resultNode.GetNodeReference(LEVEL_COLORS)

    @property
    def levelVolumes(self) -> dict[str, Any]:
        """The single CNN levels' maps that are in the scene, by level name."""
        node = self.resultNode
        volumes = [node.GetNthNodeReference(LEVEL_MAP, n) for n in range(node.GetNumberOfNodeReferences(LEVEL_MAP))]
        return {v.GetAttribute(LEVEL_NAME_ATTRIBUTE): v for v in volumes if v is not None}

    def mapSource(self, name: str) -> Any:
        """Volume node of ``"fused"`` or of one CNN level; None when that level's map is not in the scene."""
        return self.mapVolume if name == FUSED else self.levelVolumes.get(name)

    # What was found

    @property
    def model(self) -> str:
        """Name of the model that made the result."""
        return self.resultNode.GetAttribute(MODEL_ATTRIBUTE) or ""

    @property
    def plane(self) -> str:
        """Plane in which the model read the scan, ``"all"`` three, or the whole ``"volume"``."""
        return self.info["plane"]

    @property
    def scanName(self) -> str:
        """Name of the scan, and the frame of a sequence that was localized."""
        frame = self.resultNode.GetAttribute(FRAME_ATTRIBUTE)
        name = self.inputVolume.GetName()
        return name if frame is None else _("{name}, frame {frame}").format(name=name, frame=frame)

    @property
    def scanMoved(self) -> bool:
        """Whether the scan lies elsewhere than when it was localized, as after a transform was hardened."""
        return not np.allclose(ijkToRas(self.inputVolume), self.geometryMatrix(), atol=1e-3)

    def followScan(self) -> None:
        """Put all that is shown of the result under the scan's parent transform, which a user may have changed."""
        transform = self.inputVolume.GetTransformNodeID()
        for node in self.ownNodes():
            if node.IsA("vtkMRMLTransformableNode") and node.GetTransformNodeID() != transform:
                node.SetAndObserveTransformNodeID(transform)

    @property
    def otherFrame(self) -> int | None:
        """Frame of the sequence that the scan shows now, counted from 1, where another one was localized."""
        localized, shown = self.resultNode.GetAttribute(FRAME_ATTRIBUTE), sequenceFrame(self.inputVolume)
        return shown if localized is not None and shown is not None and str(shown) != localized else None

    @property
    def probabilities(self) -> dict[str, float]:
        """Volume-level probability of each class, as declared by the model."""
        return dict(self.info["probabilities"])

    @property
    def predicted(self) -> str:
        """The most probable class."""
        return self.info["predicted"]

    @property
    def shownClass(self) -> str:
        """The class whose evidence the map shows."""
        return self.info["shown_class"]

    @property
    def warnings(self) -> list[str]:
        """What speaks against trusting this result."""
        return list(self.info.get("warnings") or [])

    @property
    def evidenceLevels(self) -> list[dict]:
        """Calibrated levels, weakest first: name, threshold (logit units), color."""
        return list(self.info["evidence_levels"])

    @property
    def regions(self) -> list[dict]:
        """The regions, with ``centroid_ras`` and ``peak_ras`` in **world** RAS (parent transforms applied), mm."""
        return self._inWorld(self.info["regions"], "centroid_ras", "peak_ras")

    @property
    def slices(self) -> list[dict]:
        """Evidence of each slice along the result's plane, in slice order, ``position_ras`` in world RAS, mm."""
        return self._inWorld(self.info["slices"], "position_ras")

    def _inWorld(self, records: list[dict], *keys: str) -> list[dict]:
        moved = {key: localToWorld(self.mapVolume, [record[key] for record in records]) for key in keys}
        return [{**record, **{key: moved[key][n] for key in keys}} for n, record in enumerate(records)]

    @property
    def withheld(self) -> bool:
        """Whether nothing is marked because the model as a whole calls the scan normal."""
        return bool(self.info.get("withheld", False))

    @property
    def unit(self) -> float:
        """Logits of one unit of evidence, as people read it: 1.0 is the weakest calibrated level."""
        from hrcam.run.units import unit_of

        return unit_of([float(level["threshold"]) for level in self.evidenceLevels])

    def inUnits(self, evidence: float) -> str:
        """Evidence in logits as people read it, such as ``"1.6"``."""
        from hrcam.run.units import spell_units

        return spell_units(evidence / self.unit)

    def evidenceSpan(self, source: str = FUSED) -> tuple[float, float]:
        """Ends of a map's evidence scale for sliders and colors, logits.

        The fused map's is fixed by the model's levels, so that scans compare: from no evidence to as far above the
        strongest level as that is above the scale's start. A single CNN level's ends at that map's own peak.
        """
        if source != FUSED:
            return 0.0, float(self.levelVolumes[source].GetAttribute(LEVEL_PEAK_ATTRIBUTE))
        from hrcam.output.evidence_colors import evidence_span

        return evidence_span(engineLevels(self.evidenceLevels))

    def defaultRange(self, source: str = FUSED) -> tuple[float, float]:
        """Evidence shown at first: from the weakest calibrated level, of a CNN level from a quarter of its peak."""
        low, high = self.evidenceSpan(source)
        if source != FUSED:
            return high / 4, high
        return min((float(level["threshold"]) for level in self.evidenceLevels), default=low), high

    def levelWords(self, level: str) -> str:
        """A CNN level in words that mean something: what it resolves, fine to coarse, such as ``"fine, 4 mm"``."""
        sizes = self.info["provenance"].get("level_mm") or {}
        if level not in sizes:
            return _("level {name}").format(name=level)
        order = sorted(sizes, key=lambda name: sizes[name])
        place = order.index(level)
        kind = _("fine") if place == 0 else _("coarse") if place == len(order) - 1 else _("middle")
        return _("{kind}, {size:.2g} mm").format(kind=kind, size=float(sizes[level]))

    def map(self) -> np.ndarray:
        """The fused map's voxels, KJI, a view of the node's own memory."""
        return slicer.util.arrayFromVolume(self.mapVolume)

    def geometryMatrix(self) -> np.ndarray:
        """4x4 IJK-to-RAS matrix of the maps, equal to the input's."""
        return ijkToRas(self.mapVolume)

    # Life

    def ownNodes(self) -> list[Any]:
        """All nodes that this result brought into the scene, in the order in which they are removed."""
        return ownedNodes(self.resultNode, _OWNED)

    def remove(self) -> None:
        """Take the result and everything that belongs to it out of the slice views and the scene."""
        self.hide()
        removeWithFolder(self.ownNodes(), self.resultNode, self.baseName)

    def hide(self) -> None:
        """Take the result's volumes out of the slice views; other layers stay."""
        volumes = (self.mapVolume, self.labelVolume, self.labelsInRange, *self.levelVolumes.values())
        own = {node.GetID() for node in volumes if node is not None}
        for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            if node.GetLabelVolumeID() in own:
                node.SetLabelVolumeID(None)
            if node.GetForegroundVolumeID() in own:
                node.SetForegroundVolumeID(None)
                node.SetForegroundOpacity(0.0)


def helperNodes(node: Any) -> list[Any]:
    """Display, legend, rendering and storage nodes that serve one node only."""
    helpers: list[Any] = []
    if node.IsA("vtkMRMLDisplayableNode"):
        for n in range(node.GetNumberOfDisplayNodes()):
            display = node.GetNthDisplayNode(n)
            if display is None:
                continue
            if display.IsA("vtkMRMLVolumeRenderingDisplayNode"):
                for extra in (display.GetVolumePropertyNode(), display.GetROINode()):  # these have helpers themselves
                    helpers += [extra, *helperNodes(extra)] if extra is not None else []
            helpers.append(display)
    if node.IsA("vtkMRMLStorableNode"):
        helpers += [node.GetNthStorageNode(n) for n in range(node.GetNumberOfStorageNodes())]
    return [helper for helper in helpers if helper is not None]


def ownedNodes(resultNode: Any, roles: Sequence[str]) -> list[Any]:
    """Nodes that a result's node refers to in these roles, and that node, each before its display nodes.

    In this order they are removed: a slice view gives a volume that lost its display node a new one.
    """
    nodes: list[Any] = []
    for role in roles:
        for n in range(resultNode.GetNumberOfNodeReferences(role)):
            node = resultNode.GetNthNodeReference(role, n)
            if node is not None:
                nodes += [node, *helperNodes(node)]
    return [*nodes, resultNode, *helperNodes(resultNode)]


def removeWithFolder(nodes: list[Any], resultNode: Any, folderName: str) -> None:
    """Remove a result's nodes and its folder in the subject hierarchy; what a user put there moves up."""
    hierarchy = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSubjectHierarchyNode")
    own = hierarchy.GetItemByDataNode(resultNode) if hierarchy is not None else 0
    folder = hierarchy.GetItemParent(own) if own else 0
    if folder and hierarchy.GetItemName(folder) == folderName:
        for item in [hierarchy.GetItemByDataNode(node) for node in nodes]:
            if item:
                hierarchy.RemoveItem(item, False, False)
        hierarchy.RemoveItem(folder, False, False)
    removeNodes(nodes)


def removeNodes(nodes: list[Any]) -> None:
    """Remove those of the nodes that are still in the scene."""
    for node in nodes:
        if node is not None and node.GetScene() is not None:
            slicer.mrmlScene.RemoveNode(node)


def findLocalizations(volumeNode: Any = None, model: str | None = None) -> list[Localization]:
    """The results in the scene, oldest first, of one input or of all, of one model or of all.

    Example
    -------
    >>> result in findLocalizations(volumeNode)
    True
    """
    found = []
    for node in slicer.util.getNodesByClass("vtkMRMLTextNode"):
        if node.GetAttribute(RESULT_ATTRIBUTE) != "result":
            continue
        localization = Localization(node)
        if volumeNode is not None and localization.inputVolume is not volumeNode:
            continue
        if model is not None and localization.model != model:
            continue
        found.append(localization)
    return found
