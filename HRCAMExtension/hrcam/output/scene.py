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
from .evidence_colors import evidence_span, map_colors
from .mrml import MRMLSession, import_slicer
from .scene_nodes import (
    OVERLAY_OPACITY,
    dress_legend,
    dress_map,
    fill_level_table,
    fill_map_table,
    fill_segmentation,
)

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

VIEWS = {  # name → orientation, label, color; as in Slicer's own layouts
    "Red": ("Axial", "R", (0.953, 0.290, 0.200)),
    "Yellow": ("Sagittal", "Y", (0.929, 0.835, 0.298)),
    "Green": ("Coronal", "G", (0.431, 0.690, 0.294)),
}
VIEW_SIZE = 512  # pixels for which the field of view is fitted; Slicer fits again as its views have another shape


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
        base = f"{volume.name} HR-CAM {result.shown_class.replace('_', ' ')}"
        self._add_volume("input", volume.name, volume.array, volume.geometry)
        self._add_colors(result, base)
        self._add_volume("map", f"{base} evidence", result.map, result.geometry)
        levels = result.evidence_levels
        dress_map(self.nodes["map"].GetDisplayNode(), self.nodes["map colors"], evidence_span(levels),
                  levels[0].threshold)
        label_map = "vtkMRMLLabelMapVolumeNode"
        labels = self._add_volume("labels", f"{base} levels", result.labels, result.geometry, label_map)
        labels.GetDisplayNode().SetAndObserveColorNodeID(self.nodes["level colors"].GetID())
        self._add_segmentation(result, base)
        self._add_result(result, base)
        self._place_in_hierarchy(base)
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
        table = "vtkMRMLColorTableNode"
        fill_map_table(self._add(table, "map colors", f"{base} evidence colors", "colors"),
                       map_colors(result.evidence_levels))
        fill_level_table(self._add(table, "level colors", f"{base} level colors", "colors"), result.evidence_levels)

    def _add_segmentation(self, result: Result, base: str) -> None:
        node = self._add("vtkMRMLSegmentationNode", "segmentation", f"{base} segmentation", "segmentation")
        shared = self.slicer.vtkOrientedImageData()
        shared.ShallowCopy(self.nodes["labels"].GetImageData())
        shared.SetImageToWorldMatrix(_vtk_matrix(result.geometry.ijk_to_ras))
        fill_segmentation(node, shared, self.nodes["input"], result.shown_class, result.evidence_levels,
                          result.provenance.get("shown_terminology"))

    def _add_result(self, result: Result, base: str) -> None:
        node = self._add("vtkMRMLTextNode", "result", f"{base} result", "result")
        node.SetAttribute(MODEL_ATTRIBUTE, str(result.provenance.get("model", {}).get("name", "")))
        node.SetText(json.dumps(result.to_json()))
        for part, role in REFERENCES.items():
            node.SetNodeReferenceID(role, self.nodes[part].GetID())

    def _place_in_hierarchy(self, base: str) -> None:
        """The scan, and beside it a folder with what was found. Slicer's own plugins adopt the items on loading."""
        hierarchy = self.slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.session.scene)
        top = hierarchy.GetSceneItemID()
        folder = hierarchy.CreateFolderItem(top, base)
        plugins = {"input": "Volumes", "map": "Volumes", "labels": "LabelMaps", "segmentation": "Segmentations"}
        for part, plugin in {**plugins, "result": "Texts"}.items():
            item = hierarchy.CreateItem(top if part == "input" else folder, self.nodes[part])
            hierarchy.SetItemOwnerPluginName(item, plugin)

    def _add_legend(self, levels: int) -> None:
        dress_legend(self.session.logics["Colors"].AddDefaultColorLegendDisplayNode(self.nodes["labels"]), levels)

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
            shown.SetLabelOpacity(OVERLAY_OPACITY)
            logic.ResizeSliceNode(VIEW_SIZE, VIEW_SIZE)
            logic.FitSliceToBackground()
            logic.SetMRMLScene(None)
        if result.regions:
            centered = slicer.vtkMRMLSliceNode.CenteredJumpSlice
            slicer.vtkMRMLSliceNode.JumpAllSlices(scene, *result.regions[0].peak_ras, centered)
        application.GetSelectionNode().SetActiveVolumeID(self.nodes["input"].GetID())
        layout.SetMRMLScene(None)


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
