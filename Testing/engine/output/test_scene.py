"""The .mrb scene: read back by a fresh process' MRML it holds the scan, the map, levels and views where they belong."""

import builtins
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hrcam.bundle.evidence_level import EvidenceLevel
from hrcam.errors import HRCAMError, OutputError
from hrcam.run.result import Region, Result
from hrcam.scan.geometry import Geometry
from hrcam.scan.volume import Volume

LEVELS = (
    EvidenceLevel("possible", 1.0, (1.0, 0.86, 0.25)),
    EvidenceLevel("probable", 2.0, (1.0, 0.5, 0.1)),
    EvidenceLevel("strong", 4.0, (0.88, 0.1, 0.16)),
)
OBLIQUE = np.array([[0.0, 0.8, 0.6], [1.0, 0.0, 0.0], [0.0, -0.6, 0.8]])

READ = """
import json, sys, tempfile
from pathlib import Path
import numpy as np
from hrcam.output.mrml import MRMLSession
import slicer
from vtkmodules.util.numpy_support import vtk_to_numpy

session = MRMLSession(Path(tempfile.mkdtemp()))
scene = session.scene
assert scene.ReadFromMRB(sys.argv[1], True)

def node(name):
    return scene.GetFirstNodeByName(name)

def array(n):
    image = n.GetImageData()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])

def physical(n):
    "index of the brightest voxel, in RAS"
    k, j, i = np.unravel_index(array(n).argmax(), array(n).shape)
    import vtkmodules.vtkCommonMath as m
    toRas = m.vtkMatrix4x4(); n.GetIJKToRASMatrix(toRas)
    return [round(v, 3) for v in toRas.MultiplyPoint((i, j, k, 1))[:3]]

segmentationNode = node("case HR-CAM lesion segmentation")
segmentation = segmentationNode.GetSegmentation()
segments = [segmentation.GetNthSegment(i) for i in range(segmentation.GetNumberOfSegments())]
red = scene.GetSingletonNode("Red", "vtkMRMLSliceNode")
composite = scene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
layers = composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID(), composite.GetLabelVolumeID()
result = node("case HR-CAM lesion result")
table = node("case HR-CAM lesion levels").GetDisplayNode().GetColorNode()
display = node("case HR-CAM lesion evidence").GetDisplayNode()
hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
scan, *items = [hierarchy.GetItemByDataNode(node(n)) for n in ("case", *(f"case HR-CAM lesion {what}" for what in (
    "evidence", "levels", "segmentation", "result")))]
folder = hierarchy.GetItemParent(items[0])
print(json.dumps({
    "scan": physical(node("case")), "map": physical(node("case HR-CAM lesion evidence")),
    "map values": [float(f(array(node("case HR-CAM lesion evidence")))) for f in (np.min, np.max)],
    "labels": np.bincount(array(node("case HR-CAM lesion levels")).ravel()).tolist(),
    "segments": [[s.GetName(), [round(c, 2) for c in s.GetColor()], s.GetLabelValue()] for s in segments],
    "reference": bool(segmentation.GetConversionParameter("Reference image geometry")),
    "colors": [table.GetColorName(i) for i in range(table.GetNumberOfColors())],
    "threshold": [display.GetApplyThreshold(), display.GetLowerThreshold()],
    "layers": [scene.GetNodeByID(i).GetName() for i in layers],
    "label opacity": composite.GetLabelOpacity(),
    "red": [red.GetOrientation(), [round(red.GetSliceToRAS().GetElement(i, 3), 2) for i in range(3)]],
    "layout": scene.GetFirstNodeByClass("vtkMRMLLayoutNode").GetViewArrangement(),
    "legends": scene.GetNumberOfNodesByClass("vtkMRMLColorLegendDisplayNode"),
    "case": json.loads(result.GetText())["case"], "input": result.GetNodeReference("hrcamInput").GetName(),
    "folder": hierarchy.GetItemName(folder), "in folder": {hierarchy.GetItemParent(i) for i in items} == {folder},
    "beside": hierarchy.GetItemParent(folder) == hierarchy.GetItemParent(scan) == hierarchy.GetSceneItemID(),
    "segments on": segmentationNode.GetNodeReference("referenceImageGeometryRef").GetName(),
}))
session.close()
"""


@pytest.fixture
def case():
    """A scan on an oblique, left-handed grid of unlike axes, with evidence in one corner."""
    pytest.importorskip("slicer", reason="scenes need slicer-core (pip install 'hrcam[scene]')")
    geometry = Geometry((8, 7, 6), (10.0, -20.0, 30.0), (1.0, 1.5, 2.5), OBLIQUE)
    assert np.linalg.det(geometry.direction_lps) < 0
    evidence = np.zeros(geometry.shape_kji, "f4")
    evidence[1:4, 2:5, 5:8] = 1.5
    evidence[2:4, 3:5, 6:8] = 3.0
    evidence[3, 4, 7] = 6.5
    labels = np.digitize(evidence, [level.threshold for level in LEVELS]).astype("u1")
    peak = tuple(float(v) for v in geometry.points_to_ras([7, 4, 3]))
    region = Region(1, "strong", 0.1, 6.5, 2.0, peak, peak, "axial", 3)
    result = Result(
        case="case",
        probabilities={"lesion": 0.9, "none": 0.1},
        predicted="lesion",
        shown_class="lesion",
        map=evidence,
        labels=labels,
        evidence_levels=LEVELS,
        regions=(region,),
        slices=(),
        plane="axial",
        geometry=geometry,
    )
    return result, Volume(evidence * 10 + 100, geometry, "case"), peak


def read_back(path):
    """What a process of its own finds in the scene."""
    import json

    done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_scene_holds_everything_where_it_belongs(case, tmp_path):
    from hrcam.output.scene import write_scene

    result, volume, peak = case
    write_scene(result, volume, tmp_path / "caf\u00e9 1.mrb")
    found = read_back(tmp_path / "caf\u00e9 1.mrb")
    expected = [round(v, 3) for v in peak]
    assert found["scan"] == pytest.approx(expected, abs=1e-3)
    assert found["map"] == pytest.approx(expected, abs=1e-3)
    assert found["map values"] == [0.0, 6.5]
    assert found["labels"] == np.bincount(result.labels.ravel()).tolist()
    assert found["segments"] == [
        ["lesion: possible", [1.0, 0.86, 0.25], 1],
        ["lesion: probable", [1.0, 0.5, 0.1], 2],
        ["lesion: strong", [0.88, 0.1, 0.16], 3],
    ]
    assert found["reference"]
    assert found["colors"][1:] == ["possible 1.0", "probable 2.0", "strong 4.0"]
    assert found["threshold"] == [1, 1.0]
    assert found["layers"] == ["case", "case HR-CAM lesion evidence", "case HR-CAM lesion levels"]
    assert found["label opacity"] == pytest.approx(0.45)
    assert found["red"] == ["Axial", [round(v, 2) for v in peak]]
    assert (found["layout"], found["legends"]) == (3, 1)
    assert (found["case"], found["input"]) == ("case", "case")
    assert (found["folder"], found["in folder"], found["beside"]) == ("case HR-CAM lesion", True, True)
    assert found["segments on"] == "case", "what the Segment Editor works on"


def test_empty_levels_are_segments_too(case, tmp_path):
    from hrcam.output.scene import write_scene

    result, volume, _ = case
    normal = replace(result, map=result.map * 0, labels=result.labels * 0, regions=())
    write_scene(normal, volume, tmp_path / "normal.mrb")
    found = read_back(tmp_path / "normal.mrb")
    assert [segment[0] for segment in found["segments"]] == ["lesion: possible", "lesion: probable", "lesion: strong"]
    assert found["map values"] == [0.0, 0.0]


def test_scan_of_another_grid_is_refused(case, tmp_path):
    from hrcam.output.scene import write_scene

    result, volume, _ = case
    with pytest.raises(OutputError, match="Give the scan that was localized"):
        write_scene(result, replace(volume, array=volume.array[1:]), tmp_path / "x.mrb")
    with pytest.raises(OutputError, match=r"\.mrb"):
        write_scene(result, volume, tmp_path / "x.zip")
    assert list(tmp_path.iterdir()) == []


def test_unwritable_destination_is_an_error_without_leftovers(case, tmp_path):
    from hrcam.output.scene import write_scene

    result, volume, _ = case
    with pytest.raises(OutputError, match="cannot be written"):
        write_scene(result, volume, tmp_path / "no such folder" / "x.mrb")
    assert list(tmp_path.iterdir()) == []


def test_without_slicer_core_the_error_says_what_to_install(case, tmp_path, monkeypatch):
    from hrcam.output.scene import write_scene

    result, volume, _ = case
    genuine = builtins.__import__

    def absent(name, *args, **kwargs):
        if name == "slicer":
            raise ImportError("No module named 'slicer'")
        return genuine(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(HRCAMError, match=r"hrcam\[scene\]"):
        write_scene(result, volume, tmp_path / "x.mrb")
