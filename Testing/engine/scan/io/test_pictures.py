"""Pictures: gray values as they are stored, upright, from every mode; what is no gray picture is told why."""

import numpy as np
import pytest
from corpus.pictures_paths import gray, save
from hrcam.errors import InputError
from hrcam.scan.volume import read_volume
from PIL import Image


def stack(*channels):
    return np.stack(channels, axis=-1)


OPAQUE = np.full_like(gray(), 255)


@pytest.mark.parametrize("array", [
    gray(), gray().astype(np.uint16) * 200, gray() > 60, stack(gray(), OPAQUE), stack(gray(), gray(), gray()),
    stack(gray(), gray(), gray(), OPAQUE),
], ids=["8 bits", "16 bits", "1 bit", "opaque", "equal colors", "opaque equal colors"])
def test_a_png_of_gray_gives_its_values(tmp_path, array):
    expected = array[..., 0] if array.ndim == 3 else array
    assert np.array_equal(read_volume(save(tmp_path / "a.png", array)).array[0], expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
def test_a_tiff_of_any_type_gives_its_values(tmp_path, dtype):
    values = gray().astype(dtype) * dtype(1.5)
    assert np.array_equal(read_volume(save(tmp_path / "a.tif", values)).array[0], values)


def test_a_palette_of_grays_gives_the_grays(tmp_path):
    Image.fromarray(gray()).convert("P").save(tmp_path / "a.png")
    assert np.array_equal(read_volume(tmp_path / "a.png").array[0], gray())


def test_pages_of_a_tiff_are_slices(tmp_path):
    pages = [Image.fromarray(gray() // n) for n in (1, 2, 3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert np.array_equal(read_volume(tmp_path / "a.tif").array, [np.asarray(page) for page in pages])


@pytest.mark.parametrize(("orientation", "turn"), [
    (1, lambda a: a), (3, lambda a: a[::-1, ::-1]), (6, lambda a: a.T[:, ::-1]),
])
def test_a_picture_is_turned_upright_as_its_exif_data_say(tmp_path, orientation, turn):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(gray()).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_volume(tmp_path / "a.png").array[0], turn(gray()))


def test_colors_of_16_bits_are_not_read_as_8(tmp_path):
    import struct
    import zlib

    rows = b"".join(b"\0" + np.repeat(row.astype(">u2") * 200, 3).tobytes() for row in gray())

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">2I5B", gray().shape[1], gray().shape[0], 16, 2, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows))
                                     + chunk(b"IEND", b""))
    with pytest.raises(InputError, match="16 bits a color"):
        read_volume(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif"])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.95])
def test_a_picture_cut_short_is_refused_and_nothing_is_printed(tmp_path, capfd, name, kept):
    path = save(tmp_path / name, gray())
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(InputError, match="is damaged or not a valid"):
        read_volume(path)
    assert capfd.readouterr() == ("", "")
