"""DICOM objects through dcmqi's converters, which 3D Slicer's DICOM plugins call (Slicer 5.12, `DICOMLib`).

Needs the package ``dcmqi`` (pip install dcmqi), which brings the programs; the tests are left out without it.
"""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hrcam.localize import Options, localize
from hrcam.output.writers import DICOM_OUTPUTS, write_result
from hrcam.run.regions import number_regions
from hrcam.scan.volume import Volume

pytest.importorskip("highdicom")
PROGRAMS = Path(pytest.importorskip("dcmqi", reason="pip install dcmqi").__file__).parent / "bin"

TURN = np.array([[0.92106, -0.38942, 0.0], [0.38942, 0.92106, 0.0], [0.0, 0.0, 1.0]])
TURN /= np.linalg.norm(TURN, axis=0)
DIRECTIONS = {"oblique": TURN, "coronal": [[1, 0, 0], [0, 0, 1], [0, -1, 0]], "left_handed": TURN * [1, 1, -1],
              "mirrored": TURN * [-1, 1, 1]}


def program(name, **arguments):
    words = [word for key, value in arguments.items() for word in (f"--{key}", str(value)) if word]
    done = subprocess.run([str(PROGRAMS / name), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module", params=DIRECTIONS)
def case(request, bright_blob_bundle, blob_volume, tmp_path_factory):
    """A result with four regions of two levels, and its files."""
    grid = (40, 44, 12), (1.1, 0.9, 3.5), DIRECTIONS[request.param]
    scan, bare = blob_volume(*grid), blob_volume(*grid, lesion_ras=None, noise=0).array
    for place in ((-8, 5, 4), (8, 8, 0), (-8, -8, -8)):
        scan.array[:] += blob_volume(*grid, lesion_ras=place, radius_mm=3, noise=0).array - bare
    result = localize(replace(scan, name="case"), bright_blob_bundle, Options(device="cpu"))
    return result, write_result(result, scan, tmp_path_factory.mktemp("out"), DICOM_OUTPUTS)


def assert_equal_where_it_lies(image, wanted, geometry):
    """An image's voxels are those of an array on the result's grid, at the same places."""
    array = sitk.GetArrayFromImage(image)
    matrix = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    places = np.argwhere(np.ones(array.shape, bool))[:, ::-1] @ matrix.T + image.GetOrigin()
    near = np.round(geometry.points_from_lps(places)).astype(int)
    assert np.abs(geometry.points_to_lps(near) - places).max() < 1e-4
    np.testing.assert_array_equal(array.reshape(-1), wanted[near[:, 2], near[:, 1], near[:, 0]])
    assert np.count_nonzero(array) == np.count_nonzero(wanted)


def test_segments_lie_where_they_were_marked(case, tmp_path):
    result, files = case
    regions = number_regions(result.labels, result.geometry, result.regions)
    for kind, wanted in (("dicom_segmentation", result.labels), ("dicom_regions", regions)):
        out = tmp_path / kind
        out.mkdir()
        program("segimage2itkimage", inputDICOM=files[kind], outputDirectory=out, mergeSegments="")
        (image,) = out.glob("*.nrrd")
        assert_equal_where_it_lies(sitk.ReadImage(str(image)), wanted, result.geometry)
        (segments,) = json.loads((out / "meta.json").read_text())["segmentAttributes"]
        present = np.unique(wanted[wanted > 0]).tolist()
        assert [segment["labelID"] for segment in segments][: len(present)] == present


def test_the_map_lies_where_it_was_computed(case, tmp_path):
    result, files = case
    program("paramap2itkimage", inputDICOM=files["dicom_map"], outputDirectory=tmp_path)
    assert_equal_where_it_lies(sitk.ReadImage(str(tmp_path / "pmap.nrrd")), result.map, result.geometry)
    said = json.loads((tmp_path / "meta.json").read_text())
    assert said["QuantityValueCode"]["CodeMeaning"] == "Evidence for a class"
    assert said["MeasurementUnitsCode"]["CodeValue"] == "1"


def test_the_report_has_a_segment_for_each_group_of_measurements(case, tmp_path):
    result, files = case
    program("tid1500reader", inputDICOM=files["dicom_report"], outputMetadata=tmp_path / "report.json")
    said = json.loads((tmp_path / "report.json").read_text())
    assert said["SeriesDescription"] and len(said["Measurements"]) == len(result.regions) == 4
    for group, region in zip(said["Measurements"], result.regions, strict=True):
        assert group["ReferencedSegment"] == region.label and group["TrackingUniqueIdentifier"]
        assert float(group["measurementItems"][0]["value"]) == pytest.approx(region.volume_ml)
        assert group["Finding"]["CodingSchemeDesignator"] == "SCT"


def test_nothing_marked_is_read_too(case, tmp_path):
    result, _ = case
    nothing = replace(result, labels=np.zeros_like(result.labels), regions=())
    files = write_result(nothing, Volume(result.map, result.geometry, "case"), tmp_path / "out", DICOM_OUTPUTS)
    program("segimage2itkimage", inputDICOM=files["dicom_segmentation"], outputDirectory=tmp_path)
    program("paramap2itkimage", inputDICOM=files["dicom_map"], outputDirectory=tmp_path)
    program("tid1500reader", inputDICOM=files["dicom_report"], outputMetadata=tmp_path / "report.json")
    (group,) = json.loads((tmp_path / "report.json").read_text())["Measurements"]
    assert float(group["measurementItems"][0]["value"]) == 0
