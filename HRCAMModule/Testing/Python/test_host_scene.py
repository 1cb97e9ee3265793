"""A scene that `hrcam` wrote without Slicer is taken up by the module's panel as if the module had made it."""

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]

pytest_plugins = ("module_host",)
pytestmark = pytest.mark.gui


@pytest.fixture
def scene(tmp_path, blob_volume, bright_blob_bundle):
    from hrcam.localize import localize
    from hrcam.output.scene import write_scene

    volume = blob_volume()
    result = localize(volume, bright_blob_bundle)
    write_scene(result, volume, tmp_path / "blob_scene.mrb")
    return tmp_path / "blob_scene.mrb", result


def test_module_takes_up_a_scene_written_without_slicer(scene, panel, logic, slicerHost):
    import numpy as np
    import slicer

    path, result = scene
    slicer.util.loadScene(str(path))
    slicerHost.processEvents(0.1)
    found = logic.results()
    assert [one.valid for one in found] == [True]
    assert found[0].inputVolume.GetName() == "blob"
    assert found[0].probabilities == pytest.approx(result.probabilities, abs=1e-6)
    assert np.array_equal(found[0].map(), result.map)
    assert [level["name"] for level in found[0].evidenceLevels] == [level.name for level in result.evidence_levels]
    assert len(found[0].regions) == len(result.regions)
    assert logic.jumpToRegion(found[0], 1) == pytest.approx(result.regions[0].peak_ras, abs=1e-3)


def test_scene_uses_the_module_s_names(panel):
    from hrcam.output import scene
    from HRCAMModuleLib import localization, volume_nodes

    assert scene.ROLE_ATTRIBUTE == volume_nodes.RESULT_ATTRIBUTE
    assert scene.MODEL_ATTRIBUTE == localization.MODEL_ATTRIBUTE
    roles = ("INPUT", "MAP", "LABELS", "SEGMENTATION", "MAP_COLORS", "LEVEL_COLORS")
    assert list(scene.REFERENCES.values()) == [getattr(localization, role) for role in roles]


def test_a_scene_of_version_0_1_0_is_taken_up(panel, slicerHost):
    import slicer

    slicer.util.loadScene(str(REPOSITORY / "Testing/support/version_0_1_0/results/scan_scene.mrb"))
    slicerHost.processEvents(0.05)
    result = panel.result
    assert result is not None and result.inputVolume.GetName() == "scan"
    assert result.predicted == "lesion" and len(result.regions) == 1
    assert slicer.util.arrayFromVolume(result.labelVolume).any()
    assert result.segmentation.GetSegmentation().GetNumberOfSegments() == len(result.evidenceLevels)

