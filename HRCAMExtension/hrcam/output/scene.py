"""A localization as a Slicer scene (.mrb): scan, evidence map, levels, segmentation, colors, views.

Written through real MRML (PyPI's `slicer-core`), in a scene of its own: several processes may write at once, and a
Slicer or a test host in the same process is left alone. The nodes carry the names, attributes and references that the
Slicer module gives them, so that the module's panel takes the scene up as if it had made it.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import OutputError
from ..run.result import Result
from ..scan.geometry import Geometry
from ..scan.volume import Volume
from .mrml import MRMLSession, import_slicer
from .terminology import DEFAULT_TERMINOLOGY

ROLE_ATTRIBUTE = "HRCAM.Role"
MODEL_ATTRIBUTE = "HRCAM.Model"
REFERENCES = {
    "input": "hrcamInput",
    "map": "hrcamMap",
    "labels": "hrcamLabels",
    "segmentation": "hrcamSegmentation",
    "map colors": "hrcamMapColors",
    "level colors": "hrcamLevelColors",
}
"""Part of the scene to the result node's reference role, as in the Slicer module."""

LABEL_OPACITY = 0.45
SCENE_THRESHOLD_MAX = 1e6  # the top of the color scale means "and above"
VIEWS = {  # name → orientation, label, color; as in Slicer's own layouts
    "Red": ("Axial", "R", (0.953, 0.290, 0.200)),
    "Yellow": ("Sagittal", "Y", (0.929, 0.835, 0.298)),
    "Green": ("Coronal", "G", (0.431, 0.690, 0.294)),
}
VIEW_SIZE = 512  # pixels for which the field of view is fitted; Slicer fits again as its views have another shape

# Nine even samples of matplotlib's Inferno (CC0), the first lifted so that faint evidence shows on dark tissue.
EVIDENCE_COLORS = (
    (0.16, 0.04, 0.33), (0.26, 0.04, 0.41), (0.42, 0.09, 0.43), (0.58, 0.15, 0.40), (0.74, 0.22, 0.33),
    (0.87, 0.32, 0.23), (0.96, 0.49, 0.08), (0.99, 0.71, 0.15), (0.99, 1.00, 0.64),
)  # fmt: skip


def write_scene(result: Result, volume: Volume, path: str | Path) -> None:
    """Write a localization as a scene that opens in 3D Slicer (File, Add Data, or drag and drop).

    The scene shows the levels over the scan at the strongest region, in the four-up layout with a color legend. The
    continuous map lies ready as foreground (opacity 0), the segmentation for 3D is hidden.

    Parameters
    ----------
    result : what `localize` returned.
    volume : the scan that was localized; on the result's grid.
    path : file to write, ending in ``.mrb``.

    Raises
    ------
    HRCAMError : slicer-core is not installed.
    OutputError : another ending, a scan of another grid, or a file that cannot be written.
    """
    path = Path(path)
    if path.suffix != ".mrb":
        raise OutputError(f'A scene\'s file name ends in .mrb, not "{path.suffix}".', "Rename it.")
    if volume.array.shape != result.map.shape:
        raise OutputError(
            f"The scan has {volume.array.shape} voxels (K, J, I), the result {result.map.shape}.",
            "Give the scan that was localized.",
        )
    with tempfile.TemporaryDirectory(prefix="hrcam-scene-") as temporary:
        session = MRMLSession(Path(temporary))
        try:
            _Scene(session).fill(result, volume)
            session.scene.SetURL(str(path))
            written = session.scene.WriteToMRB(str(path))
        finally:
            session.close()
    if not written or not path.is_file() or not path.stat().st_size:
        path.unlink(missing_ok=True)
        raise OutputError(f'The scene "{path}" cannot be written.', "Check the folder's permissions and free space.")


class _Scene:
    """The nodes of one localization, in the scene of a session."""

    def __init__(self, session: MRMLSession) -> None:
        self.slicer = import_slicer()
        self.session = session
        self.nodes: dict[str, Any] = {}

    def fill(self, result: Result, volume: Volume) -> None:
        """Add every node, then arrange the views."""
        base = f"{volume.name} HR-CAM"
        span = _evidence_span(result)
        self._add_volume("input", volume.name, volume.array, volume.geometry)
        self._add_colors(result, base)
        self._add_volume("map", f"{base} evidence", result.map, result.geometry)
        self._dress_map(span)
        label_map = "vtkMRMLLabelMapVolumeNode"
        labels = self._add_volume("labels", f"{base} levels", result.labels, result.geometry, label_map)
        labels.GetDisplayNode().SetAndObserveColorNodeID(self.nodes["level colors"].GetID())
        self._add_segmentation(result, base)
        self._add_result(result, base)
        self._place_in_hierarchy()
        self._add_legend(len(result.evidence_levels))
        self._arrange_views(result)

    def _add(self, class_name: str, part: str, name: str, role: str = "") -> Any:
        node = self.session.scene.AddNewNodeByClass(class_name, name)
        if role:
            node.SetAttribute(ROLE_ATTRIBUTE, role)
        self.nodes[part] = node
        return node

    def _add_volume(
        self,
        part: str,
        name: str,
        array: npt.NDArray[Any],
        geometry: Geometry,
        class_name: str = "vtkMRMLScalarVolumeNode",
    ) -> Any:
        node = self._add(class_name, part, name, "" if part == "input" else part)
        node.SetAndObserveImageData(_vtk_image(array))
        node.SetIJKToRASMatrix(_vtk_matrix(geometry.ijk_to_ras))
        node.CreateDefaultDisplayNodes()
        return node

    def _add_colors(self, result: Result, base: str) -> None:
        positions, anchors = np.linspace(0, 1, 256), np.linspace(0, 1, len(EVIDENCE_COLORS))
        even = np.stack([np.interp(positions, anchors, channel) for channel in np.transpose(EVIDENCE_COLORS)], axis=1)
        self._add_table("map colors", f"{base} evidence colors", [(str(i), rgb, 1.0) for i, rgb in enumerate(even)])
        levels = [(level.name, level.color, 1.0) for level in result.evidence_levels]
        table = self._add_table("level colors", f"{base} level colors", [("background", (0, 0, 0), 0.0), *levels])
        table.SetColorDefined(0, False)  # no legend entry

    def _add_table(self, part: str, name: str, colors: list[tuple[str, Any, float]]) -> Any:
        node = self._add("vtkMRMLColorTableNode", part, name, "colors")
        node.SetTypeToUser()
        node.SetAttribute("Category", "HR-CAM")
        node.SetNumberOfColors(len(colors))
        for entry, (label, rgb, opacity) in enumerate(colors):
            node.SetColor(entry, label, *(float(value) for value in rgb), opacity)
        return node

    def _dress_map(self, span: tuple[float, float]) -> None:
        display = self.nodes["map"].GetDisplayNode()
        display.SetAndObserveColorNodeID(self.nodes["map colors"].GetID())
        display.AutoWindowLevelOff()
        display.SetWindowLevelMinMax(*span)
        display.SetThreshold(span[0], SCENE_THRESHOLD_MAX)
        display.SetApplyThreshold(1)

    def _add_segmentation(self, result: Result, base: str) -> None:
        """One segment a level on one shared label map: empty levels are segments too."""
        slicer, name = self.slicer, f"{base} segmentation"
        node = self._add("vtkMRMLSegmentationNode", "segmentation", name, "segmentation")
        node.SetReferenceImageGeometryParameterFromVolumeNode(self.nodes["map"])
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetVisibility2D(False)  # the label map is what the slices show
        node.GetDisplayNode().SetVisibility3D(False)
        node.GetDisplayNode().SetOpacity3D(LABEL_OPACITY)
        shared = slicer.vtkOrientedImageData()
        shared.ShallowCopy(self.nodes["labels"].GetImageData())
        shared.SetImageToWorldMatrix(_vtk_matrix(result.geometry.ijk_to_ras))
        representation = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
        terminology = result.provenance.get("shown_terminology") or DEFAULT_TERMINOLOGY
        for value, level in enumerate(result.evidence_levels, start=1):
            segment = slicer.vtkSegment()
            segment.SetName(f"{result.shown_class}: {level.name}")
            segment.SetColor(*(float(c) for c in level.color))
            segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), terminology)
            segment.AddRepresentation(representation, shared)
            segment.SetLabelValue(value)
            node.GetSegmentation().AddSegment(segment, f"evidence_{value}")

    def _add_result(self, result: Result, base: str) -> None:
        node = self._add("vtkMRMLTextNode", "result", f"{base} result", "result")
        node.SetAttribute(MODEL_ATTRIBUTE, str(result.provenance.get("model", {}).get("name", "")))
        node.SetText(json.dumps(result.to_json()))
        for part, role in REFERENCES.items():
            node.SetNodeReferenceID(role, self.nodes[part].GetID())

    def _place_in_hierarchy(self) -> None:
        """Everything beside the scan. Slicer's own plugins adopt the items when the scene is opened."""
        hierarchy = self.slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.session.scene)
        plugins = {"input": "Volumes", "map": "Volumes", "labels": "LabelMaps", "segmentation": "Segmentations"}
        for part, plugin in {**plugins, "result": "Texts"}.items():
            item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), self.nodes[part])
            hierarchy.SetItemOwnerPluginName(item, plugin)

    def _add_legend(self, levels: int) -> None:
        legend = self.session.logics["Colors"].AddDefaultColorLegendDisplayNode(self.nodes["labels"])
        legend.SetTitleText("Evidence level")
        legend.SetUseColorNamesForLabels(True)
        legend.SetMaxNumberOfColors(levels + 1)
        legend.SetNumberOfLabels(levels + 1)
        legend.SetSize(0.12, 0.5)
        legend.SetPosition(0.97, 0.5)

    def _arrange_views(self, result: Result) -> None:
        slicer, scene, application = self.slicer, self.session.scene, self.session.application_logic
        layout = slicer.vtkMRMLLayoutLogic()
        layout.SetMRMLApplicationLogic(application)
        layout.SetMRMLScene(scene)
        layout.GetLayoutNode().SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        for name, (orientation, label, color) in VIEWS.items():
            node = scene.GetSingletonNode(name, "vtkMRMLSliceNode")
            node.SetOrientation(orientation)
            node.SetLayoutLabel(label)
            node.SetLayoutColor(*color)
            logic = slicer.vtkMRMLSliceLogic()
            logic.SetMRMLApplicationLogic(application)
            logic.SetMRMLScene(scene)
            logic.SetSliceNode(node)
            shown = logic.GetSliceCompositeNode()
            shown.SetBackgroundVolumeID(self.nodes["input"].GetID())
            shown.SetForegroundVolumeID(self.nodes["map"].GetID())
            shown.SetForegroundOpacity(0.0)
            shown.SetLabelVolumeID(self.nodes["labels"].GetID())
            shown.SetLabelOpacity(LABEL_OPACITY)
            logic.ResizeSliceNode(VIEW_SIZE, VIEW_SIZE)
            logic.FitSliceToBackground()
            logic.SetMRMLScene(None)
        if result.regions:
            centered = slicer.vtkMRMLSliceNode.CenteredJumpSlice
            slicer.vtkMRMLSliceNode.JumpAllSlices(scene, *result.regions[0].peak_ras, centered)
        application.GetSelectionNode().SetActiveVolumeID(self.nodes["input"].GetID())
        layout.SetMRMLScene(None)


def _evidence_span(result: Result) -> tuple[float, float]:
    """Ends of the color scale: from no evidence to well above the strongest level; the same for all scans."""
    thresholds = [level.threshold for level in result.evidence_levels] or [1.0]
    low = min(0.0, thresholds[0])
    return low, thresholds[-1] + 0.75 * max(thresholds[-1] - low, 1e-3)


def _vtk_image(array: npt.NDArray[Any]) -> Any:
    """KJI array → vtkImageData (a copy)."""
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonDataModel import vtkImageData

    image = vtkImageData()
    image.SetDimensions(*array.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(array).ravel(), deep=True))
    return image


def _vtk_matrix(matrix: npt.NDArray[np.float64]) -> Any:
    from vtkmodules.vtkCommonMath import vtkMatrix4x4

    result = vtkMatrix4x4()
    result.DeepCopy([float(value) for value in matrix.ravel()])
    return result
