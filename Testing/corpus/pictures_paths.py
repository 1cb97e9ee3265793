"""Pictures, and paths that are missing, strange, endless or not files at all."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
from PIL import Image

from .kinds import cut, head, kind, replace, write

_ORIENTATION, _PHOTOMETRIC = 274, 262


def gray() -> np.ndarray:
    """One slice of the head, 8 bits."""
    return (head((64, 60, 3))[1] / 4).clip(0, 255).astype(np.uint8)


def save(path: Path, array: np.ndarray, **options: int) -> Path:
    """Write a picture, with options of Pillow."""
    Image.fromarray(array).save(path, **options)
    return path


def hole(path: Path) -> Path:
    """Zeros for a block of the last fifth of a file."""
    content = path.read_bytes()
    at = len(content) * 4 // 5
    path.write_bytes(content[:at] + bytes(60) + content[at + 60 :])
    return path


def jpeg(folder: Path, old: bytes, new: bytes, **options: int) -> Path:
    """A JPEG with a part replaced; the first of several."""
    return replace(save(folder / "a.jpg", gray(), **options), old, new)


@kind(None)
def picture_gray_png(folder: Path) -> Path:
    return save(folder / "a.png", gray())


@kind(None)
def picture_16_bit_png(folder: Path) -> Path:
    return save(folder / "a.png", gray().astype(np.uint16) * 200)


@kind(None)
def picture_gray_jpeg(folder: Path) -> Path:
    return save(folder / "a.jpeg", gray())


@kind(None)
def picture_gray_tiff(folder: Path) -> Path:
    return save(folder / "a.tif", gray())


@kind(None)
def picture_gray_bmp(folder: Path) -> Path:
    return save(folder / "a.bmp", gray())


@kind(None)
def picture_rgb_of_gray(folder: Path) -> Path:
    return save(folder / "a.png", np.repeat(gray()[..., None], 3, axis=-1))


@kind("is a color picture")
def picture_color(folder: Path) -> Path:
    return save(folder / "a.png", np.stack([gray(), gray() // 2, gray()], axis=-1))


@kind("is a color picture")
def picture_annotated(folder: Path) -> Path:
    marked = np.repeat(gray()[..., None], 3, axis=-1)
    marked[10:14, 10:30] = (255, 255, 0)
    return save(folder / "a.jpg", marked)


@kind("is partly transparent")
def picture_half_transparent(folder: Path) -> Path:
    alpha = np.full(gray().shape, 255, np.uint8)
    alpha[:20] = 90
    return save(folder / "a.png", np.stack([gray(), gray(), gray(), alpha], axis=-1))


@kind(None)
def picture_opaque(folder: Path) -> Path:
    return save(folder / "a.png", np.stack([gray(), np.full_like(gray(), 255)], axis=-1))


@kind(None)
def picture_transparent_color(folder: Path) -> Path:
    return save(folder / "a.png", gray(), transparency=0)


@kind("is partly transparent")
def picture_half_transparent_gray(folder: Path) -> Path:
    alpha = np.full_like(gray(), 255)
    alpha[:20] = 90
    return save(folder / "a.png", np.stack([gray(), alpha], axis=-1))


@kind(None)
def picture_pages(folder: Path) -> Path:
    pages = [Image.fromarray(gray()) for _ in range(3)]
    pages[0].save(folder / "a.tif", save_all=True, append_images=pages[1:])
    return folder / "a.tif"


@kind("differ in size")
def picture_pages_of_two_sizes(folder: Path) -> Path:
    pages = [Image.fromarray(gray()), Image.fromarray(gray()[:40])]
    pages[0].save(folder / "a.tif", save_all=True, append_images=pages[1:])
    return folder / "a.tif"


@kind(None)
def picture_turned_tiff(folder: Path) -> Path:
    """A camera held sideways, not compressed."""
    Image.fromarray(gray()).save(folder / "a.tif", tiffinfo={_ORIENTATION: 6})
    return folder / "a.tif"


@kind(None)
def picture_white_is_zero(folder: Path) -> Path:
    """16 bits, turned over."""
    Image.fromarray(65535 - gray().astype(np.uint16)).save(folder / "a.tif", tiffinfo={_PHOTOMETRIC: 0})
    return folder / "a.tif"


@kind("are of a kind that is not read")
def picture_of_64_bit_floats(folder: Path) -> Path:
    made = sitk.GetImageFromArray(gray().astype(np.float32))
    sitk.WriteImage(made, str(folder / "a.tif"))
    return replace(folder / "a.tif", struct.pack("<HHII", 258, 3, 1, 32), struct.pack("<HHII", 258, 3, 1, 64))


@kind("is damaged or not a valid PNG file")
def picture_png_cut(folder: Path) -> Path:
    return cut(save(folder / "a.png", gray()), 0.6)


@kind("is damaged or not a valid JPEG file")
def picture_jpeg_cut(folder: Path) -> Path:
    return cut(save(folder / "a.jpg", gray()), 0.5)


@kind(None)
def picture_jpeg_progressive(folder: Path) -> Path:
    return save(folder / "a.jpg", gray(), progressive=True)


@kind(None)
def picture_jpeg_restart_marks(folder: Path) -> Path:
    return save(folder / "a.jpg", gray(), restart_marker_blocks=5)


@kind(None)
def picture_jpeg_color_space(folder: Path) -> Path:
    return save(folder / "a.jpg", np.repeat(gray()[..., None], 3, axis=-1), subsampling=2)


@kind(None)
def picture_jpeg_followed_by_another(folder: Path) -> Path:
    made = save(folder / "a.jpg", gray())
    made.write_bytes(made.read_bytes() + made.read_bytes()[:500])
    return made


@kind(None)  # a JPEG has no checksum
def picture_jpeg_hole(folder: Path) -> Path:
    return hole(save(folder / "a.jpg", gray()))


@kind(None)  # a JPEG has no checksum
def picture_jpeg_progressive_hole(folder: Path) -> Path:
    return hole(save(folder / "a.jpg", gray(), progressive=True))


@kind(None)  # a JPEG has no checksum
def picture_jpeg_cut_and_ended(folder: Path) -> Path:
    made = cut(save(folder / "a.jpg", gray()), 0.7)
    made.write_bytes(made.read_bytes() + b"\xff\xd9")
    return made


@kind(None)  # a JPEG has no checksum
def picture_jpeg_restart_mark_lost(folder: Path) -> Path:
    return jpeg(folder, b"\xff\xd3", b"", restart_marker_blocks=5)


@kind(None)  # a JPEG has no checksum
def picture_jpeg_taller_than_its_data(folder: Path) -> Path:
    return jpeg(folder, struct.pack(">HH", 60, 64), struct.pack(">HH", 600, 64))


@kind("is damaged or not a valid JPEG file")
def picture_jpeg_header_cut(folder: Path) -> Path:
    return cut(save(folder / "a.jpg", gray()), 0.1)


@kind(None)  # the usual tables are meant
def picture_jpeg_without_tables(folder: Path) -> Path:
    return jpeg(folder, b"\xff\xc4", b"\xff\xef")


@kind("is damaged or not a valid JPEG file")
def picture_jpeg_without_a_scan(folder: Path) -> Path:
    return jpeg(folder, b"\xff\xda", b"\xff\xef")


@kind("is damaged or not a valid JPEG file")
def picture_jpeg_12_bit(folder: Path) -> Path:
    return jpeg(folder, b"\xff\xc0\x00\x0b\x08", b"\xff\xc0\x00\x0b\x0c")


@kind("is damaged or not a valid JPEG file")
def picture_jpeg_lossless(folder: Path) -> Path:
    return jpeg(folder, b"\xff\xc0", b"\xff\xc3")


@kind("more than the limit")
def picture_jpeg_claims_a_billion_pixels(folder: Path) -> Path:
    return jpeg(folder, struct.pack(">HH", 60, 64), struct.pack(">HH", 40000, 40000))


@kind("the JPEG signature is missing")
def picture_png_named_jpeg(folder: Path) -> Path:
    return save(folder / "a.png", gray()).rename(folder / "a.jpg")


@kind("is damaged or not a valid BMP file")
def picture_bmp_cut(folder: Path) -> Path:
    return cut(save(folder / "a.bmp", gray()), 0.5)


@kind("is damaged or not a valid TIFF file")
def picture_tiff_cut(folder: Path) -> Path:
    return cut(save(folder / "a.tif", gray()), 0.5)


@kind("is damaged or not a valid JPEG file")
def picture_is_text(folder: Path) -> Path:
    (folder / "a.jpg").write_text("no picture" * 30)
    return folder / "a.jpg"


@kind("more than the limit")
def picture_claims_a_billion_pixels(folder: Path) -> Path:
    made = save(folder / "a.png", gray())
    content = bytearray(made.read_bytes())
    struct.pack_into(">2I", content, 16, 40000, 40000)
    struct.pack_into(">I", content, 29, zlib.crc32(bytes(content[12:29])))
    made.write_bytes(bytes(content))
    return made


@kind("has only 3 x 3 x 1 voxels")
def picture_of_nine_pixels(folder: Path) -> Path:
    return save(folder / "a.png", gray()[:3, :3])


@kind("same value")
def picture_black(folder: Path) -> Path:
    return save(folder / "a.png", gray() * 0)


@kind("of no supported format")
def path_unknown_format(folder: Path) -> Path:
    (folder / "report.pdf").write_bytes(b"%PDF-1.7 ...")
    return folder / "report.pdf"


@kind("There is no file or folder")
def path_missing(folder: Path) -> Path:
    return folder / "missing.nii.gz"


@kind("There is no file or folder")
def path_url(folder: Path) -> str:
    return "https://example.org/scan.nii.gz"


@kind("cannot be opened")
def path_loop_of_links(folder: Path) -> Path:
    (folder / "a.nii").symlink_to(folder / "b.nii")
    (folder / "b.nii").symlink_to(folder / "a.nii")
    return folder / "a.nii"


@kind("There is no file or folder")
def path_dangling_link(folder: Path) -> Path:
    (folder / "a.nii").symlink_to(folder / "gone.nii")
    return folder / "a.nii"


@kind(None)
def path_link(folder: Path) -> Path:
    (folder / "a.nii").symlink_to(write(folder / "b.nii"))
    return folder / "a.nii"


@kind("is not a regular file")
def path_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "a.nii")
    return folder / "a.nii"


@kind("holds no DICOM images")
def path_folder_named_like_a_file(folder: Path) -> Path:
    (folder / "a.nii").mkdir()
    return folder / "a.nii"


@kind("cannot be opened")
def path_name_too_long(folder: Path) -> Path:
    return folder / ("a" * 400 + ".nii")


@kind("cannot be opened")
def path_null_byte(folder: Path) -> str:
    return f"{folder}/a\0.nii"


@kind("is not valid UTF-8")
def path_not_utf8(folder: Path) -> Path:
    return write(folder / "a.nii").rename(folder / os.fsdecode(b"scan \xff.nii"))


@kind(None)
def path_unicode(folder: Path) -> Path:
    (folder / "Пациент 患者").mkdir()
    return write(folder / "Пациент 患者" / "головной мозг ü.nii.gz")


@kind(None)
def path_spaces_and_signs(folder: Path) -> Path:
    (folder / "a #1 & (b) 100%").mkdir()
    return write(folder / "a #1 & (b) 100%" / "scan #2 'x' [1].nrrd")


@kind(None)
def path_very_long(folder: Path) -> Path:
    deep = folder
    for _ in range(10):
        deep = deep / ("folder" * 12)
    deep.mkdir(parents=True)
    return write(deep / ("n" * 200 + ".nii"))


@kind("is packed")
def path_packed_folder(folder: Path) -> Path:
    (folder / "scan").mkdir()
    write(folder / "scan" / "a.nii")
    return Path(shutil.make_archive(str(folder / "scan"), "zip", folder / "scan"))


def _of_kind(folder: Path, values: np.ndarray, sample_format: int) -> Path:
    """A plain TIFF of integers; 1: without, 2: with a sign."""
    data, (rows, columns), start = values.tobytes(), values.shape, 8 + 2 + 10 * 12 + 4
    tags = [(256, columns), (257, rows), (258, 8 * values.itemsize), (259, 1), (262, 1), (273, start), (277, 1),
            (278, rows), (279, len(data))]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in [*tags, (339, sample_format)])
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags) + 1) + entries
    (folder / "a.tif").write_bytes(head + bytes(4) + data)
    return folder / "a.tif"


@kind(None)
def picture_of_signed_bytes(folder: Path) -> Path:
    return _of_kind(folder, (gray() // 8 - 16).astype("<i1"), 2)


@kind(None)
def picture_of_32_bits_above_the_middle(folder: Path) -> Path:
    return _of_kind(folder, gray().astype("<u4") << 24, 1)
