"""A headless MRML session on PyPI's `slicer-core`: what a Slicer application sets up around its scene, without Qt.

Only `scene.py` and the tests' Slicer host use it. It touches no global of the `slicer` package, so that it can live
beside another session (a real Slicer, the host) in one process.
"""

from __future__ import annotations

import gc
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import HRCAMError

MODULE_LOGICS = {
    "Colors": "vtkSlicerColorLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Models": "vtkSlicerModelsLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
    "Volumes": "vtkSlicerVolumesLogic",
}
"""Slicer module → class of its logic; creating a logic registers its nodes, readers and converters with the scene."""


def import_slicer() -> ModuleType:
    """The `slicer` package of slicer-core.

    Raises
    ------
    HRCAMError : it is not installed; says which extra brings it.
    """
    try:
        import slicer
    except ImportError as error:
        raise HRCAMError(
            f"Slicer scenes need the package slicer-core, which cannot be imported ({error}).",
            "Install it with: pip install 'hrcam[scene]' (Python 3.11 on Linux), or write the other files only.",
        ) from error
    return slicer  # type: ignore[no-any-return]


def _write_empty_share(folder: Path) -> None:
    """The folder of an installed Slicer's color files and volume rendering presets, here with none of them."""
    (folder / "share" / "ColorFiles").mkdir(parents=True, exist_ok=True)
    (folder / "presets.xml").write_text('<MRML version="Slicer4"></MRML>\n', encoding="utf-8")


class MRMLSession:
    """Application logic, scene, and module logics, in the order in which qSlicerCoreApplication sets them up.

    Parameters
    ----------
    temporary : existing folder for files that MRML unpacks (scenes are read through it).

    Attributes
    ----------
    scene : vtkMRMLScene
    application_logic : vtkSlicerApplicationLogic
    logics : {module name of `MODULE_LOGICS`: logic}
    """

    def __init__(self, temporary: Path) -> None:
        """Set everything up; `close` it in the end."""
        slicer = import_slicer()
        self.scene: Any = slicer.vtkMRMLScene()
        self.application_logic: Any = slicer.vtkSlicerApplicationLogic()
        self.logics: dict[str, Any] = {}
        crosshair = slicer.vtkMRMLCrosshairNode()
        crosshair.SetCrosshairName("default")
        self.scene.AddNode(crosshair)
        self.scene.AddNode(slicer.vtkMRMLInteractionNode())  # displayable managers look for it
        self._set_up_file_access(slicer, temporary)
        logic = self.application_logic
        _write_empty_share(temporary)
        logic.SetHomeDirectory(str(temporary))
        logic.SetShareDirectory("share")
        colors = slicer.vtkSlicerColorLogic()  # the Colors module's own, with legends
        colors.SetMRMLApplicationLogic(logic)
        logic.SetColorLogic(colors)
        logic.SetMRMLScene(self.scene)
        logic.GetColorLogic().SetMRMLScene(self.scene)
        logic.GetColorLogic().AddDefaultColorNodes()
        for name, class_name in MODULE_LOGICS.items():
            self.logics[name] = logic.GetColorLogic() if name == "Colors" else getattr(slicer, class_name)()
            if name != "Colors":
                self.logics[name].SetMRMLApplicationLogic(logic)
                if hasattr(self.logics[name], "SetModuleShareDirectory"):
                    self.logics[name].SetModuleShareDirectory(str(temporary))
                if name != "Terminologies":  # would look for files that slicer-core does not ship
                    self.logics[name].SetMRMLScene(self.scene)
            logic.SetModuleLogic(name, self.logics[name])
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene, True)

    def _set_up_file_access(self, slicer: ModuleType, temporary: Path) -> None:
        """Storage nodes and .mrb reading look for the cache and data managers in the scene."""
        self._remote_io = slicer.vtkMRMLRemoteIOLogic()
        self._remote_io.SetMRMLScene(self.scene)
        self._remote_io.SetMRMLApplicationLogic(self.application_logic)
        self._remote_io.GetCacheManager().SetRemoteCacheDirectory(str(temporary))
        self._data_io = slicer.vtkDataIOManagerLogic()
        self._data_io.SetMRMLScene(self.scene)
        self._data_io.SetMRMLApplicationLogic(self.application_logic)
        self._data_io.SetAndObserveDataIOManager(self._remote_io.GetDataIOManager())
        self._remote_io.AddDataIOToScene()

    def close(self) -> None:
        """Take everything down; in another order VTK crashes at exit."""
        import vtk

        warnings = vtk.vtkObject.GetGlobalWarningDisplay()
        vtk.vtkObject.SetGlobalWarningDisplay(0)  # the subject hierarchy looks for its scene once more
        try:
            self._close()
        finally:
            vtk.vtkObject.SetGlobalWarningDisplay(warnings)

    def _close(self) -> None:
        self.scene.Clear(True)
        for name, logic in self.logics.items():
            if name not in ("SubjectHierarchy", "Terminologies"):  # warn when their scene is taken away
                logic.SetMRMLScene(None)
            logic.SetMRMLApplicationLogic(None)
        self._remote_io.RemoveDataIOFromScene()
        self._remote_io.SetMRMLScene(None)
        self._data_io.SetMRMLScene(None)
        self.application_logic.SetMRMLScene(None)
        self.logics.clear()
        del self._remote_io, self._data_io, self.application_logic, self.scene
        gc.collect()
