"""NRRD and MetaImage files that are cut, corrupted, or reach outside their folder."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

from .kinds import SIZE_IJK, cut, flip, head, image, kind, replace, write


@kind("is damaged or not a valid NRRD file")
def nrrd_header_cut(folder: Path) -> Path:
    return cut(write(folder / "a.nrrd"), 0.01)


@kind("is damaged or not a valid NRRD file")
def nrrd_body_cut(folder: Path) -> Path:
    return cut(write(folder / "a.nrrd"), 0.7)


@kind("is damaged or not a valid NRRD file")
def nrrd_gzip_cut(folder: Path) -> Path:
    return cut(write(folder / "a.nrrd", compress=True), 0.7)


@kind("is damaged or not a valid NRRD file")
def nrrd_gzip_garbled(folder: Path) -> Path:
    return flip(write(folder / "a.nrrd", compress=True), -3000)


@kind("is damaged or not a valid NRRD file")
def nrrd_sizes_too_large(folder: Path) -> Path:
    i, j, k = SIZE_IJK
    return replace(write(folder / "a.nrrd"), f"sizes: {i} {j} {k}".encode(), f"sizes: {i} {j} {k + 40}".encode())


@kind("more than the limit")
def nrrd_claims_a_billion_voxels(folder: Path) -> Path:
    i, j, k = SIZE_IJK
    return replace(write(folder / "a.nrrd"), f"sizes: {i} {j} {k}".encode(), b"sizes: 2000 2000 2000")


@kind("is damaged or not a valid NRRD file")
def nrrd_unknown_encoding(folder: Path) -> Path:
    return replace(write(folder / "a.nrrd"), b"encoding: raw", b"encoding: rot13")


@kind("is damaged or not a valid NRRD file")
def nrrd_unknown_type(folder: Path) -> Path:
    return replace(write(folder / "a.nrrd"), b"type: short", b"type: heads")


@kind("spacing 0 x 6.5 x 9")
def nrrd_axis_without_length(folder: Path) -> Path:
    return replace(write(folder / "a.nrrd"), b"(6,0,0)", b"(0,0,0)")


@kind("singular")
def nrrd_two_parallel_axes(folder: Path) -> Path:
    return replace(write(folder / "a.nrrd"), b"(0,6.5,0)", b"(6.5,0,0)")


@kind("not perpendicular")
def nrrd_sheared(folder: Path) -> Path:
    return replace(write(folder / "a.nrrd"), b"(0,0,9)", b"(0,3,9)")


@kind("is damaged or not a valid NRRD file")
def nrrd_direction_nan(folder: Path) -> Path:
    return replace(write(folder / "a.nrrd"), b"(6,0,0)", b"(nan,0,0)")


@kind("There is no file or folder")
def nrrd_data_file_missing(folder: Path) -> Path:
    made = write(folder / "a.nhdr")
    (folder / "a.raw").unlink()
    return made


@kind("outside its own folder")
def nrrd_data_file_absolute(folder: Path) -> Path:
    return replace(write(folder / "a.nhdr"), b"data file: a.raw", b"data file: /dev/zero")


@kind("outside its own folder")
def nrrd_data_file_in_parent(folder: Path) -> Path:
    return replace(write(folder / "a.nhdr"), b"data file: a.raw", b"data file: ../../a.raw")


@kind("spreads its voxels over several files")
def nrrd_data_file_list(folder: Path) -> Path:
    return replace(write(folder / "a.nhdr"), b"data file: a.raw", b"data file: LIST\na.raw\na.raw")


@kind("is damaged or not a valid NRRD file")
def nrrd_data_file_cut(folder: Path) -> Path:
    made = write(folder / "a.nhdr")
    cut(folder / "a.raw", 0.5)
    return made


@kind("values a voxel")
def nrrd_vectors(folder: Path) -> Path:
    return write(folder / "a.nrrd", sitk.Compose([image()] * 2))


@kind("a line of its header has 5,")
def nrrd_line_that_overflows_its_reader(folder: Path) -> Path:
    return replace(write(folder / "a.nrrd"), b"encoding: raw", b"encoding: raw\n" + b"x" * 5000)


@kind("a line of its header has 5,")
def nrrd_value_that_overflows_its_reader(folder: Path) -> Path:
    return replace(write(folder / "a.nrrd"), b"(6,0,0)", b"(6,0," + b"x" * 5000 + b")")


@kind("longer than")
def nrrd_header_without_end(folder: Path) -> Path:
    return replace(write(folder / "a.nrrd"), b"encoding: raw", b"encoding: raw\n" + b"# comment\n" * 200_000)


@kind("an axis has no direction")
def nrrd_axis_without_direction(folder: Path) -> Path:
    return replace(write(folder / "a.nrrd"), b"(6,0,0)", b"none")


@kind(None)
def nrrd_long_texts(folder: Path) -> Path:
    texts = b"content: " + b"x" * 5000 + b"\nnote:=" + b"y" * 5000 + b"\n# " + b"z" * 5000
    return replace(write(folder / "a.nrrd"), b"encoding: raw", b"encoding: raw\n" + texts)


@kind("a segmentation, not a scan")
def nrrd_segmentation(folder: Path) -> Path:
    made = image((sitk.GetArrayFromImage(image()) > 300).astype(np.uint8))
    made.SetMetaData("Segment0_ID", "tumor")
    return write(folder / "a.seg.nrrd", made)


@kind(None)
def nrrd_detached(folder: Path) -> Path:
    return write(folder / "a.nhdr")


@kind(None)
def nrrd_compressed(folder: Path) -> Path:
    return write(folder / "a.nrrd", compress=True)


@kind("not perpendicular")
def meta_direction_whose_square_is_no_number(folder: Path) -> Path:
    return replace(write(folder / "a.mha"), b"TransformMatrix = 1 0 0", b"TransformMatrix = 1e200 0 0")


@kind("is damaged or not a valid MetaImage file")
def meta_body_cut(folder: Path) -> Path:
    return cut(write(folder / "a.mha"), 0.7)


@kind("is damaged or not a valid MetaImage file")
def meta_zlib_cut(folder: Path) -> Path:
    return cut(write(folder / "a.mha", compress=True), 0.7)


@kind("is damaged or not a valid MetaImage file")
def meta_zlib_garbled(folder: Path) -> Path:
    return flip(write(folder / "a.mha", compress=True), -3000)


@kind("is damaged or not a valid MetaImage file")
def meta_zlib_wrong_checksum(folder: Path) -> Path:
    return flip(write(folder / "a.mha", compress=True), -2)


@kind("is damaged or not a valid MetaImage file")
def meta_unknown_type(folder: Path) -> Path:
    return replace(write(folder / "a.mha"), b"MET_SHORT", b"MET_HEADS")


@kind("impossible NDims")
def meta_dimensions_negative(folder: Path) -> Path:
    return replace(write(folder / "a.mha"), b"NDims = 3", b"NDims = -3")


@kind("impossible NDims")
def meta_dimensions_by_the_billion(folder: Path) -> Path:
    return replace(write(folder / "a.mha"), b"NDims = 3", b"NDims = 4294967297")


@kind("2 sizes for 3 dimensions")
def meta_size_missing(folder: Path) -> Path:
    i, j, k = SIZE_IJK
    return replace(write(folder / "a.mha"), f"DimSize = {i} {j} {k}".encode(), f"DimSize = {i} {j}".encode())


@kind("unknown ElementType 'MET_STRING'")
def meta_type_of_text(folder: Path) -> Path:
    return replace(write(folder / "a.mha"), b"MET_SHORT", b"MET_STRING")


@kind("no ElementDataFile")
def meta_no_data_file(folder: Path) -> Path:
    return cut(replace(write(folder / "a.mha"), b"ElementDataFile = LOCAL", b"Unknown = 1\n"), 0.02)


@kind("There is no file or folder")
def meta_data_file_missing(folder: Path) -> Path:
    made = write(folder / "a.mhd")
    (folder / "a.raw").unlink()
    return made


@kind("spreads its voxels over several files")
def meta_data_file_list(folder: Path) -> Path:
    return replace(write(folder / "a.mhd"), b"ElementDataFile = a.raw", b"ElementDataFile = LIST")


@kind("outside its own folder")
def meta_data_file_elsewhere(folder: Path) -> Path:
    return replace(write(folder / "a.mhd"), b"ElementDataFile = a.raw", b"ElementDataFile = /etc/hostname")


@kind("direction matrix is singular")
def meta_direction_of_zeros(folder: Path) -> Path:
    return replace(write(folder / "a.mha"), b"Matrix = 1 0 0 0 1 0 0 0 1", b"Matrix = 0 0 0 0 0 0 0 0 0")


@kind("more than the limit")
def meta_claims_a_billion_voxels(folder: Path) -> Path:
    i, j, k = SIZE_IJK
    return replace(write(folder / "a.mha"), f"DimSize = {i} {j} {k}".encode(), b"DimSize = 2000 2000 2000")


@kind(None)
def meta_compressed(folder: Path) -> Path:
    return write(folder / "a.mha", compress=True)


def _with_time(folder: Path, space: str) -> Path:
    """Four axes, the last of one frame, in a space with time."""
    i, j, k = SIZE_IJK
    header = (f"NRRD0005\ntype: short\ndimension: 4\nsizes: {i} {j} {k} 1\nendian: little\nencoding: raw\n"
              f"space: {space}\n"
              "space directions: (6,0,0,0) (0,6.5,0,0) (0,0,9,0) (0,0,0,1)\nspace origin: (-70,-90,-50,0)\n\n")
    (folder / "a.nrrd").write_bytes(header.encode() + head().tobytes())
    return folder / "a.nrrd"


@kind(None)
def nrrd_one_frame_in_ras(folder: Path) -> Path:
    return _with_time(folder, "right-anterior-superior-time")


@kind(None)
def nrrd_one_frame_in_ras_for_short(folder: Path) -> Path:
    return _with_time(folder, "RAST")


@kind(None)
def nrrd_space_of_the_scanner(folder: Path) -> Path:
    return replace(write(folder / "a.nrrd"), b"left-posterior-superior", b"scanner-xyz")


@kind(None)
def nrrd_lines_skipped(folder: Path) -> Path:
    i, j, k = SIZE_IJK
    (folder / "a.raw.gz").write_bytes(b"made up\nby hand\n" + gzip.compress(head().tobytes()))
    (folder / "a.nhdr").write_text(
        f"NRRD0005\ntype: short\ndimension: 3\nsizes: {i} {j} {k}\nendian: little\nencoding: gzip\nline skip: 2\n"
        "space: left-posterior-superior\nspace directions: (6,0,0) (0,6.5,0) (0,0,9)\nspace origin: (0,0,0)\n"
        "data file: a.raw.gz\n")
    return folder / "a.nhdr"


@kind("it ends after")
def meta_detached_data_cut(folder: Path) -> Path:
    made = write(folder / "a.mhd")
    cut(folder / "a.raw", 0.9)
    return made


def _with_field(folder: Path, field: bytes) -> Path:
    made = write(folder / "a.nrrd")
    content = made.read_bytes()
    made.write_bytes(content.replace(b"\nkinds:", b"\n" + field + b"\nkinds:", 1))
    return made


@kind("states its grid in cm, cm, cm, not in mm")
def nrrd_in_centimeters(folder: Path) -> Path:
    return _with_field(folder, b'space units: "cm" "cm" "cm"')


@kind(None)
def nrrd_says_millimeters(folder: Path) -> Path:
    return _with_field(folder, b'space units: "mm" "mm" "mm"')


@kind("is packed with bzip2")
def nrrd_packed_with_bzip2(folder: Path) -> Path:
    made = write(folder / "a.nrrd")
    content = made.read_bytes()
    made.write_bytes(content.replace(b"encoding: raw", b"encoding: bzip2", 1))
    return made


@kind("is damaged or not a valid MetaImage file (File cannot be read")
def meta_letters_cut(folder: Path) -> Path:
    (folder / "a.mha").write_bytes(
        b"NDims = 3\nDimSize = 2 2 2\nElementType = MET_SHORT\nTransformMatrix = 1 0 0 0 1 0 0 0 1\n"
        b"BinaryData = False\nElementDataFile = LOCAL\n1 2 3\n")
    return folder / "a.mha"


@kind("spells its voxels as text in another file")
def meta_letters_in_another_file(folder: Path) -> Path:
    made = replace(write(folder / "a.mhd"), b"BinaryData = True", b"BinaryData = False")
    (folder / "a.raw").write_text(" ".join(map(str, head().ravel())))
    return made


@kind(None)
def meta_letters(folder: Path) -> Path:
    made = replace(write(folder / "a.mha"), b"BinaryData = True", b"BinaryData = False")
    letters = " ".join(map(str, head().ravel())).encode()
    made.write_bytes(made.read_bytes().partition(b"LOCAL\n")[0] + b"LOCAL\n" + letters + b"\n")
    return made


@kind(None)
def meta_without_spacing(folder: Path) -> Path:
    return replace(write(folder / "a.mha"), b"ElementSpacing = 6 6.5 9\n", b"")


@kind(None)
def nrrd_without_spacing(folder: Path) -> Path:
    sizes = " ".join(map(str, SIZE_IJK)).encode()
    (folder / "a.nrrd").write_bytes(b"NRRD0004\ntype: short\ndimension: 3\nsizes: " + sizes
                                    + b"\nendian: little\nencoding: raw\n\n" + head().tobytes())
    return folder / "a.nrrd"


@kind("states its grid in um, um, um, not in mm")
def nrrd_axes_in_micrometers(folder: Path) -> Path:
    return _with_field(folder, b'units: "um" "um" "um"')


@kind("is a single slice in a space of more axes")
def nrrd_slice_in_a_space(folder: Path) -> Path:
    i, j, _ = SIZE_IJK
    header = (f"NRRD0005\ntype: short\ndimension: 2\nsizes: {i} {j}\nendian: little\nencoding: raw\n"
              "space: left-posterior-superior\nspace directions: (6,0,0) (0,0,-6.5)\nspace origin: (-70,-90,-50)\n\n")
    (folder / "a.nrrd").write_bytes(header.encode() + head()[5].tobytes())
    return folder / "a.nrrd"


@kind("states its grid in um, not in mm")
def meta_in_micrometers(folder: Path) -> Path:
    return replace(write(folder / "a.mha"), b"TransformMatrix", b"DistanceUnits = um\nTransformMatrix")


@kind("bytes of compressed data, and has")
def meta_without_the_size_of_its_packed_data(folder: Path) -> Path:
    """ITK would unpack the file from its header on."""
    made = write(folder / "a.mha", compress=True)
    lines = [line for line in made.read_bytes().split(b"\n", 30) if not line.startswith(b"CompressedDataSize")]
    made.write_bytes(b"\n".join(lines))
    return made
