"""Results as DICOM, read back by pydicom, highdicom and SimpleITK: voxels, geometry, codes, references and regions."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from dicom_series import FRAME, SERIES, STUDY, write_series
from hrcam.errors import OutputError
from hrcam.localize import Options, localize
from hrcam.output.writers import DICOM_OUTPUTS, write_result
from hrcam.run.regions import number_regions
from hrcam.scan.volume import read_volume
from pydicom.uid import ComprehensiveSRStorage

hd = pytest.importorskip("highdicom")

OBLIQUE = np.array([[0.92106, -0.38942, 0.0], [0.38942, 0.92106, 0.0], [0.0, 0.0, 1.0]])
OBLIQUE /= np.linalg.norm(OBLIQUE, axis=0)


@pytest.fixture(scope="module")
def scan(blob_volume, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dicom") / "series"
    write_series(folder, blob_volume((40, 44, 12), (1.1, 0.9, 3.5), OBLIQUE))
    return replace(read_volume(folder), name="case")


@pytest.fixture(scope="module")
def result(bright_blob_bundle, scan):
    return localize(scan, bright_blob_bundle, Options(device="cpu"))


@pytest.fixture(scope="module")
def files(result, scan, tmp_path_factory):
    return write_result(result, scan, tmp_path_factory.mktemp("out"), DICOM_OUTPUTS)


def laid(image, geometry, shape):
    """An object's voxels on the scan's grid, and its largest distance from the grid's voxels in mm."""
    found, wanted = image.get_volume(combine_segments=True) if hasattr(image, "get_segment_description") \
        else image.get_volume(), np.zeros(shape, np.float32)
    places = np.indices(found.array.shape).reshape(3, -1)
    lps = found.affine[:3, :3] @ places + found.affine[:3, 3:]
    ijk = geometry.points_from_lps(lps.T)
    near = np.round(ijk).astype(int)
    wanted[near[:, 2], near[:, 1], near[:, 0]] = found.array.reshape(-1)
    return wanted, np.abs(geometry.points_to_lps(near) - lps.T).max()


def test_patient_and_study_are_those_of_the_series_that_was_read(files):
    for kind in DICOM_OUTPUTS:
        one = pydicom.dcmread(files[kind])
        assert (one.PatientID, one.PatientName, one.StudyInstanceUID) == ("made-1", "MADE^UP", STUDY)
        assert one.SeriesInstanceUID != SERIES and "research use only" in one.SeriesDescription
    assert pydicom.dcmread(files["dicom_map"]).FrameOfReferenceUID == FRAME


def test_the_segmentation_holds_the_levels_with_codes_and_colors(files, result):
    segmentation = hd.seg.segread(files["dicom_segmentation"])
    labels, apart = laid(segmentation, result.geometry, result.labels.shape)
    np.testing.assert_array_equal(labels, result.labels)
    assert apart < 1e-4
    assert segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID == SERIES
    for number, level in enumerate(result.evidence_levels, start=1):
        described = segmentation.get_segment_description(number)
        assert described.segment_label.endswith(level.name)
        assert described.segmented_property_type.scheme_designator == "SCT"
        assert "RecommendedDisplayCIELabValue" in described
    assert "Research use only" in segmentation.ContentDescription


def test_simpleitk_reads_the_segmentation_where_the_map_lies(files, result):
    """As one stack of all segments' slices, each on the whole grid."""
    image = SimpleITK.ReadImage(str(files["dicom_segmentation"]))
    i, j, k = result.geometry.size_ijk
    assert image.GetSize() == (i, j, k * len(result.evidence_levels))
    for index in ((0, 0, 0), (i - 1, j - 1, k - 1)):
        wanted = result.geometry.points_to_lps(index)
        assert np.abs(np.array(image.TransformIndexToPhysicalPoint(index)) - wanted).max() < 1e-4
    segments = SimpleITK.GetArrayFromImage(image).reshape(-1, k, j, i)
    for number, voxels in enumerate(segments, start=1):
        np.testing.assert_array_equal(voxels > 0, result.labels == number)


def test_simpleitk_knows_no_parametric_maps(files):
    """As docs/formats.md says; should a newer GDCM read them, the page must say so."""
    with pytest.raises(RuntimeError, match="Unable to determine ImageIO"):
        SimpleITK.ReadImage(str(files["dicom_map"]))


def test_frames_begin_with_the_lowest_slice(files):
    """dcmqi, and so Slicer, stacks a map's frames from its lowest position on, whatever positions they state."""
    for kind in ("dicom_segmentation", "dicom_map", "dicom_regions"):
        one = pydicom.dcmread(files[kind])
        normal = np.cross(*np.reshape(
            one.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient, (2, 3)))
        along, numbers, indices = [], [], []
        for group in one.PerFrameFunctionalGroupsSequence:
            along.append(float(normal @ np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)))
            segment = group.get("SegmentIdentificationSequence")
            numbers.append(segment[0].ReferencedSegmentNumber if segment else 0)
            indices.append(np.atleast_1d(group.FrameContentSequence[0].DimensionIndexValues).tolist())
        assert list(zip(numbers, along, strict=True)) == sorted(zip(numbers, along, strict=True))
        assert indices == sorted(indices) and len({tuple(values) for values in indices}) == len(indices)


def test_everything_that_the_standard_demands_is_there(files):
    from dicom_standard import missing

    for kind in (*DICOM_OUTPUTS, "dicom_regions"):
        one = pydicom.dcmread(files[kind])
        assert missing(one) == []
        assert one.SeriesDate and one.SeriesTime
        del one.SOPInstanceUID
        assert missing(one) == ["sop-common: SOPInstanceUID"], "the check itself"


def test_frames_say_by_the_standards_codes_how_they_were_derived(files):
    for kind, code in (("dicom_segmentation", "113076"), ("dicom_regions", "113076"), ("dicom_map", "112187")):
        for group in pydicom.dcmread(files[kind]).PerFrameFunctionalGroupsSequence:
            (derivation,) = group.DerivationImageSequence[0].DerivationCodeSequence
            assert (derivation.CodeValue, derivation.CodingSchemeDesignator) == (code, "DCM")


def test_a_map_states_its_anatomy(files):
    """Slicer's converter ends without it."""
    (anatomy,) = pydicom.dcmread(files["dicom_map"]).SharedFunctionalGroupsSequence[0].FrameAnatomySequence
    assert anatomy.FrameLaterality == "U" and anatomy.AnatomicRegionSequence[0].CodeMeaning == "Tissue"


def test_every_region_is_a_segment_that_the_report_refers_to(files, result):
    regions = hd.seg.segread(files["dicom_regions"])
    numbers, apart = laid(regions, result.geometry, result.labels.shape)
    np.testing.assert_array_equal(numbers, number_regions(result.labels, result.geometry, result.regions))
    assert apart < 1e-4
    groups = hd.sr.srread(files["dicom_report"]).content.get_volumetric_roi_measurement_groups()
    assert len(groups) == len(regions.SegmentSequence) == len(result.regions)
    voxel_ml = result.geometry.voxel_volume_ml
    for group, segment, region in zip(groups, regions.SegmentSequence, result.regions, strict=True):
        assert group.tracking_uid == segment.TrackingUID
        assert (numbers == segment.SegmentNumber).sum() * voxel_ml == pytest.approx(region.volume_ml)


def test_a_level_that_marks_nothing_below_another_is_left_out(result, scan, tmp_path):
    """Slicer gives names to the labels that it finds, one by one."""
    labels = np.where(result.labels > 0, 2, 0).astype(np.uint8)
    files = write_result(replace(result, labels=labels), scan, tmp_path, ["dicom_segmentation"])
    segmentation = hd.seg.segread(files["dicom_segmentation"])
    names = [one.SegmentLabel for one in segmentation.SegmentSequence]
    assert names == [f"{result.shown_class}: {level.name}" for level in result.evidence_levels[1:]]
    found, _ = laid(segmentation, result.geometry, labels.shape)
    np.testing.assert_array_equal(found == 1, labels == 2)


def test_the_parametric_map_holds_the_evidence_in_logits(files, result):
    image = hd.imread(files["dicom_map"])
    values, apart = laid(image, result.geometry, result.map.shape)
    np.testing.assert_array_equal(values, result.map)
    assert apart < 1e-4
    groups = image.SharedFunctionalGroupsSequence[0]
    (mapping,) = groups.RealWorldValueMappingSequence
    assert mapping.RealWorldValueSlope == 1 and mapping.LUTLabel == "logit"
    assert mapping.MeasurementUnitsCodeSequence[0].CodingSchemeDesignator == "UCUM"


def test_the_report_holds_the_regions_and_refers_to_segments_and_images(files, result):
    report = hd.sr.srread(files["dicom_report"])
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert len(groups) == len(result.regions) > 0
    segmentation = pydicom.dcmread(files["dicom_segmentation"])
    for group, region in zip(groups, result.regions, strict=True):
        values = {one.name.meaning: one.value for one in group.get_measurements()}
        assert values["Volume"] == pytest.approx(region.volume_ml)
        assert values["Peak evidence for a class"] == pytest.approx(region.peak)
        assert group.tracking_identifier == f"Region {region.label}"
        referred = group.reference_type
        assert referred.meaning == "Referenced Segment" and group.finding_type.scheme_designator == "SCT"
    text = str(report)
    assert report.SOPClassUID == ComprehensiveSRStorage  # the class that all of Slicer's versions take
    (current,) = report.CurrentRequestedProcedureEvidenceSequence
    named = [one.ReferencedSOPInstanceUID for series in current.ReferencedSeriesSequence
             for one in series.ReferencedSOPSequence]
    assert pydicom.dcmread(files["dicom_regions"]).SOPInstanceUID in named
    assert segmentation.SOPInstanceUID in text and SERIES in text and "HR-CAM" in text and "Research use only" in text


def test_a_scan_that_was_no_dicom_gets_a_stated_derived_identity_and_no_references(result, scan, tmp_path):
    files = write_result(result, replace(scan, source=""), tmp_path, DICOM_OUTPUTS)
    for kind in DICOM_OUTPUTS:
        one = pydicom.dcmread(files[kind])
        assert one.PatientID.startswith("HRCAM-") and "without a DICOM identity" in one.StudyDescription
        assert not {STUDY, SERIES, FRAME} & {str(element.value) for element in one.iterall()}
    for kind in DICOM_OUTPUTS[:2]:
        one = pydicom.dcmread(files[kind])
        assert "ReferencedSOPInstanceUID" not in str(one) and "Referenced SOP Instance UID" not in str(one)
    assert len(hd.sr.srread(files["dicom_report"]).content.get_volumetric_roi_measurement_groups()) > 0


def test_nothing_marked_is_written_too(result, scan, tmp_path):
    nothing = replace(result, labels=np.zeros_like(result.labels), regions=())
    files = write_result(nothing, scan, tmp_path, DICOM_OUTPUTS)
    assert not hd.seg.segread(files["dicom_segmentation"]).pixel_array.any()
    report = hd.sr.srread(files["dicom_report"])
    assert not report.content.get_volumetric_roi_measurement_groups() and "Number of regions" in str(report)
    assert "dicom_regions" not in files and not list(tmp_path.glob("*_regions_seg.dcm"))


def test_an_enhanced_source_is_referred_to_as_one_image(result, scan, tmp_path):
    folder = tmp_path / "enhanced"
    folder.mkdir()
    slices = [pydicom.dcmread(one) for one in sorted(Path(scan.source).iterdir())]
    one = first = pydicom.dcmread(sorted(Path(scan.source).iterdir())[0])
    one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"

    def item(**values):
        made = pydicom.Dataset()
        for keyword, value in values.items():
            setattr(made, keyword, value)
        return [made]

    measures = item(PixelSpacing=first.PixelSpacing, SliceThickness=first.SliceThickness)
    one.SharedFunctionalGroupsSequence = item(
        PlaneOrientationSequence=item(ImageOrientationPatient=first.ImageOrientationPatient),
        PixelMeasuresSequence=measures)
    one.PerFrameFunctionalGroupsSequence = [
        item(PlanePositionSequence=item(ImagePositionPatient=each.ImagePositionPatient))[0] for each in slices]
    one.NumberOfFrames, one.PixelData = len(slices), b"".join(each.PixelData for each in slices)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(one, keyword)
    one.save_as(folder / "enhanced.dcm", enforce_file_format=True)
    volume = replace(read_volume(folder / "enhanced.dcm"), name="case")
    files = write_result(replace(result, geometry=volume.geometry), volume, tmp_path / "out", DICOM_OUTPUTS)
    segmentation = hd.seg.segread(files["dicom_segmentation"])
    labels, apart = laid(segmentation, volume.geometry, result.labels.shape)
    np.testing.assert_array_equal(labels, result.labels)
    assert apart < 1e-4 and segmentation.StudyInstanceUID == STUDY
    (referred,) = segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert referred.ReferencedSOPInstanceUID == one.SOPInstanceUID


def test_without_highdicom_it_says_what_to_install(result, scan, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(OutputError, match=r"highdicom.*hrcam\[dicom\]"):
        write_result(result, scan, tmp_path, DICOM_OUTPUTS)
    assert not list(tmp_path.iterdir())
