"""NIfTI files that are cut, corrupted, of the wrong kind, or only look strange."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

from .kinds import SIZE_IJK, cut, flip, head, image, kind, write


def patch(path: Path, offset: int, form: str, *values: float) -> Path:
    """Overwrite fields of a NIfTI-1 header."""
    content = bytearray(path.read_bytes())
    struct.pack_into(f"<{form}", content, offset, *values)
    path.write_bytes(bytes(content))
    return path


def srow(path: Path, rows: list[list[float]]) -> Path:
    """Let the sform alone (qform unknown) place the voxels."""
    patch(path, 252, "hh", 0, 1)
    return patch(path, 280, "12f", *np.ravel(rows))


@kind("is empty (0 bytes)")
def nifti_no_bytes(folder: Path) -> Path:
    (folder / "a.nii").touch()
    return folder / "a.nii"


@kind("is damaged or not a valid NIfTI file (the header is cut short)")
def nifti_header_cut(folder: Path) -> Path:
    return cut(write(folder / "a.nii"), 0.005)


@kind("it ends after")
def nifti_body_cut(folder: Path) -> Path:
    return cut(write(folder / "a.nii"), 0.7)


@kind("it ends after")
def nifti_body_cut_and_bits_of_zero(folder: Path) -> Path:
    return patch(cut(write(folder / "a.nii"), 0.7), 72, "h", 0)


@kind("is a NIfTI-2 file")
def nifti_second_version(folder: Path) -> Path:
    (folder / "a.nii").write_bytes(struct.pack("<i8s2h8q", 540, b"n+2\0\r\n\x1a\n", 4, 16, 3, *SIZE_IJK, 1, 1, 1, 1)
                                   + bytes(30000))
    return folder / "a.nii"


@kind("unknown type of voxels 9999")
def nifti_unknown_type(folder: Path) -> Path:
    return patch(write(folder / "a.nii"), 70, "h", 9999)


@kind("is damaged or not a valid NIfTI file")
def nifti_gzip_cut(folder: Path) -> Path:
    return cut(write(folder / "a.nii.gz"), 0.7)


@kind("CRC check failed")
def nifti_gzip_wrong_checksum(folder: Path) -> Path:
    return flip(write(folder / "a.nii.gz"), -6)


@kind("is damaged or not a valid NIfTI file")
def nifti_gzip_garbled(folder: Path) -> Path:
    return flip(write(folder / "a.nii.gz"), 2000)


@kind("unpacks to far more")
def nifti_gzip_bomb(folder: Path) -> Path:
    plain = write(folder / "a.nii").read_bytes()
    with gzip.open(folder / "bomb.nii.gz", "wb", compresslevel=9) as file:
        file.write(plain)
        for _ in range(64):
            file.write(bytes(1 << 20))
    return folder / "bomb.nii.gz"


@kind(None)
def nifti_plain_named_gz(folder: Path) -> Path:
    return write(folder / "a.nii").rename(folder / "a.nii.gz")


@kind("signature is missing")
def nifti_no_signature(folder: Path) -> Path:
    return patch(write(folder / "a.nii"), 344, "i", 0)


@kind("signature is missing")
def nifti_is_text(folder: Path) -> Path:
    (folder / "a.nii").write_text("patient,label\n" * 50)
    return folder / "a.nii"


@kind("signature is missing")
def nifti_named_nrrd(folder: Path) -> Path:
    return write(folder / "a.nii").rename(folder / "a.nrrd")


@kind("impossible dimensions")
def nifti_axis_of_no_voxels(folder: Path) -> Path:
    return patch(write(folder / "a.nii"), 42, "h", 0)


@kind("impossible dimensions")
def nifti_negative_axis(folder: Path) -> Path:
    return patch(write(folder / "a.nii"), 44, "h", -5)


@kind("more than the limit")
def nifti_claims_27_million_million_voxels(folder: Path) -> Path:
    return patch(write(folder / "a.nii"), 42, "3h", 30000, 30000, 30000)


@kind("impossible dimensions")
def nifti_nine_dimensions(folder: Path) -> Path:
    return patch(write(folder / "a.nii"), 40, "h", 9)


@kind("is damaged or not a valid NIfTI file")
def nifti_unknown_data_type(folder: Path) -> Path:
    return patch(write(folder / "a.nii"), 70, "h", 777)


@kind("with 3 frames")
def nifti_time_series(folder: Path) -> Path:
    return write(folder / "a.nii", sitk.JoinSeries([image()] * 3))


@kind(None)
def nifti_time_series_of_one(folder: Path) -> Path:
    return write(folder / "a.nii", sitk.JoinSeries([image()]))


@kind("holds vectors, not a scan")
def nifti_vectors(folder: Path) -> Path:
    return write(folder / "a.nii", sitk.Compose([sitk.Cast(image(), sitk.sitkFloat32)] * 3))


@kind("complex numbers")
def nifti_complex(folder: Path) -> Path:
    return write(folder / "a.nii", sitk.RealAndImaginaryToComplex(*[sitk.Cast(image(), sitk.sitkFloat32)] * 2))


@kind("values a voxel")
def nifti_rgb(folder: Path) -> Path:
    plain = sitk.Cast(sitk.RescaleIntensity(image()), sitk.sitkUInt8)
    made = write(folder / "a.nii", sitk.Compose([plain] * 3))
    content = bytearray(made.read_bytes())
    struct.pack_into("<8h", content, 40, 3, *SIZE_IJK, 1, 1, 1, 1)
    struct.pack_into("<4h", content, 68, 0, 128, 24, 0)
    made.write_bytes(bytes(content))
    return made


@kind("a label map, not a scan")
def nifti_declared_label_map(folder: Path) -> Path:
    return patch(write(folder / "a.nii"), 68, "h", 1002)


@kind("looks like a label map")
def nifti_looks_like_label_map(folder: Path) -> Path:
    return write(folder / "a.nii", (head() > 300).astype(np.uint8))


@kind("1 voxels that are not finite")
def nifti_one_nan(folder: Path) -> Path:
    array = head().astype(np.float32)
    array[3, 4, 5] = np.nan
    return write(folder / "a.nii", array)


@kind("not finite")
def nifti_all_infinite(folder: Path) -> Path:
    return write(folder / "a.nii", np.full(head().shape, np.inf, np.float32))


@kind("not finite")
def nifti_too_large_for_float32(folder: Path) -> Path:
    return write(folder / "a.nii", head() * 1e300)


@kind("same value")
def nifti_constant(folder: Path) -> Path:
    return write(folder / "a.nii", np.full(head().shape, 42, np.int16))


@kind("almost entirely empty")
def nifti_two_voxels_shown(folder: Path) -> Path:
    array = np.zeros(head().shape, np.int16)
    array[4, 4, 4:6] = 1000
    return write(folder / "a.nii", array)


@kind("has only 1 x 1 x 64 voxels")
def nifti_is_a_line(folder: Path) -> Path:
    return write(folder / "a.nii", head((1, 1, 64)))


@kind("has only 3 x 3 x 3 voxels")
def nifti_tiny(folder: Path) -> Path:
    return write(folder / "a.nii", head((3, 3, 3)))


@kind(None)
def nifti_one_slice(folder: Path) -> Path:
    return write(folder / "a.nii", head((32, 32, 1)))


@kind(None)
def nifti_one_sagittal_slice(folder: Path) -> Path:
    return write(folder / "a.nii", head((1, 32, 32)))


@kind("spacing of 1000 x 1000 x 1000 mm")
def nifti_spacing_in_wrong_unit(folder: Path) -> Path:
    return patch(patch(write(folder / "a.nii"), 80, "3f", 1000, 1000, 1000), 252, "hh", 1, 0)


@kind("spacing of 0.001 x 0.001 x 0.001 mm")
def nifti_spacing_of_a_micrometer(folder: Path) -> Path:
    return patch(patch(write(folder / "a.nii"), 80, "3f", 0.001, 0.001, 0.001), 252, "hh", 1, 0)


@kind("spacing 0 x 1 x 1 mm is impossible")
def nifti_spacing_zero(folder: Path) -> Path:
    return patch(patch(write(folder / "a.nii"), 80, "3f", 0, 1, 1), 252, "hh", 1, 0)


@kind("spacing nan x 1 x 1 mm is impossible")
def nifti_spacing_nan(folder: Path) -> Path:
    return patch(patch(write(folder / "a.nii"), 80, "3f", float("nan"), 1, 1), 252, "hh", 1, 0)


@kind("not perpendicular")
def nifti_two_parallel_axes(folder: Path) -> Path:
    return srow(write(folder / "a.nii"), [[6, 0, 0, 0], [0, 6, 6, 0], [0, 0, 0, 0]])


@kind("not perpendicular")
def nifti_sheared(folder: Path) -> Path:
    return srow(write(folder / "a.nii"), [[6, 0, 3, 0], [0, 6, 0, 0], [0, 0, 8, 0]])


@kind("position in space is not finite")
def nifti_origin_nan(folder: Path) -> Path:
    return srow(write(folder / "a.nii"), [[6, 0, 0, float("nan")], [0, 6, 0, 0], [0, 0, 8, 0]])


@kind("not finite")
def nifti_infinite_slope(folder: Path) -> Path:
    return patch(write(folder / "a.nii", head().astype(np.float32)), 112, "2f", 3e38, 0)


@kind(None)
def nifti_slope_and_intercept(folder: Path) -> Path:
    return patch(write(folder / "a.nii"), 112, "2f", 0.5, -100)


@kind(None)
def nifti_left_handed(folder: Path) -> Path:
    return srow(write(folder / "a.nii"), [[6, 0, 0, 5], [0, 6, 0, 6], [0, 0, -8, 7]])


@kind(None)
def nifti_oblique(folder: Path) -> Path:
    turned = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0] * 6
    return srow(write(folder / "a.nii"), np.hstack([turned, [[1], [2], [3]]]).tolist())


@kind(None)
def nifti_doubles_gzipped(folder: Path) -> Path:
    return write(folder / "a.nii.gz", head().astype(np.float64), compress=True)


@kind(None)
def nifti_pair(folder: Path) -> Path:
    return write(folder / "a.hdr")


@kind(None)
def nifti_pair_by_its_data(folder: Path) -> Path:
    return write(folder / "a.hdr").with_suffix(".img")


@kind("and the other is not there")
def nifti_pair_without_data(folder: Path) -> Path:
    made = write(folder / "a.hdr")
    made.with_suffix(".img").unlink()
    return made


@kind("it ends after")
def nifti_pair_cut(folder: Path) -> Path:
    made = write(folder / "a.hdr")
    cut(made.with_suffix(".img"), 0.9)
    return made


@kind("is an Analyze file")
def nifti_pair_of_analyze(folder: Path) -> Path:
    return patch(write(folder / "a.hdr"), 344, "4s", b"")


@kind(None)
def nifti_sheared_sform_beside_a_qform(folder: Path) -> Path:
    made = srow(write(folder / "a.nii"), [[6, 1, 0, 0], [0, 6.5, 0, 0], [0, 0, 9, 0]])
    return patch(made, 252, "h", 1)


@kind(None)
def nifti_in_meters(folder: Path) -> Path:
    return in_unit(write(folder / "a.nii"), 1, 0.001)


@kind(None)
def nifti_in_micrometers(folder: Path) -> Path:
    return in_unit(write(folder / "a.nii"), 3, 1000)


def in_unit(path: Path, code: int, factor: float) -> Path:
    """State all lengths of a header in another unit."""
    content = path.read_bytes()
    for offset, count in ((80, 3), (268, 3), (280, 12)):
        values = np.array(struct.unpack_from(f"<{count}f", content, offset)) * factor
        patch(path, offset, f"{count}f", *values)
    return patch(path, 123, "B", code | 8)


@kind("it is packed with gzip: name it .nii.gz")
def nifti_packed_without_saying_so(folder: Path) -> Path:
    return write(folder / "a.nii.gz").rename(folder / "b.nii")


@kind(None)
def nifti_without_voxel_size_beside_an_sform(folder: Path) -> Path:
    """The sform states the size; the other field is 0."""
    made = srow(write(folder / "a.nii"), [[-6, 0, 0, 70], [0, -6.5, 0, 90], [0, 0, 9, -50]])
    return patch(made, 80, "3f", 0, 0, 0)


@kind(None)
def nifti_negative_voxel_size_beside_an_sform(folder: Path) -> Path:
    made = srow(write(folder / "a.nii"), [[-6, 0, 0, 70], [0, -6.5, 0, 90], [0, 0, 9, -50]])
    return patch(made, 80, "3f", -6, -6.5, -9)


@kind(None)
def nifti_shift_without_a_slope(folder: Path) -> Path:
    """By the standard a slope of 0 means that nothing is scaled."""
    return patch(write(folder / "a.nii"), 112, "2f", 0, 5)


@kind(None)
def nifti_negative_voxel_size_beside_a_qform(folder: Path) -> Path:
    made = srow(write(folder / "a.nii"), [[-6, 0, 0, 70], [0, -6.5, 0, 90], [0, 0, 9, -50]])
    return patch(patch(patch(made, 252, "2h", 1, 0), 80, "3f", -6, -6.5, -9), 268, "3f", 70, 90, -50)
