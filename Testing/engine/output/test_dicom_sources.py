"""DICOM objects of scans read from every kind of DICOM: they refer to the slices that were read, and lie on the map."""

import warnings
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from corpus.dicom import series
from corpus.kinds import head
from corpus.make import KINDS
from hrcam.bundle.evidence_level import EvidenceLevel
from hrcam.output.dicom.objects import DicomObjects, write_object
from hrcam.run.regions import find_regions
from hrcam.run.result import Result
from hrcam.scan.volume import read_volume

hd = pytest.importorskip("highdicom")

LEVELS = (EvidenceLevel("possible", 1.0, (1.0, 0.9, 0.2)), EvidenceLevel("probable", 5.0, (1.0, 0.5, 0.1)))


def objects_of(path, folder):
    """Volume, result and the objects of a scan with two regions; a warning is an error."""
    volume = replace(read_volume(path), name="case")
    evidence = np.zeros(volume.array.shape, np.float32)
    evidence[-1, 2:5, 3:5], evidence[0, 10, 12], evidence[0, 11, 12] = 2, 9, 3
    labels = (evidence > 1).astype(np.uint8) + (evidence > 5)
    regions = tuple(find_regions(evidence, labels, volume.geometry, LEVELS))
    result = Result("case", {"lesion": 1.0}, "lesion", "lesion", evidence, labels, LEVELS, regions, (), "axial",
                    volume.geometry)
    folder.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        objects, made = DicomObjects(result, volume), {}
        for kind in ("segmentation", "parametric_map", "report", "regions"):
            write_object(getattr(objects, kind), folder / kind)
            made[kind] = pydicom.dcmread(folder / kind)
    return volume, result, made


def sources(made):
    """(SOP instance, frame number or None) of each frame's source."""
    items = [group.DerivationImageSequence[0].SourceImageSequence[0]
             for group in made.PerFrameFunctionalGroupsSequence]
    return [(item.ReferencedSOPInstanceUID, item.get("ReferencedFrameNumber")) for item in items]


def assert_on_the_map(made, geometry):
    shared = made.SharedFunctionalGroupsSequence[0]
    axes = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    down, across = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    for group in made.PerFrameFunctionalGroupsSequence:
        first = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        last = first + across * (made.Columns - 1) * axes[0] + down * (made.Rows - 1) * axes[1]
        k = round(geometry.points_from_lps(first)[2])
        for place, ij in ((first, (0, 0)), (last, (made.Columns - 1, made.Rows - 1))):
            assert np.abs(geometry.points_to_lps((*ij, k)) - place).max() < 1e-4


@pytest.mark.parametrize("name", [
    "dicom_series", "dicom_one_slice", "dicom_ct", "dicom_big_endian", "dicom_deflated", "dicom_lossless_jpeg",
    "dicom_picture_of_gray_colors", "dicom_last_slice_without_preamble", "dicom_enhanced", "dicom_enhanced_of_philips",
    "dicom_enhanced_of_hyperfine", "dicom_enhanced_of_ge", "dicom_enhanced_in_two_parts", "dicom_enhanced_big_endian",
])
def test_every_kind_of_dicom_is_referred_to_slice_by_slice(tmp_path, name):
    volume, result, made = objects_of(KINDS[name].make(tmp_path), tmp_path / "out")
    for kind in ("segmentation", "parametric_map", "regions"):
        assert_on_the_map(made[kind], volume.geometry)
    slices = sources(made["parametric_map"])
    assert len(set(slices)) == len(slices) == len(volume.array)
    assert sources(made["segmentation"]) == slices * len(LEVELS)
    images = {image.ReferencedSOPInstanceUID for series in made["parametric_map"].ReferencedSeriesSequence
              for image in series.ReferencedInstanceSequence}
    assert images == {uid for uid, _ in slices}
    values = np.frombuffer(made["parametric_map"].FloatPixelData, "<f4").reshape(result.map.shape)
    np.testing.assert_array_equal(values, result.map)


def test_frames_of_the_chosen_volume_are_referred_to(tmp_path):
    _, _, made = objects_of(KINDS["dicom_enhanced_second_echo"].make(tmp_path), tmp_path / "out")
    count = len(head())
    assert [number for _, number in sources(made["parametric_map"])] == list(range(count + 1, 2 * count + 1))


def test_slices_a_little_uneven_lie_where_the_map_does(tmp_path):
    def change(one, index):
        one.ImagePositionPatient = [-70.5, -90.25, -50 + 9 * index + 0.05 * (index % 2)]

    volume, _, made = objects_of(series(tmp_path / "s", change), tmp_path / "out")
    for kind in ("segmentation", "parametric_map"):
        assert_on_the_map(made[kind], volume.geometry)


def test_values_that_break_the_standard_are_left_empty(tmp_path):
    def change(one, index):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            one.StudyDate, one.PatientSex, one.PatientName, one.StudyTime = "2020.01.01", "MALE", "DOE JOHN", "noon"
            one.AccessionNumber = "a number of more than sixteen letters"

    _, _, made = objects_of(series(tmp_path / "s", change), tmp_path / "out")
    for one in made.values():
        assert (one.PatientName, one.PatientID, one.StudyDate, one.PatientSex) == ("DOE JOHN", "0", "", "")


def test_images_without_uids_cannot_be_referred_to(tmp_path):
    def change(one, index):
        del one.StudyInstanceUID

    _, _, made = objects_of(series(tmp_path / "s", change), tmp_path / "out")
    for one in made.values():
        assert one.PatientID.startswith("HRCAM-") and "without a DICOM identity" in one.StudyDescription
    assert "ReferencedSeriesSequence" not in made["parametric_map"]
