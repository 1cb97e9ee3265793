"""The result in 3D: surfaces of the levels, the map as a cloud, and the head around them. Made when asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from .head_surface import headSurface
from .localization import HEAD, Localization
from .scene_results import placeBeside
from .steps import Steps
from .volume_nodes import RESULT_ATTRIBUTE

HEAD_COLOR, HEAD_OPACITY = (0.92, 0.80, 0.72), 0.18

_NEARER = 1.4
"""VTK fits the sphere around what is shown; a head is smaller than that."""


def show3DSteps(localization: Localization, surfaces: bool, cloud: bool, head: bool) -> Steps:
    """Show or hide surfaces, cloud, and the head around them, one a step: each is computed when it is first shown.

    The views then look at what is shown.
    """
    showSurfaces(localization, surfaces)
    yield 0.3
    showVolumeRendering(localization, cloud)
    yield 0.6
    showHead(localization, head and (surfaces or cloud))
    yield 0.9
    center3DViews(localization)
    yield 1.0


def showSurfaces(localization: Localization, visible: bool = True) -> None:
    """Show the levels' surfaces in the 3D views; they are computed at the first call, where anything is marked."""
    segmentation = localization.presentSegmentation()
    closedSurface = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    known = segmentation.GetSegmentation().ContainsRepresentation(closedSurface)
    if visible and localization.regions and not known:
        segmentation.CreateClosedSurfaceRepresentation()
    display = segmentation.GetDisplayNode()
    display.SetPreferredDisplayRepresentationName3D(closedSurface)
    display.SetVisibility3D(visible)


def surfacesVisible(localization: Localization) -> bool:
    """Whether the surfaces are shown."""
    segmentation = localization.segmentation
    display = segmentation.GetDisplayNode() if segmentation is not None else None
    return bool(display is not None and display.GetVisibility3D())


def showHead(localization: Localization, visible: bool = True) -> Any:
    """Show the scan's outer surface as a translucent context; returns its model node, or None where there is none."""
    model = localization.headModel
    if model is None:
        surface = headSurface(localization.inputVolume) if visible else None
        if surface is None or surface.GetNumberOfPoints() == 0:
            return None
        model = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", f"{localization.baseName} head")
        model.SetAttribute(RESULT_ATTRIBUTE, "head")
        model.SetAndObservePolyData(surface)
        model.CreateDefaultDisplayNodes()
        display = model.GetDisplayNode()
        display.SetColor(*HEAD_COLOR)
        display.SetOpacity(HEAD_OPACITY)
        display.SetAmbient(0.5)
        display.SetDiffuse(0.5)
        display.SetSpecular(0.0)
        display.SetBackfaceCulling(False)
        display.SetVisibility2D(False)
        placeBeside(localization.mapVolume, model)
        localization.resultNode.SetNodeReferenceID(HEAD, model.GetID())
    model.GetDisplayNode().SetVisibility(visible)
    return model


def showVolumeRendering(localization: Localization, visible: bool = True) -> Any:
    """Show the fused map as a cloud, from the weakest level upwards; returns the display node or None.

    Raises ``ValueError`` under a non-linear transform: Slicer would draw the cloud as if there were none.
    """
    volume = localization.mapVolume
    transform = volume.GetParentTransformNode()
    if visible and transform is not None and not transform.IsTransformToWorldLinear():
        raise ValueError(_(
            'Volume rendering cannot follow the non-linear transform "{name}". Show surfaces instead, or harden the '
            "transform on the scan (module Transforms) and localize again.").format(name=transform.GetName()))
    logic = slicer.modules.volumerendering.logic()
    display = logic.GetFirstVolumeRenderingDisplayNode(volume)
    if display is None:
        if not visible:
            return None
        display = logic.CreateDefaultVolumeRenderingNodes(volume)
        _setTransferFunctions(localization, display)
    display.SetVisibility(visible)
    return display


def volumeRenderingVisible(localization: Localization) -> bool:
    """Whether the cloud is shown."""
    display = slicer.modules.volumerendering.logic().GetFirstVolumeRenderingDisplayNode(localization.mapVolume)
    return bool(display is not None and display.GetVisibility())


def hide3D(localization: Localization) -> None:
    """Take everything of a result, or what is left of it in the scene, out of the 3D views."""
    if localization.segmentation is not None:
        showSurfaces(localization, False)
    if localization.mapVolume is not None:
        showVolumeRendering(localization, False)
    showHead(localization, False)


def center3DViews(localization: Localization) -> None:
    """Let the 3D views look at what is shown of a result, so near that it fills most of them; where there are views.

    Slicer's own reset looks at the box around all that is in the scene (vtkMRMLViewDisplayableManager,
    ``UpdateRASBounds``), other scans too, from where all of it is seen.
    """
    layout, nodes = slicer.app.layoutManager(), _shown(localization)
    bounds = np.zeros((len(nodes), 6))
    for node, own in zip(nodes, bounds, strict=True):
        node.GetRASBounds(own)
    bounds = bounds[(bounds[:, ::2] <= bounds[:, 1::2]).all(axis=1)]  # a segmentation without segments has none
    if layout is None or not len(bounds):
        return
    around = np.stack([bounds[:, ::2].min(axis=0), bounds[:, 1::2].max(axis=0)], axis=1).ravel().tolist()
    for index in range(layout.threeDViewCount):
        view = layout.threeDWidget(index).threeDView()
        renderer = view.renderWindow().GetRenderers().GetFirstRenderer()
        renderer.ResetCamera(around)
        renderer.GetActiveCamera().Dolly(_NEARER)
        renderer.ResetCameraClippingRange()
        view.scheduleRender()


def _shown(localization: Localization) -> list[Any]:
    """The nodes of a result that the 3D views show."""
    head = localization.headModel
    nodes = [head] if head is not None and head.GetDisplayNode().GetVisibility() else []
    if surfacesVisible(localization):
        nodes.append(localization.segmentation)
    return [*nodes, localization.mapVolume] if volumeRenderingVisible(localization) and not nodes else nodes


def cloudPoints(thresholds: list[float], high: float, step: float) -> list[tuple[float, float]]:
    """Evidence and opacity of the cloud: nothing below the weakest level, more opaque from level to level.

    Points lie at least ``step`` apart: VTK draws closer ones wrongly, and warns.

    Example
    -------
    >>> cloudPoints([10.0, 20.0], 40.0, 0.5)
    [(9.5, 0.0), (10.0, 0.05), (20.0, 0.35), (40.0, 0.6)]
    """
    opacities = np.linspace(0.05, 0.35, len(thresholds)) if len(thresholds) > 1 else [0.35]
    points = [(thresholds[0] - step, 0.0)]
    for at, opacity in [*zip(thresholds, opacities, strict=True), (high, 0.6)]:
        points.append((max(at, points[-1][0] + step), float(opacity)))
    return points


def _setTransferFunctions(localization: Localization, display: Any) -> None:
    """The levels' colors, as in the slices; a normal scan shows an empty cloud."""
    from hrcam.output.evidence_colors import map_colors

    from .colors import engineLevels

    low, high = localization.evidenceSpan()
    thresholds = [float(level["threshold"]) for level in localization.evidenceLevels] or [high]
    table = map_colors(engineLevels(localization.evidenceLevels))
    color = vtk.vtkColorTransferFunction()
    for n in range(0, len(table), 5):
        color.AddRGBPoint(low + (high - low) * n / (len(table) - 1), *(float(v) for v in table[n]))
    bottom, top = localization.mapVolume.GetImageData().GetScalarRange()
    opacity = vtk.vtkPiecewiseFunction()
    for at, value in cloudPoints(thresholds, high, max(top - bottom, high - low) / 1000):
        opacity.AddPoint(at, value)
    propertyNode = display.GetVolumePropertyNode()  # it observes what is set through it: edits show at once
    propertyNode.SetColor(color)
    propertyNode.SetScalarOpacity(opacity)
    volumeProperty = propertyNode.GetVolumeProperty()
    volumeProperty.SetInterpolationTypeToLinear()
    volumeProperty.ShadeOff()
