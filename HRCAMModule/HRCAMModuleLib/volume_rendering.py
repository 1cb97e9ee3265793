"""The result in 3D: surfaces of the evidence levels and volume rendering of the map. Both are made when asked for."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from .colors import evidenceColors
from .localization import Localization


def showSurfaces(localization: Localization, visible: bool = True) -> None:
    """Show the levels' surfaces in the 3D views; they are computed at the first call."""
    segmentation = localization.segmentation
    if segmentation is None:
        raise ValueError(_("The segmentation was removed from the scene. Run the localization again."))
    closedSurface = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    if visible and not segmentation.GetSegmentation().ContainsRepresentation(closedSurface):
        segmentation.CreateClosedSurfaceRepresentation()
    display = segmentation.GetDisplayNode()
    display.SetPreferredDisplayRepresentationName3D(closedSurface)
    display.SetVisibility3D(visible)


def surfacesVisible(localization: Localization) -> bool:
    """Whether the surfaces are shown."""
    segmentation = localization.segmentation
    display = segmentation.GetDisplayNode() if segmentation is not None else None
    return bool(display is not None and display.GetVisibility3D())


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


def center3DViews() -> None:
    """Center the 3D views on what they show, where there are views."""
    if slicer.app.layoutManager() is not None:
        slicer.util.resetThreeDViews()


def _setTransferFunctions(localization: Localization, display: Any) -> None:
    """Colours as in the slices; nothing below the weakest level, so that a normal scan shows an empty cloud."""
    low, high = localization.evidenceSpan()
    thresholds = [float(level["threshold"]) for level in localization.evidenceLevels] or [high]
    color = vtk.vtkColorTransferFunction()
    table = evidenceColors()
    for n in range(0, len(table), 15):
        color.AddRGBPoint(low + (high - low) * n / (len(table) - 1), *(float(v) for v in table[n]))
    opacity = vtk.vtkPiecewiseFunction()
    opacity.AddPoint(thresholds[0] - 1e-3, 0.0)
    opacity.AddPoint(thresholds[0], 0.04)
    opacity.AddPoint(max(thresholds[-1], thresholds[0] + 1e-3), 0.35)
    opacity.AddPoint(max(high, thresholds[-1] + 2e-3), 0.6)
    propertyNode = display.GetVolumePropertyNode()  # it observes what is set through it: edits show at once
    propertyNode.SetColor(color)
    propertyNode.SetScalarOpacity(opacity)
    volumeProperty = propertyNode.GetVolumeProperty()
    volumeProperty.SetInterpolationTypeToLinear()
    volumeProperty.ShadeOff()
