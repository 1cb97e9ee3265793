"""The outer surface of what a scan shows, coarse: the context in which regions are seen in 3D."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk

from .volume_nodes import ijkToRas

_VOXELS = 400_000
"""So many at most are contoured: some tens of milliseconds, and smooth enough for a context."""


def headSurface(volumeNode: Any) -> Any:
    """``vtkPolyData`` in the volume's own RAS, mm, around what is brighter than background; None where nothing is."""
    from hrcam.scan.intensity import otsu_threshold
    from vtk.util.numpy_support import numpy_to_vtk

    voxels, matrix = slicer.util.arrayFromVolume(volumeNode), ijkToRas(volumeNode)
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)[::-1]
    steps = _steps(voxels.shape, spacing)
    coarse = np.ascontiguousarray(voxels[:: steps[0], :: steps[1], :: steps[2]], dtype=np.float32)
    if coarse.min() == coarse.max():
        return None
    coarse = np.pad(coarse, 1, constant_values=coarse.min())  # closes the surface where the head is cut off
    image = vtk.vtkImageData()
    image.SetDimensions(*coarse.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(coarse.ravel(), deep=True))
    smooth = vtk.vtkImageGaussianSmooth()
    smooth.SetInputData(image)
    smooth.SetStandardDeviation(1.0)
    contour = vtk.vtkFlyingEdges3D()
    contour.ComputeScalarsOff()  # the surface has one color
    contour.SetInputConnection(smooth.GetOutputPort())
    contour.SetValue(0, 0.5 * float(otsu_threshold(coarse)) + 0.5 * float(coarse.min()))
    largest = vtk.vtkPolyDataConnectivityFilter()
    largest.SetInputConnection(contour.GetOutputPort())
    largest.SetExtractionModeToLargestRegion()
    toRas = vtk.vtkTransformPolyDataFilter()
    toRas.SetInputConnection(largest.GetOutputPort())
    transform = vtk.vtkTransform()
    scale = np.diag([*steps[::-1], 1.0])
    scale[:3, 3] = [-step for step in steps[::-1]]  # of the padding
    transform.SetMatrix((matrix @ scale).ravel().tolist())
    toRas.SetTransform(transform)
    normals = vtk.vtkPolyDataNormals()
    normals.SetInputConnection(toRas.GetOutputPort())
    normals.SplittingOff()
    normals.AutoOrientNormalsOn()
    normals.Update()
    return normals.GetOutput()


def _steps(shape: tuple[int, ...], spacing: np.ndarray) -> list[int]:
    """Steps along K, J, I that leave at most ``_VOXELS``, as even in millimeters as they can be."""
    size = np.array(shape) * spacing
    target = float(np.prod(size) / _VOXELS) ** (1 / 3)
    while True:
        steps = [max(1, int(target / one)) for one in spacing]
        if np.prod([-(-n // step) for n, step in zip(shape, steps, strict=True)]) <= _VOXELS or max(steps) > max(shape):
            return steps
        target *= 1.15
