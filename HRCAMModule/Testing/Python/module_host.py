"""Fixtures of the module's tests: the module in the Slicer host, a scan, the fast model, and the panel's helpers."""

import os
from pathlib import Path

import pytest
from module_scene import MODEL

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def _loadedModule(_runningHost, bright_blob_bundle):
    os.environ["HRCAM_MODELS"] = str(bright_blob_bundle.path.parent)
    module = _runningHost.loadModule(str(REPOSITORY / "HRCAMModule" / "HRCAMModule.py"))
    yield module
    _runningHost.unloadModule("HRCAMModule")
    del os.environ["HRCAM_MODELS"]


@pytest.fixture
def panel(_loadedModule, slicerHost):
    """The module's widget in an empty scene; nothing runs when the test ends."""
    import slicer

    widget = slicer.util.getModuleWidget("HRCAMModule")
    widget.enter()
    slicerHost.processEvents()
    yield widget
    widget.logic.close()
    widget.exit()


@pytest.fixture
def logic(panel):
    """The logic, as ``slicer.util.getModuleLogic("HRCAMModule")`` gives it."""
    import slicer

    return slicer.util.getModuleLogic("HRCAMModule")


@pytest.fixture
def addScan(blob_volume):
    """Add a scan for the fast model to the scene: ``addScan(name, transform, **options of blob_volume)``."""
    import slicer

    def add(name="scan", transform=None, **options):
        volume = blob_volume(**options)
        node = slicer.util.addVolumeFromArray(volume.array, volume.geometry.ijk_to_ras, name)
        if transform is not None:
            node.SetAndObserveTransformNodeID(transform.GetID())
        return node

    return add


@pytest.fixture
def ready(panel, slicerHost, addScan):
    """The panel with a scan chosen; gives (panel, its widgets, the scan)."""
    volume = addScan("scan")
    panel.ui.inputSelector.setCurrentNode(volume)
    slicerHost.processEvents()
    return panel, panel.ui, volume


@pytest.fixture
def shown(ready, logic, slicerHost):
    """The panel showing a result computed in this process; gives (panel, its widgets, the result)."""
    panel, ui, volume = ready
    result = logic.localize(volume, model=MODEL)
    panel.runs.done(result)
    slicerHost.waitUntil(lambda: panel._showing is None)
    slicerHost.processEvents()
    return panel, ui, result


@pytest.fixture(scope="module")
def _sliceLogics(_loadedModule):
    import slicer

    logics = {}
    yield logics
    for logic in logics.values():
        nodes = (logic.GetSliceNode(), logic.GetSliceCompositeNode())
        logic.SetMRMLScene(None)
        for node in nodes:  # else the next file's views would be others than those in the scene
            if node.GetScene() is not None:  # a main window of another test has taken them along
                slicer.mrmlScene.RemoveNode(node)


@pytest.fixture
def sliceViews(panel, _sliceLogics):
    """Red, yellow and green slice nodes by name, as Slicer's main window brings them; they outlive a closed scene."""
    import slicer

    for name, orientation in (("Red", "Axial"), ("Yellow", "Sagittal"), ("Green", "Coronal")):
        if name not in _sliceLogics:
            logic = _sliceLogics[name] = slicer.vtkMRMLSliceLogic()
            logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
            logic.SetMRMLScene(slicer.mrmlScene)
            logic.AddSliceNode(name)
        _sliceLogics[name].GetSliceNode().SetOrientation(orientation)
    return {name: logic.GetSliceNode() for name, logic in _sliceLogics.items()}
