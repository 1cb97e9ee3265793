"""Multi-frame DICOM: each frame at its own place, whatever the file's order; what is no even stack is refused."""

import numpy as np
import pytest
from hrcam.errors import InputError
from hrcam.scan.volume import read_volume
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    NuclearMedicineImageStorage,
    generate_uid,
)

ROWS, COLUMNS, STRAIGHT, OBLIQUE = 12, 10, [1, 0, 0, 0, 1, 0], [0.8, 0.6, 0, 0, 0, -1]


def dataset(**elements):
    made = Dataset()
    for name, value in elements.items():
        setattr(made, name, value)
    return made


def write_enhanced(folder, places, axes=STRAIGHT, syntax=ExplicitVRLittleEndian, other_axes=None):
    """A file whose frame n lies at ``places[n]`` mm along the normal and holds that place, times 10, as its value."""
    normal = np.cross(axes[:3], axes[3:])
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = EnhancedMRImageStorage, syntax
    meta.MediaStorageSOPInstanceUID = generate_uid()
    file = FileDataset("", dataset(
        SOPClassUID=EnhancedMRImageStorage, SOPInstanceUID=meta.MediaStorageSOPInstanceUID, Modality="MR",
        SeriesInstanceUID=generate_uid(), SeriesNumber=3, Rows=ROWS, Columns=COLUMNS, NumberOfFrames=len(places),
        SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", BitsAllocated=16, BitsStored=16, HighBit=15,
        PixelRepresentation=0,
    ), file_meta=meta, preamble=b"\0" * 128)
    measures = dataset(PixelSpacing=[0.8, 0.6], SliceThickness=3.0)
    file.SharedFunctionalGroupsSequence = Sequence([dataset(PixelMeasuresSequence=Sequence([measures]))])
    frames = []
    for number, place in enumerate(places):
        turned = dataset(ImageOrientationPatient=other_axes if other_axes and number == 1 else axes)
        lies = dataset(ImagePositionPatient=[round(float(one), 4) for one in [-20, -15, 10] + place * normal])
        frames.append(dataset(PlanePositionSequence=Sequence([lies]), PlaneOrientationSequence=Sequence([turned])))
    file.PerFrameFunctionalGroupsSequence = Sequence(frames)
    values = [np.full((ROWS, COLUMNS), round(10 * place), np.uint16) for place in places]
    file.PixelData = np.stack(values).tobytes()
    file["PixelData"].VR = "OW"
    folder.mkdir(exist_ok=True)
    file.save_as(folder / "enhanced.dcm", enforce_file_format=True)
    return folder, normal


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("axes", [STRAIGHT, OBLIQUE])
@pytest.mark.parametrize("places", [[0, 3, 6, 9], [9, 6, 3, 0], [0, 6, 3, 9]])
def test_every_frame_lies_where_it_states(places, axes, syntax, tmp_path):
    folder, normal = write_enhanced(tmp_path / "mr", places, axes, syntax)
    for path in (folder, folder / "enhanced.dcm"):
        volume = read_volume(path)
        np.testing.assert_allclose(volume.geometry.spacing, (0.6, 0.8, 3.0))
        assert volume.geometry.size_ijk == (COLUMNS, ROWS, 4)
        for k, place in enumerate(volume.array[:, 0, 0] / 10):
            found = volume.geometry.points_to_lps((0, 0, k))
            np.testing.assert_allclose(found, [-20, -15, 10] + place * normal, atol=1e-3)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ([0, 3, 6, 12], "1 slices of .* are missing"),
        ([0, 3, 4, 9], "unevenly spaced"),
        ([0, 3, 0, 3], "2 slices of .* lie at the position of another .*time points"),
    ],
)
def test_frames_that_are_no_even_stack_are_refused(places, message, tmp_path):
    with pytest.raises(InputError, match=message):
        read_volume(write_enhanced(tmp_path / "mr", places)[0])


def test_frames_of_several_orientations_are_refused(tmp_path):
    with pytest.raises(InputError, match="differ in orientation"):
        read_volume(write_enhanced(tmp_path / "mr", [0, 3, 6], other_axes=OBLIQUE)[0])


def write_plain(folder, kind, **elements):
    """Four frames in a file of another kind, whose frames have no places of their own."""
    file = dcmread(write_enhanced(folder, [0, 3, 6, 9])[0] / "enhanced.dcm")
    del file.PerFrameFunctionalGroupsSequence, file.SharedFunctionalGroupsSequence
    file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = kind
    file.update(dataset(PixelSpacing=[0.8, 0.6], **elements))
    file.save_as(folder / "enhanced.dcm")
    return folder


@pytest.mark.parametrize("kind", [MultiFrameGrayscaleByteSecondaryCaptureImageStorage, NuclearMedicineImageStorage])
def test_frames_without_places_and_distance_are_refused(kind, tmp_path):
    """ITK takes 1 mm for it."""
    with pytest.raises(InputError, match=r'The 4 frames of "enhanced.dcm" do not state where they lie\.'):
        read_volume(write_plain(tmp_path / "mr", kind))


def test_a_distance_that_itk_passes_over_does_not_count(tmp_path):
    kind = MultiFrameGrayscaleByteSecondaryCaptureImageStorage
    with pytest.raises(InputError, match="do not state where they lie"):
        read_volume(write_plain(tmp_path / "mr", kind, SpacingBetweenSlices=3))


def test_frames_at_one_stated_distance_are_read(tmp_path):
    place = {"ImagePositionPatient": [1, 2, 3], "ImageOrientationPatient": STRAIGHT}
    kind = MRImageStorage
    volume = read_volume(write_plain(tmp_path / "placed", kind, SpacingBetweenSlices=3, **place))
    assert volume.geometry.spacing == (0.6, 0.8, 3.0) and volume.geometry.origin_lps == (1, 2, 3)
    assert volume.spacing_known and volume.notes == ()
    (note,) = read_volume(write_plain(tmp_path / "unplaced", kind, SpacingBetweenSlices=3)).notes
    assert "left and right may be swapped" in note
