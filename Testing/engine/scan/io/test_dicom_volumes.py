"""DICOM: values and places of every maker's files; what is no scan stops none; several volumes are told apart."""

from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from corpus.dicom import MAKERS, series, slice_file, weighted
from corpus.dicom_elements import ODD
from corpus.dicom_enhanced import enhanced, items, saved, scaled, volumes
from corpus.dicom_objects import OBJECTS, palette, three_planes, write_object, ybr
from corpus.kinds import SPACING, head
from corpus.make import KINDS
from hrcam.errors import InputError
from hrcam.scan.io.dicom import folder as dicom_folder
from hrcam.scan.io.dicom.series import list_series
from hrcam.scan.io.dicom.volumes import are_apart, stack_of, tell_apart
from hrcam.scan.volume import read_volume
from pydicom.uid import RTStructureSetStorage

ORIGIN = (-70.5, -90.25, -50)


@pytest.mark.parametrize("name", OBJECTS)
def test_what_is_no_image_stops_no_series(tmp_path, name):
    made = series(tmp_path / "s")
    sop, elements = OBJECTS[name]
    write_object(made / "extra.dcm", sop, **elements)
    for path in (made, made / "IM095.dcm", f"{made}#3"):
        assert np.array_equal(read_volume(path).array, head()[:10])


@pytest.mark.parametrize("change", [palette, ybr, three_planes])
def test_pictures_of_another_series_stop_no_series_that_is_named(tmp_path, change):
    made = series(tmp_path / "s")
    series(made, change, number=9, prefix="P", count=1)
    uid = pydicom.dcmread(made / "IM095.dcm").SeriesInstanceUID
    for path in (made / "IM095.dcm", f"{made}#3", f"{made}#{uid}"):
        assert np.array_equal(read_volume(path).array, head()[:10])


@pytest.mark.parametrize("name", [name for name in KINDS if name.startswith("dicom_enhanced_of_")])
def test_every_maker_s_enhanced_file_is_the_same_volume(tmp_path, name):
    volume = read_volume(KINDS[name].make(tmp_path))
    assert np.array_equal(volume.array, head())
    assert volume.geometry.origin_lps == pytest.approx(ORIGIN)
    assert volume.geometry.spacing == pytest.approx(SPACING)


@pytest.mark.parametrize("name", ["deflated", "big_endian", "in_two_parts"])
def test_other_ways_to_write_it_too(tmp_path, name):
    assert np.array_equal(read_volume(KINDS[f"dicom_enhanced_{name}"].make(tmp_path)).array, head())


@pytest.mark.parametrize("backwards", [False, True])
def test_every_frame_has_its_own_slope(tmp_path, backwards):
    made = scaled(enhanced())
    expected = np.stack([image * (1 + n / 2) + 10 * n for n, image in enumerate(head())])
    if backwards:
        for group, n in zip(made.PerFrameFunctionalGroupsSequence, range(11, -1, -1), strict=True):
            group.PlanePositionSequence[0].ImagePositionPatient = [*ORIGIN[:2], ORIGIN[2] + SPACING[2] * n]
        expected = expected[::-1]
    assert np.allclose(read_volume(saved(made, tmp_path / "a.dcm")).array, expected, rtol=1e-6)


@pytest.mark.parametrize(("marks", "words"), [
    ({"MREchoSequence__EffectiveEchoTime": (4.6, 9.2)}, ("echo 4.6 ms", "echo 9.2 ms")),
    ({"MRDiffusionSequence__DiffusionBValue": (0.0, 1000.0)}, ("b 0", "b 1000")),
    ({"FrameContentSequence__StackID": ("1", "2")}, ("stack 1", "stack 2")),
    ({"FrameContentSequence__TemporalPositionIndex": (1, 2)}, ("time 1", "time 2")),
    ({"MRImageFrameTypeSequence__ComplexImageComponent": ("MAGNITUDE", "PHASE")}, ("magnitude", "phase")),
    ({"CardiacSynchronizationSequence__NominalCardiacTriggerDelayTime": (0.0, 40.0)}, ("time 1", "time 2")),
    ({"MRModifierSequence__InversionTimes": (700.0, 2500.0)}, ("inversion 700 ms", "inversion 2500 ms")),
    ({"MRTimingAndRelatedParametersSequence__FlipAngle": (5.0, 25.0)}, ("flip angle 5", "flip angle 25")),
])
def test_volumes_of_one_file_are_named_and_chosen(tmp_path, marks, words):
    path = saved(volumes(**marks), tmp_path / "a.dcm")
    with pytest.raises(InputError, match="the series holds 2 volumes") as caught:
        read_volume(path)
    assert f"#1 ({words[0]}, 12 slices); #2 ({words[1]}, 12 slices)" in caught.value.hint
    for number, factor in ((1, 1), (2, 2)):
        for chosen in (f"{path}#{number}", f"{tmp_path}#4#{number}"):
            assert np.array_equal(read_volume(chosen).array, factor * head())


def test_echoes_and_times_of_single_slices_are_told_apart_too(tmp_path):
    def change(one, index):
        one.ImagePositionPatient = [0, 0, 9 * (index % 5)]
        one.EchoTime = 5 if index < 5 else 12.5

    made = series(tmp_path / "s", change)
    with pytest.raises(InputError, match="the series holds 2 volumes") as caught:
        read_volume(made)
    assert "#1 (echo 5 ms, 5 slices); #2 (echo 12.5 ms, 5 slices)" in caught.value.hint
    assert np.array_equal(read_volume(f"{made}#3#2").array, head()[5:10])


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("maker", MAKERS)
def test_b_values_in_elements_of_the_makers_name_the_volumes(tmp_path, maker, implicit):
    def change(one, index):
        weighted(maker)(one, index)
        if implicit:
            one.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian

    made = series(tmp_path / "s", change)
    with pytest.raises(InputError, match="the series holds 2 volumes") as caught:
        read_volume(made)
    assert "#1 (b 0, 5 slices); #2 (b 800, 5 slices)" in caught.value.hint
    assert np.array_equal(read_volume(f"{made}#3#2").array, head()[5:10])


def test_a_private_element_of_another_creator_says_nothing(tmp_path):
    def change(one, index):
        one.private_block(0x19, "SOMEBODY ELSE", create=True).add_new(0x0A, "US", 36)

    assert np.array_equal(read_volume(series(tmp_path / "s", change)).array, head()[:10])


def test_planes_of_a_localizer_are_chosen(tmp_path):
    made = series(tmp_path / "s", three_planes, count=3)
    with pytest.raises(InputError, match="differ in orientation") as caught:
        read_volume(made)
    assert "(axial, 1 slices)" in caught.value.hint and "(sagittal, 1 slices)" in caught.value.hint
    assert read_volume(f"{made}#3#2").geometry.acquisition_plane == "sagittal"


def test_one_of_several_files_of_frames_is_read_alone(tmp_path):
    path = KINDS["dicom_enhanced_one_file_of_two"].make(tmp_path)
    assert np.array_equal(read_volume(path).array, head())


@pytest.mark.parametrize("name", ["empty", "of_zeros", "without_its_first_sector", "packed"])
def test_a_damaged_end_is_a_refusal_or_a_note_where_the_series_is_named(tmp_path, name):
    made = KINDS[f"dicom_last_slice_{name}"].make(tmp_path)
    with pytest.raises(InputError, match=r"IM090\.dcm"):
        read_volume(made)
    (note,) = read_volume(f"{made}#3").notes
    assert "IM090.dcm" in note


def test_a_missing_end_shows_in_the_numbers_of_the_others(tmp_path):
    made = series(tmp_path / "first")
    for n in (0, 1):
        slice_file(made, n).unlink()
    assert read_volume(made).notes == ("The slices are numbered from 3 on: 2 may be missing at an end of the scan.",)

    def change(one, index):
        one.ImagesInAcquisition = 10

    made = series(tmp_path / "last", change)
    slice_file(made, 9).unlink()
    (note,) = read_volume(made).notes
    assert "states 10 images of this acquisition, 9 are there" in note
    assert read_volume(series(tmp_path / "whole", change)).notes == ()


@pytest.mark.parametrize("name", ODD)
def test_odd_ways_to_write_a_head_are_the_same_head(tmp_path, name):
    volume = read_volume(KINDS[f"dicom_{name}"].make(tmp_path))
    assert np.array_equal(volume.array, head()[:10]) and volume.spacing_known
    assert volume.geometry.spacing == pytest.approx(SPACING, abs=0.005)


@pytest.mark.parametrize("padding", [-2000, 32767])
def test_padding_has_the_lowest_value(tmp_path, padding):
    def change(one, index):
        pixels = head()[index].copy()
        pixels[:5] = padding
        one.PixelData = pixels.tobytes()
        one.add_new(0x00280120, "SS", padding)

    array = read_volume(series(tmp_path / "s", change)).array
    assert np.all(array[:, :5] == head()[:10, 5:].min()) and np.array_equal(array[:, 5:], head()[:10, 5:])


def test_low_values_that_are_shown_bright_are_turned_over(tmp_path):
    def change(one, index):
        one.PhotometricInterpretation, one.PixelRepresentation = "MONOCHROME1", 0
        one.BitsStored, one.HighBit = 12, 11

    assert np.array_equal(read_volume(series(tmp_path / "s", change)).array, 4095 - head()[:10])


def test_overlays_above_the_stored_bits_are_no_values(tmp_path):
    def change(one, index):
        one.BitsStored, one.HighBit = 12, 11
        one.PixelData = (head()[index].astype(np.uint16) | 0x8000).astype(np.uint16).tobytes()

    assert np.array_equal(read_volume(series(tmp_path / "s", change)).array, head()[:10])


def test_a_single_slice_with_a_negative_distance_is_read(tmp_path):
    def change(one, index):
        one.SpacingBetweenSlices = -7.5

    assert read_volume(series(tmp_path / "s", change, count=1)).geometry.spacing == (*SPACING[:2], 7.5)


def test_headers_are_read_once(tmp_path, monkeypatch):
    made = series(tmp_path / "s", number=3)
    series(made, number=4, prefix="B")
    read, real = [], dicom_folder.read_entry
    monkeypatch.setattr(dicom_folder, "read_entry", lambda path: read.append(path) or real(path))
    monkeypatch.setattr(dicom_folder, "_JUST_WRITTEN_NS", 0)
    dicom_folder._kept.cache_clear()
    for listed in list_series(made):
        assert len(read_volume(listed.path).array) == 10
    assert len(read) == 20


def test_a_structure_set_alone_is_told_as_what_it_is(tmp_path):
    path = write_object(tmp_path / "a.dcm", RTStructureSetStorage)
    with pytest.raises(InputError, match="is a DICOM file without an image"):
        read_volume(path)


def test_nuclear_medicine_with_stated_places_is_read(tmp_path):
    made = enhanced(sop=pydicom.uid.NuclearMedicineImageStorage)
    del made.PerFrameFunctionalGroupsSequence, made.SharedFunctionalGroupsSequence
    made.PixelSpacing, made.SpacingBetweenSlices = [SPACING[1], SPACING[0]], SPACING[2]
    made.DetectorInformationSequence = items(ImagePositionPatient=list(ORIGIN),
                                             ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    volume = read_volume(saved(made, tmp_path / "a.dcm"))
    assert np.array_equal(volume.array, head()) and volume.geometry.origin_lps == pytest.approx(ORIGIN)


def test_a_slice_half_a_millimeter_off_an_even_stack_is_refused(tmp_path):
    def change(one, index):
        one.ImagePositionPatient = [-70.5, -90.25, -50 + 9 * index + 0.5 * (index == 4)]

    with pytest.raises(InputError, match=r"unevenly spaced \(8.50 to 9.50 mm\)"):
        read_volume(series(tmp_path / "series", change))


def test_slices_with_and_without_a_pixel_spacing_are_volumes_of_their_own(tmp_path):
    def change(one, index):
        if index < 4:
            del one.PixelSpacing

    with pytest.raises(InputError, match=r"differ in pixel spacing.*#1 .*6 slices.*#2 .without spacing, 4"):
        read_volume(series(tmp_path / "series", change))


STRAIGHT, TILTED, MORE = (tuple(float(v) for v in (1, 0, 0, 0, np.cos(a), np.sin(a))) for a in (0.0, 0.2, 0.4))


def frame(z, columns=8, axes=STRAIGHT, **changes):
    """A slice of a file of its own, as headers state it."""
    stored = SimpleNamespace(columns=columns, rows=6, colored=False, count=1, path="a.dcm")
    stated = {"position": None if z is None else (0.0, 0.0, float(z)), "axes": axes, "spacing": (1.5, 2.0),
              "thickness": 3.0, "marks": {}}  # fmt: skip
    return SimpleNamespace(file=stored, **(stated | changes))


@pytest.mark.parametrize(("frames", "apart"), [
    ([frame(0), frame(3), frame(6)], True),
    ([frame(0), frame(3), frame(3)], False),
    ([frame(0), frame(3), frame(6, columns=9)], False),
    ([frame(0), frame(3), frame(None)], False),
])
def test_frames_are_apart_where_they_are_of_one_volume_at_places_of_their_own(frames, apart):
    assert are_apart(frames) is apart


def test_orientations_of_one_plane_are_numbered():
    frames = [frame(0), frame(3), frame(0, axes=TILTED), frame(0, axes=MORE), frame(3, axes=TILTED)]
    groups = tell_apart(frames)
    assert [group.label for group in groups] == ["axial", "axial (2)", "axial (3)"]
    assert [len(group.frames) for group in groups] == [2, 2, 1]


def test_a_slice_that_states_no_sizes_has_pixels_of_one_unit():
    told, silent = (stack_of([frame(4, **changes)], "a") for changes in (
        {}, {"spacing": None, "thickness": None, "axes": None}))
    assert told.geometry.spacing == (1.5, 2.0, 3.0) and told.spacing_known and told.oriented
    assert silent.geometry.spacing == (1.0, 1.0, 1.0) and not silent.spacing_known and not silent.oriented
    assert silent.geometry.origin_lps == (0.0, 0.0, 4.0) and np.array_equal(silent.geometry.direction_lps, np.eye(3))
