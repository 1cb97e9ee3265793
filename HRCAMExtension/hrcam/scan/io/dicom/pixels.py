"""The values of a stack's pixels: stored numbers, decoded and scaled as each frame states."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk  # noqa: N813 - its customary name
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid

from ....errors import InputError
from ....words import reason, shown
from ..damage import damaged
from ..itk import read_header as read_itk_header
from ..itk import read_voxels
from .compressed import whole_fragments
from .dataset import FALSE_LENGTH, GE_BIG_ENDIAN_PIXELS, read_header
from .frames import Frame, ImageFile

Array = npt.NDArray[Any]

_UNDEFINED = 0xFFFFFFFF
_DECODED_BY_GDCM = {
    pydicom.uid.JPEGBaseline8Bit, pydicom.uid.JPEGExtended12Bit, pydicom.uid.JPEGLossless, pydicom.uid.JPEGLosslessSV1,
    pydicom.uid.JPEGLSLossless, pydicom.uid.JPEGLSNearLossless, pydicom.uid.JPEG2000Lossless, pydicom.uid.JPEG2000,
    pydicom.uid.RLELossless,
}
_TABLES = [f"{color}PaletteColorLookupTable{part}" for color in ("Red", "Green", "Blue")
           for part in ("Descriptor", "Data")]


def read_pixels(frames: tuple[Frame, ...]) -> Array:
    """Values of frames KJI, float32; with a fourth axis of colors where the pixels have several, as they are stored.

    Padding ("what was not scanned") has the lowest value of all other pixels. Raises ``InputError`` for pixels that
    cannot be decoded.
    """
    files: dict[str, ImageFile] = {frame.file.path: frame.file for frame in frames}
    if any(file.colored for file in files.values()):
        decoded = {path: _decoded(file) for path, file in files.items()}
        return np.stack([decoded[frame.file.path][frame.index] for frame in frames])
    first = frames[0].file
    values = np.empty((len(frames), first.rows, first.columns), np.float32)
    padded = np.zeros(values.shape, bool) if any(file.padding for file in files.values()) else None
    places: dict[str, list[int]] = {}
    for place, frame in enumerate(frames):
        places.setdefault(frame.file.path, []).append(place)
    for path, file in files.items():
        stored = _stored(file)
        for place in places[path]:
            frame = frames[place]
            own = stored[frame.index]
            if padded is not None and file.padding is not None:
                padded[place] = (own >= file.padding[0]) & (own <= file.padding[1])
            if file.photometric == "MONOCHROME1":
                own = _inverted(own, file)
            values[place] = own * frame.slope + frame.intercept  # in double precision
    if padded is not None and padded.any() and not padded.all():
        values[padded] = values[~padded].min()
    return values


def _inverted(stored: Array, file: ImageFile) -> Array:
    """MONOCHROME1 shows low values bright: the range of the stored bits is turned over, as GDCM does."""
    if file.element != "PixelData":
        return -stored
    ends = -1 if file.signed else (1 << file.stored) - 1
    return ends - stored.astype(np.int64)


def _stored(file: ImageFile) -> Array:
    """Numbers as they are stored, frames x rows x columns."""
    if file.length == _UNDEFINED or file.bits not in (8, 16, 32, 64):
        return _decoded(file)
    with _opened(file) as stream:
        stream.seek(max(0, file.begin))
        needed = file.count * file.rows * file.columns * file.bits // 8
        needed += needed % 2 * file.swapped
        content = stream.read(needed) if file.begin >= 0 else _inflated(file)[:needed]
    if len(content) < needed:
        raise damaged(Path(file.path), FALSE_LENGTH)
    big = file.syntax == pydicom.uid.ExplicitVRBigEndian or file.syntax == GE_BIG_ENDIAN_PIXELS
    kind = "f" if file.element != "PixelData" else "i" if file.signed else "u"
    if file.swapped:
        content = np.frombuffer(content, "u2").byteswap().tobytes()[: file.count * file.rows * file.columns]
    values = np.frombuffer(content, f"{'>' if big else '<'}{kind}{file.bits // 8}")
    values = values.reshape(file.count, file.rows, file.columns)
    if kind == "f" or file.stored == file.bits:
        return values
    # Bits above the highest one may hold overlays; shifting them out and back extends the sign.
    native = values.astype(values.dtype.newbyteorder("="))
    return (native << (file.bits - 1 - file.high)) >> (file.bits - file.stored)


def _opened(file: ImageFile) -> BinaryIO:
    try:
        return Path(file.path).open("rb")
    except OSError as error:
        raise InputError(f'"{shown(file.path)}" cannot be read: {reason(error)}.', "Check its permissions.") from None


def _inflated(file: ImageFile) -> bytes:
    dataset = read_header(Path(file.path))
    return bytes(dataset[file.element].value) if dataset is not None else b""


def _decoded(file: ImageFile) -> Array:
    """Numbers of compressed pixels and of colors, frames x rows x columns (x colors)."""
    path = Path(file.path)
    if file.syntax.is_encapsulated and file.syntax not in _DECODED_BY_GDCM:
        return _decoded_by_pydicom(file)
    with tempfile.TemporaryDirectory(prefix="hrcam-") as folder:
        plain = Path(folder) / "plain.dcm"
        _write_plain(file, plain)
        try:
            image = read_voxels(read_itk_header(plain, "GDCMImageIO"), plain)
        except InputError as error:
            if file.colored:
                raise InputError(f'"{shown(path.name)}" is a color picture ({file.photometric}).',
                                 "Give a gray-scale image without annotations.") from None
            raise damaged(path, error.message.partition("(")[2].rstrip(".)") or FALSE_LENGTH) from None
    values: Array = sitk.GetArrayFromImage(image)
    shape = (file.count, file.rows, file.columns)
    if values.shape[:3] != shape and values.size % int(np.prod(shape)) == 0:
        values = values.reshape(*shape, -1)
        values = values[..., 0] if values.shape[-1] == 1 else values
    if values.shape[:3] != shape:
        raise damaged(path, FALSE_LENGTH)
    return values


def _write_plain(file: ImageFile, plain: Path) -> None:
    """A copy that holds the pixels and what explains them alone, so that GDCM scales nothing and meets no surprise."""
    meta = FileMetaDataset()
    meta.FileMetaInformationGroupLength = 0
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    compressed = file.length == _UNDEFINED
    meta.TransferSyntaxUID = file.syntax if compressed else pydicom.uid.ExplicitVRLittleEndian
    meta.ImplementationClassUID = pydicom.uid.PYDICOM_IMPLEMENTATION_UID
    copy = FileDataset(str(plain), {}, file_meta=meta, preamble=bytes(128), is_implicit_VR=False,
                       is_little_endian=True)
    copy.SOPClassUID, copy.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    copy.SamplesPerPixel, copy.PhotometricInterpretation = file.channels, file.photometric
    if file.photometric == "MONOCHROME1":
        copy.PhotometricInterpretation = "MONOCHROME2"  # it is turned over here, or not at all
    copy.NumberOfFrames, copy.Rows, copy.Columns = file.count, file.rows, file.columns
    copy.BitsAllocated, copy.BitsStored, copy.HighBit = file.bits, file.stored, file.high
    copy.PixelRepresentation = int(file.signed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = read_header(Path(file.path), everything=True) or Dataset()
        for keyword in ("PlanarConfiguration", *_TABLES):
            if keyword in whole:
                copy[keyword] = whole[keyword]
        with _opened(file) as stream:
            if compressed:
                stream.seek(file.begin)
                copy.PixelData = whole_fragments(stream, file)
            else:
                copy.PixelData = whole[file.element].value
        copy["PixelData"].VR = "OB" if compressed or file.bits <= 8 else "OW"
        copy["PixelData"].is_undefined_length = compressed
        copy.save_as(plain)


def _decoded_by_pydicom(file: ImageFile) -> Array:
    """Rarer syntaxes, for which pydicom may have a decoder installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = np.asarray(pydicom.dcmread(file.path).pixel_array)
    except Exception:  # pydicom raises whatever a decoder raises
        raise InputError(f'The pixels of "{shown(Path(file.path).name)}" are coded as {file.syntax.name}, which is '
                         "not read.", "Convert it to an uncompressed series, to JPEG 2000 or to JPEG-LS.") from None
    return values.reshape(file.count, file.rows, file.columns, *values.shape[values.ndim - 1 :] * (file.channels > 1))
