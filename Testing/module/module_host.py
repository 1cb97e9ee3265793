"""Fixtures of the module's tests: the module in the Slicer host, a scan, the fast model, and the panel's helpers."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


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


def sceneNodes():
    """Class and name of every node in the scene but the subject hierarchy, which comes when asked for."""
    import slicer

    scene = slicer.mrmlScene
    nodes = [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]
    named = ((node.GetClassName(), node.GetName() or "") for node in nodes)
    return sorted(one for one in named if one[0] != "vtkMRMLSubjectHierarchyNode")
