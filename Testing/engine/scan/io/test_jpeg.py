"""JPEGs: every code is followed, in each way that a picture may be coded; what breaks the codes is seen."""

import io
import itertools

import numpy as np
import pytest
from hrcam.errors import InputError
from hrcam.scan.io import jpeg
from hrcam.scan.io.jpeg import check_jpeg
from hrcam.scan.volume import read_volume
from PIL import Image

RESTARTS = ({}, {"restart_marker_blocks": 3}, {"restart_marker_rows": 1})


def picture(mode="L", size=(47, 61), **options):
    """A textured picture as a JPEG."""
    y, x = np.mgrid[: size[0], : size[1]]
    values = 127 + 90 * np.sin(x / 7) * np.cos(y / 11) + np.random.default_rng(0).normal(0, 12, size)
    gray = values.clip(0, 255).astype(np.uint8)
    bands = {"L": gray, "RGB": np.stack([gray, gray[::-1], gray[:, ::-1]], -1), "CMYK": np.stack([gray] * 4, -1)}
    file = io.BytesIO()
    Image.fromarray(bands[mode], mode).save(file, "JPEG", **options)
    return file.getvalue()


def scan_of(content):
    """Where the data of the last scan begin and end."""
    return content.rindex(b"\xff\xda") + 20, len(content) - 2


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_every_way_of_coding_passes(mode, progressive):
    shapes = {"RGB": [{"subsampling": n} for n in (0, 1, 2)]}.get(mode, [{}])
    for quality, optimize, shape, restart in itertools.product((1, 75, 98), (False, True), shapes, RESTARTS):
        check_jpeg(picture(mode, quality=quality, optimize=optimize, progressive=progressive, **shape, **restart))


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (9, 200), (200, 9)])
def test_every_size_passes(size):
    for mode, progressive in itertools.product(("L", "RGB"), (False, True)):
        check_jpeg(picture(mode, size, progressive=progressive))


@pytest.mark.parametrize("progressive", [False, True])
def test_long_scans_are_followed_in_pieces(progressive, monkeypatch):
    content = picture("RGB", (64, 64), quality=90, progressive=progressive)
    monkeypatch.setattr(jpeg, "_PIECE", 64)
    check_jpeg(content)
    begin, end = scan_of(content)
    assert end - begin > 256
    with pytest.raises(ValueError, match="corrupt"):
        check_jpeg(content[: end - 100] + bytes(60) + content[end - 40 :])


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_nearly_all_noise_in_the_data_is_seen(mode, progressive):
    """What follows it may by chance end in the last byte again."""
    content = picture(mode, (96, 96), progressive=progressive)
    begin, end = scan_of(content)
    places = range(begin, end - 64, 40)
    seen, noise = 0, np.random.default_rng(1).integers(0, 255, 64, np.uint8).tobytes()
    for at in places:
        try:
            check_jpeg(content[:at] + noise + content[at + 64 :])
        except ValueError:
            seen += 1
    assert seen >= 0.8 * len(places)


@pytest.mark.parametrize("progressive", [False, True])
def test_data_that_end_early_are_seen_even_with_a_mark_of_their_end(progressive):
    content = picture(progressive=progressive)
    begin, end = scan_of(content)
    for at in range(begin, end - 1, 7):
        for mark in (b"", b"\xff\xd9"):
            with pytest.raises(ValueError, match=r"corrupt|missing"):
                check_jpeg(content[:at].rstrip(b"\xff") + mark)


def test_a_restart_mark_behind_the_last_block_does_no_harm():
    content = picture(restart_marker_blocks=3)
    check_jpeg(content[:-2] + b"\xff\xd0" + content[-2:])


def test_bytes_after_the_last_code_are_seen_unless_they_are_padding():
    content = picture()
    check_jpeg(content[:-2] + bytes(5) + content[-2:])
    with pytest.raises(ValueError, match="corrupt"):
        check_jpeg(content[:-2] + b"12345" + content[-2:])


@pytest.mark.parametrize(("old", "new", "words"), [
    (b"\xff\xc0\x00\x0b", b"\xff\xc0\x00\x0a", "corrupt"),
    (b"\xff\xda\x00\x08\x01\x01", b"\xff\xda\x00\x08\x01\x07", "corrupt"),
    (b"\xff\xda\x00\x08\x01", b"\xff\xda\x00\x08\x04", "corrupt"),
    (b"\xff\xda", b"\xff\xc0\x00\x0b\x08\x00\x3d\x00\x2f\x01\x01\x11\x00\xff\xda", "not read"),
    (b"\xff\xc0\x00\x0b\x08\x00\x2f", b"\xff\xc0\x00\x0b\x08\x00\x00", "corrupt"),
    (b"\xff\xc4\x00", b"\xff\xc4\xff", "end is missing"),
    (b"\xff\xc4\x00\x1f", b"\xff\xc4\x00\x1e", "corrupt"),
    (b"\x00\x1f\x00\x00\x01\x05", b"\x00\x1f\x00\x03\x01\x05", "corrupt"),
    (b"\x00\x1f\x00\x00\x01\x05", b"\x00\x1f\x05\x00\x01\x05", "corrupt"),
])
def test_headers_that_contradict_the_data_are_refused(old, new, words):
    content = picture()
    assert old in content
    with pytest.raises(ValueError, match=words):
        check_jpeg(content.replace(old, new, 1))


def test_a_bomb_of_scans_is_left_soon():
    """A few bytes end the band of all blocks; thousands of such scans would take hours."""
    content = picture(progressive=True)
    at = content.index(b"\xff\xda")
    first = content[at : content.index(b"\xff\xda", at + 2)]
    check_jpeg(content[:at] + first * 100 + content[at:])
    with pytest.raises(ValueError, match="more than 200 scans"):
        check_jpeg(content[:at] + first * 300 + content[at:])


def test_a_damaged_picture_is_refused_before_its_reader_prints(tmp_path, capfd):
    content = picture()
    end = scan_of(content)[1]
    (tmp_path / "a.jpg").write_bytes(content[: end - 90] + bytes(60) + content[end - 30 :])
    with pytest.raises(InputError, match="damaged or not a valid JPEG file"):
        read_volume(tmp_path / "a.jpg")
    assert capfd.readouterr() == ("", "")


def test_a_change_that_keeps_the_codes_in_step_goes_unseen():
    """The limit of the check: a JPEG has no checksum. Here the first step of quantization is another."""
    content = bytearray(picture())
    content[content.index(b"\xff\xdb") + 5] += 1
    check_jpeg(bytes(content))
