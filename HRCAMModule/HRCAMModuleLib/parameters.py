"""What the panel remembers, saved with the scene in one parameter node."""

from enum import Enum
from typing import Annotated, Any

import slicer
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from .localization import FUSED


class Device(Enum):
    """Where the network runs."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "cuda"

    def label(self) -> str:
        """Text in the panel."""
        return {Device.AUTO: _("Automatic"), Device.CPU: _("CPU"), Device.GPU: _("GPU (CUDA)")}[self]


class Plane(Enum):
    """Along which plane a 2D model reads the volume."""

    AUTO = "auto"
    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"
    ALL = "all"

    def label(self) -> str:
        """Text in the panel."""
        return {
            Plane.AUTO: _("Automatic"), Plane.AXIAL: _("Axial"), Plane.CORONAL: _("Coronal"),
            Plane.SAGITTAL: _("Sagittal"), Plane.ALL: _("All three"),
        }[self]


class Overlay(Enum):
    """What lies over the scan in the slice views; values as ``display.OverlayKind``."""

    LEVELS = "levels"
    MAP = "map"
    BOTH = "both"
    NONE = "none"

    def label(self) -> str:
        """Text in the panel."""
        return {
            Overlay.LEVELS: _("Evidence levels (labels)"), Overlay.MAP: _("Evidence map (continuous)"),
            Overlay.BOTH: _("Levels and map"), Overlay.NONE: _("Nothing"),
        }[self]


@parameterNodeWrapper
class HRCAMParameterNode:
    """Typed parameters of the module.

    ``model`` is a bundle's name or path, empty for the default one; ``resultNode`` the result shown;
    ``fusion`` empty for the model's own; ``mapSource`` ``"fused"`` or a CNN level. The range of evidence that is shown
    belongs to each result's map (``display.mapRange``).
    """

    inputVolume: slicer.vtkMRMLScalarVolumeNode
    earlierVolume: slicer.vtkMRMLScalarVolumeNode
    model: str = ""
    device: Device = Device.AUTO
    plane: Plane = Plane.AUTO
    fusion: str = ""
    keepFormerResult: bool = False
    namePlaces: bool = True
    resultNode: slicer.vtkMRMLTextNode
    overlay: Overlay = Overlay.LEVELS
    mapSource: str = FUSED
    opacity: Annotated[float, WithinRange(0.0, 1.0)] = 0.45
    outline: bool = False
    legend: bool = True
    surfaces3D: bool = False
    cloud3D: bool = False
    head3D: bool = True


class PanelParameters(HRCAMParameterNode):
    """The parameters, and their connection to the panel's widgets.

    Slicer's ``connectParametersToGui`` observes the node, and its ``disconnectGui`` leaves that observer there for good
    (slicer/parameterNodeWrapper/wrapper.py, ``_connectParametersToGui``): one more each time the panel is opened. Here
    it goes with the connection.
    """

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        """Observe the node, until ``disconnectWidgets``."""
        tag = self.parameterNode.AddObserver(event, callback, priority)
        self.__dict__.setdefault("_observers", []).append(tag)
        return tag

    def connectWidgets(self, widgets: dict) -> None:
        """Connect widgets, by the name of the parameter that each shows."""
        self._guiTag = self.connectParametersToGui(widgets)

    def disconnectWidgets(self) -> None:
        """Let go of the widgets and stop observing the node."""
        self.disconnectGui(self._guiTag)
        for tag in self.__dict__.pop("_observers", []):
            self.parameterNode.RemoveObserver(tag)
