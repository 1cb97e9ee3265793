"""Random valid DICOM: whatever orientation, order, scale, sign, coding and padding, values and places are pydicom's."""

import io
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pydicom
import pydicom.uid as uids
import SimpleITK as sitk  # noqa: N813
from corpus.dicom_enhanced import enhanced, items
from hrcam.scan.volume import read_volume
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.encaps import encapsulate
from scipy.spatial.transform import Rotation

NATIVE = (uids.ImplicitVRLittleEndian, uids.ExplicitVRLittleEndian, uids.DeflatedExplicitVRLittleEndian,
          uids.ExplicitVRBigEndian)
CODED = (uids.JPEGLosslessSV1, uids.JPEG2000Lossless)

numbers = st.integers(0, 2**31)


@st.composite
def recipes(draw):
    """How a series is written."""
    syntax = draw(st.sampled_from([*NATIVE, *CODED, uids.RLELossless]))
    bits = draw(st.sampled_from([8, 16] if syntax in CODED else [8, 12, 16]))
    count = draw(st.integers(2, 5))
    return {
        "seed": draw(numbers), "angles": draw(st.lists(st.floats(-180, 180), min_size=3, max_size=3)),
        "order": draw(st.permutations(range(count))), "bits": bits,
        "signed": syntax != uids.JPEG2000Lossless and draw(st.booleans()),
        "spacing": draw(st.lists(st.floats(0.4, 3), min_size=3, max_size=3)),
        "scales": draw(st.lists(st.tuples(st.floats(0.01, 10), st.floats(-500, 500)), min_size=count, max_size=count)),
        "syntax": syntax, "enhanced": draw(st.booleans()),
        "photometric": draw(st.sampled_from(["MONOCHROME2", "MONOCHROME2", "MONOCHROME1"])),
        "padding": draw(st.sampled_from([None, None, "lowest", "highest", "range"])),
    }


def stored_values(recipe):
    """Random numbers of the recipe's bits and sign, slices x 10 x 11."""
    low, high = (-(1 << recipe["bits"] - 1), 1 << recipe["bits"] - 1) if recipe["signed"] else (0, 1 << recipe["bits"])
    kind = f"{'i' if recipe['signed'] else 'u'}{1 if recipe['bits'] == 8 else 2}"
    return np.random.default_rng(recipe["seed"]).integers(low, high, (len(recipe["order"]), 10, 11)).astype(kind)


def padding_of(recipe):
    """Lowest and highest stored value that fills what was not scanned, or None."""
    low, high = (-(1 << recipe["bits"] - 1), (1 << recipe["bits"] - 1) - 1) if recipe["signed"] \
        else (0, (1 << recipe["bits"]) - 1)
    third = (high - low) // 3
    return {None: None, "lowest": (low, low), "highest": (high, high), "range": (low, low + third)}[recipe["padding"]]


def expected_values(array, scales, recipe):
    """Values that stored ones mean by each frame's (slope, intercept), turned over and padded as the recipe has it."""
    turned = array.astype(np.float64)
    if recipe["photometric"] == "MONOCHROME1":
        turned = (-1 if recipe["signed"] else (1 << recipe["bits"]) - 1) - turned
    values = np.stack([one * slope + intercept for one, (slope, intercept) in zip(turned, scales, strict=True)])
    ends = padding_of(recipe)
    if ends is not None:
        padded = (array >= ends[0]) & (array <= ends[1])
        if padded.any() and not padded.all():
            values[padded] = values[~padded].min()
    return values


def coded(array, syntax, folder):
    """One frame's bytes: JPEG by GDCM, JPEG 2000 by Pillow (GDCM's writer of small ones spoils memory)."""
    if syntax == uids.JPEG2000Lossless:
        stream = io.BytesIO()
        Image.fromarray(array).save(stream, "JPEG2000", irreversible=False, no_jp2=True)
        return stream.getvalue()
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(folder / "coded.dcm"))
    writer.SetUseCompression(True)
    writer.SetCompressor("JPEG")
    writer.Execute(sitk.GetImageFromArray(array[np.newaxis]))
    return next(pydicom.encaps.generate_frames(pydicom.dcmread(folder / "coded.dcm").PixelData, number_of_frames=1))


def describe(made, recipe, array, folder):
    """State bits and coding of a data set's pixels, and store them."""
    allocated = 8 * array.dtype.itemsize
    made.BitsAllocated, made.BitsStored, made.HighBit = allocated, recipe["bits"], recipe["bits"] - 1
    made.PixelRepresentation, syntax = int(recipe["signed"]), recipe["syntax"]
    made.PhotometricInterpretation = recipe["photometric"]
    ends = padding_of(recipe)
    for tag, value in zip((0x00280120, 0x00280121), ends or (), strict=False):
        if tag == 0x00280120 or recipe["padding"] == "range":
            made.add_new(tag, "SS" if recipe["signed"] else "US", value)
    made.NumberOfFrames, made.Rows, made.Columns = array.shape
    made.file_meta.TransferSyntaxUID = uids.ExplicitVRLittleEndian if syntax == uids.RLELossless else syntax
    if syntax in CODED:
        made.PixelData = encapsulate([coded(one, syntax, folder) for one in array])
        made["PixelData"].is_undefined_length = True
    else:
        made.PixelData = array.astype(array.dtype.newbyteorder(">" if syntax == uids.ExplicitVRBigEndian else "<")) \
            .tobytes()
        if len(made.PixelData) % 2:
            made.PixelData += b"\0"
    made["PixelData"].VR = "OW" if syntax not in CODED and allocated > 8 else "OB"
    if syntax == uids.RLELossless:
        made.compress(uids.RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)


def write(recipe, folder):
    """Write the recipe's series, one file or one a slice; returns the paths."""
    array = stored_values(recipe)
    turn = Rotation.from_euler("xyz", recipe["angles"], degrees=True).as_matrix()
    axes = [round(float(one), 9) for one in turn[:, :2].T.ravel()]
    across, down, apart = recipe["spacing"]
    places = [apart * n for n in recipe["order"]]
    whole = enhanced(array, places, axes)
    measures = items(PixelSpacing=[down, across])
    for group, (slope, intercept) in zip(whole.PerFrameFunctionalGroupsSequence, recipe["scales"], strict=True):
        group.PixelMeasuresSequence = measures
        group.PixelValueTransformationSequence = items(RescaleSlope=f"{slope:.9g}", RescaleIntercept=f"{intercept:.9g}")
        group.PlaneOrientationSequence = items(ImageOrientationPatient=axes)
    parts = [(whole, array)]
    if not recipe["enhanced"]:
        parts = [(single(whole, n), array[n : n + 1]) for n in range(len(array))]
    paths = []
    (folder / "series").mkdir()
    for number, (made, pixels) in enumerate(parts):
        describe(made, recipe, pixels, folder)
        paths.append(folder / "series" / f"{number}.dcm")
        big = recipe["syntax"] == uids.ExplicitVRBigEndian
        pydicom.dcmwrite(paths[-1], made, **({"little_endian": False, "implicit_vr": False, "force_encoding": True}
                                             if big else {}))
    return paths, array


def single(whole, number):
    """Frame ``number`` as a classic slice."""
    made = enhanced(instance=str(number + 1), sop=uids.MRImageStorage)
    group = whole.PerFrameFunctionalGroupsSequence[number]
    del made.PerFrameFunctionalGroupsSequence, made.SharedFunctionalGroupsSequence
    for sequence in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence",
                     "PixelValueTransformationSequence"):
        made.update(getattr(group, sequence)[0])
    return made


def independent_slices(path):
    """(position, axes, spacing, values) of each frame, by pydicom alone; values None where it has no decoder."""
    made = pydicom.dcmread(path)
    try:
        pixels = made.pixel_array.reshape(-1, made.Rows, made.Columns)
    except (RuntimeError, NotImplementedError, AttributeError):
        pixels = [None] * int(made.NumberOfFrames)
    groups = made.get("PerFrameFunctionalGroupsSequence")
    for number, values in enumerate(pixels):
        group = groups[number] if groups else None

        def stated(sequence, keyword, group=group):
            return getattr(made if group is None else getattr(group, sequence)[0], keyword)

        slope, intercept = (float(stated("PixelValueTransformationSequence", f"Rescale{word}"))
                            for word in ("Slope", "Intercept"))
        yield (np.array(stated("PlanePositionSequence", "ImagePositionPatient"), float),
               np.array(stated("PlaneOrientationSequence", "ImageOrientationPatient"), float).reshape(2, 3),
               np.array(stated("PixelMeasuresSequence", "PixelSpacing"), float), slope, intercept, values)


@given(recipe=recipes())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_random_series_is_read_as_pydicom_reads_it(recipe):
    folder = Path(tempfile.mkdtemp(prefix="hrcam-"))
    try:
        paths, array = write(recipe, folder)
        slices = [one for path in paths for one in independent_slices(path)]
        for given_path in (folder / "series", paths[0], f"{folder / 'series'}#4"):
            volume = read_volume(given_path)
            assert volume.array.shape == array.shape and volume.notes == ()
            seen = set()
            wanted = expected_values(array, [one[3:5] for one in slices], recipe)
            for stored, meant, (position, axes, (down, across), _, _, values) in zip(
                    array, wanted, slices, strict=True):
                i, j, k = volume.geometry.lps_to_ijk[:3] @ [*position, 1]
                assert np.allclose([i, j, k - round(k)], 0, atol=1e-4)
                corner = volume.geometry.points_to_lps((10, 9, round(k)))
                assert np.allclose(corner, position + 10 * across * axes[0] + 9 * down * axes[1], atol=1e-4)
                if values is not None:
                    assert np.array_equal(values, stored)
                assert np.allclose(volume.array[round(k)], meant, rtol=1e-6, atol=1e-3)
                seen.add(round(k))
            assert seen == set(range(len(array)))
    finally:
        shutil.rmtree(folder)
