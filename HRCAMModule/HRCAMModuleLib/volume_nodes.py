"""Volume nodes and the engine's volumes: voxels, geometry, files, and points in world coordinates."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from .steps import Steps, slabs

RESULT_ATTRIBUTE = "HRCAM.Role"
"""Attribute of every node that this module makes; its value says what the node is."""

_FILE_ATTRIBUTE = "HRCAM.File"


def checkInput(volumeNode: Any) -> tuple[bool, str]:
    """Whether the node can be localized, and if not, why and what to do.

    Example
    -------
    >>> checkInput(None)[0]
    False
    """
    if volumeNode is None:
        return False, _("Choose an input volume.")
    name = volumeNode.GetName()
    if volumeNode.IsA("vtkMRMLLabelMapVolumeNode") or volumeNode.IsA("vtkMRMLSegmentationNode"):
        return False, _('"{name}" is a label map, not a scan. Choose the scan that it belongs to.').format(name=name)
    if volumeNode.IsA("vtkMRMLSequenceNode"):
        return False, _('"{name}" is a sequence. Choose the volume that shows its frames.').format(name=name)
    if not volumeNode.IsA("vtkMRMLScalarVolumeNode"):
        return False, _('"{name}" is not a scalar volume. Choose a scan.').format(name=name)
    if volumeNode.GetAttribute(RESULT_ATTRIBUTE):
        return False, _('"{name}" is a result of HR-CAM. Choose the scan it was made from.').format(name=name)
    image = volumeNode.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0:
        return False, _('"{name}" has no voxels. Load the volume again.').format(name=name)
    if image.GetNumberOfScalarComponents() != 1:
        return False, _('"{name}" is a color picture or a field of {count} values a voxel. Make a gray volume of it '
                        "with the module Vector to Scalar Volume, and choose that.").format(
            name=name, count=image.GetNumberOfScalarComponents())
    return True, ""


def scansInScene() -> list[Any]:
    """Every volume in the scene that can be localized, in the scene's order."""
    return [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if checkInput(node)[0]]


def offerScansAlone(*selectors: Any) -> None:
    """Leave this module's own maps out of what selectors of volumes list."""
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    own = [node.GetID() for node in volumes if node.GetAttribute(RESULT_ATTRIBUTE)]
    for selector in selectors:
        model = selector.sortFilterProxyModel()
        if list(model.hiddenNodeIDs) != own:
            model.hiddenNodeIDs = own


def sequenceFrame(volumeNode: Any) -> int | None:
    """Which frame of a sequence the volume shows now, counted from 1; None for a volume of no sequence."""
    browser = sequenceBrowser(volumeNode)
    return None if browser is None else int(browser.GetSelectedItemNumber()) + 1


def sequenceBrowser(volumeNode: Any) -> Any:
    """What chooses the frame that a volume of a sequence shows; None for a volume of no sequence."""
    browsers = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")
    return next((one for one in browsers if one.IsProxyNode(volumeNode.GetID())), None)


def ijkToRas(volumeNode: Any) -> np.ndarray:
    """4x4, voxel centers (i, j, k) to the node's own RAS (before its parent transform), mm."""
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def volumeGrid(volumeNode: Any) -> dict[str, Any]:
    """The grid of a scan as the engine's process is told it: voxels along i, j, k, and `ijkToRas`."""
    return {"size_ijk": list(volumeNode.GetImageData().GetDimensions()), "ijk_to_ras": ijkToRas(volumeNode).tolist()}


def rememberFile(volumeNode: Any, volume: Any) -> None:
    """Note on a node made of an ``hrcam.scan.volume.Volume`` what the volume's file said of itself."""
    facts = {"source": volume.source, "modality": volume.modality, "notes": list(volume.notes)}
    volumeNode.SetAttribute(_FILE_ATTRIBUTE, json.dumps(facts))


def _facts(volumeNode: Any) -> dict[str, Any]:
    return json.loads(volumeNode.GetAttribute(_FILE_ATTRIBUTE) or "{}")


def sourceFile(volumeNode: Any) -> str:
    """The file that the node was loaded from; empty where there is none (DICOM, or made by another module)."""
    known = _facts(volumeNode).get("source")
    if known:
        return str(known)
    storage = volumeNode.GetStorageNode()
    return (storage.GetFileName() or "") if storage is not None else ""


def dicomFiles(volumeNode: Any) -> list[str]:
    """The DICOM files of a volume from Slicer's DICOM database, slice by slice; empty unless all are still there."""
    database = getattr(slicer, "dicomDatabase", None)
    instances = (volumeNode.GetAttribute("DICOM.instanceUIDs") or "").split()
    if database is None or not instances:
        return []
    files = [str(database.fileForInstance(uid)) for uid in instances]
    return files if all(file and Path(file).is_file() for file in files) else []


def dicomModality(volumeNode: Any) -> str | None:
    """``MR``, ``CT``, … of a volume that Slicer's DICOM module or a batch loaded; None of any other."""
    known = _facts(volumeNode).get("modality")
    if known:
        return str(known)
    hierarchy = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSubjectHierarchyNode")  # never makes one
    item = hierarchy.GetItemByDataNode(volumeNode) if hierarchy is not None else 0
    if not item:
        return None
    attribute = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    return hierarchy.GetItemAttribute(item, attribute) or None


def engineVolume(volumeNode: Any) -> Any:
    """Copy a volume node into an ``hrcam.scan.volume.Volume`` (float32, KJI, the node's own geometry).

    The parent transform is not applied: the map is later placed under the same transform.

    Raises ``hrcam.errors.InputError`` for voxels or a grid that no scan can have (NaN, sheared, singular).
    """
    from hrcam.scan.volume import volume_from_array

    volume = volume_from_array(slicer.util.arrayFromVolume(volumeNode), ijkToRas(volumeNode), volumeNode.GetName(),
                               source=sourceFile(volumeNode), modality=dicomModality(volumeNode))
    return dataclasses.replace(volume, notes=tuple(_facts(volumeNode).get("notes", ())),
                               dicom_files=tuple(dicomFiles(volumeNode)))


def writeVolumeSteps(volumeNode: Any, path: Path) -> Steps:
    """Write the node's voxels and own geometry as one raw NRRD file, a few megabytes a step; returns the path.

    No parent transform is applied.
    """
    return (yield from writeArraySteps(slicer.util.arrayFromVolume(volumeNode), ijkToRas(volumeNode), path))


def writeArraySteps(voxels: np.ndarray, matrix: np.ndarray, path: Path) -> Steps:
    """Write voxels (KJI) on a grid (IJK to RAS) as one raw NRRD file, a few megabytes a step; returns the path.

    Uncompressed, because the file is read once by a process on the same machine.
    """
    from hrcam.scan.io.raw_nrrd import header

    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix
    little = voxels.dtype.newbyteorder("<")
    with path.open("wb") as file:
        file.write(header(voxels, lps))
        for part in slabs(voxels):
            file.write(np.ascontiguousarray(voxels[part], dtype=little).tobytes())
            yield min(1.0, part.stop / len(voxels))
    return path


def setVoxelsSteps(volumeNode: Any, array: np.ndarray, matrix: np.ndarray) -> Steps:
    """Give a volume node its voxels (KJI) and IJK-to-RAS matrix; the image is attached when it is complete."""
    from vtk.util.numpy_support import get_vtk_array_type, vtk_to_numpy

    image = vtk.vtkImageData()
    image.SetDimensions(*(int(n) for n in array.shape[::-1]))
    image.AllocateScalars(get_vtk_array_type(array.dtype), 1)
    target = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(array.shape)
    for part in slabs(array):
        target[part] = array[part]
        yield min(1.0, part.stop / len(array))
    volumeNode.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    volumeNode.SetAndObserveImageData(image)
    return volumeNode


def localToWorld(node: Any, points: Sequence[Sequence[float]]) -> list[tuple[float, float, float]]:
    """Points in the node's own RAS to world RAS, mm, through whatever transform the node is under now."""
    source = node.GetParentTransformNode()
    if source is None:
        return [(float(r), float(a), float(s)) for r, a, s in points]
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(source, None, transform)
    moved = []
    for r, a, s in points:
        point = [float(r), float(a), float(s)]
        transform.TransformPoint(point, point)
        moved.append((point[0], point[1], point[2]))
    return moved
