"""Input of some 190 kinds: each bad one gives one clear sentence, each good one is read; flipped bytes do no worse."""

import pytest
from corpus.dicom import series, slice_file
from corpus.dicom_elements import in_syntax, one_slice
from corpus.kinds import write
from corpus.make import KINDS, main
from corpus.pictures_paths import gray, save
from corpus.reading import read_or_refuse
from hrcam.cli import app as cli
from hrcam.errors import InputError
from hrcam.scan.volume import Volume, discover, read_volume, to_sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_input_is_read_or_refused_in_words(tmp_path, kind):
    path = kind.make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    outcome = read_or_refuse(path)
    if kind.says is None:
        assert isinstance(outcome, Volume), outcome
    else:
        assert isinstance(outcome, InputError) and kind.says in outcome.message
    assert sorted(tmp_path.rglob("*")) == before


TWO_GOOD_SCANS = ("dicom_two_series", "dicom_enhanced_two_files")
"""Folders that are refused, but for a batch are two cases."""


def test_all_bad_kinds_in_one_call_leave_one_error_each_and_the_good_scan_done(
    tmp_path, capsys, bright_blob_bundle, blob_volume
):
    bad = []
    for kind in KINDS.values():
        if kind.says is not None and kind.name not in TWO_GOOD_SCANS:
            (tmp_path / kind.name).mkdir()
            bad.append(str(kind.make(tmp_path / kind.name)))
    scan = blob_volume()
    good = write(tmp_path / "good.nii.gz", to_sitk(scan.array, scan.geometry))
    out = tmp_path / "out"
    code = cli.main(["localize", *bad[:50], str(good), *bad[50:], "--model", str(bright_blob_bundle.path),
                     "--out", str(out), "--device", "cpu", "--no-overview"])
    errors = capsys.readouterr().err
    assert code == 1
    assert errors.count("Error:") == len(bad) and "Unexpected" not in errors and "Traceback" not in errors
    assert out.is_dir() and all(path.name.startswith("good_") for path in out.iterdir())
    assert (out / "good_result.json").is_file()


def test_there_are_at_least_sixty_bad_kinds():
    assert sum(kind.says is not None for kind in KINDS.values()) >= 60


def test_the_script_writes_all_kinds_and_their_manifest(tmp_path, capsys):
    assert main([str(tmp_path / "corpus")]) == 0
    assert f"{len(KINDS)} kinds" in capsys.readouterr().out
    assert (tmp_path / "corpus" / "manifest.json").is_file()
    found = discover([tmp_path / "corpus"])
    assert len(found) > 100 and len({case.name.lower() for case in found}) == len(found)
    assert main([]) == 2


def test_a_file_that_vanishes_between_search_and_reading(tmp_path):
    path = write(tmp_path / "a.nii")
    (case,) = discover([tmp_path])
    path.unlink()
    with pytest.raises(InputError, match="There is no file or folder"):
        read_volume(case.path)


@pytest.mark.parametrize(("place", "value"), [(24, 18), (20, 3), (28, 32), (12, 200)])
def test_a_bmp_that_states_more_pixels_than_it_has_is_refused(tmp_path, place, value):
    """ITK would fill a larger picture with what it read last: rows, columns, bits a pixel, start of the pixels."""
    path = save(tmp_path / "a.bmp", gray())
    content = bytearray(path.read_bytes())
    content[place] = value
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a valid BMP file"):
        read_volume(path)


@pytest.mark.parametrize("length", [20, 40])
def test_a_bmp_cut_short_in_its_headers_is_refused_too(tmp_path, length):
    path = save(tmp_path / "a.bmp", gray())
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match="not a valid BMP file"):
        read_volume(path)


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    """Valid files of each format, as bytes."""
    folder = tmp_path_factory.mktemp("valid")
    files = [write(folder / name) for name in ("a.nii", "a.nii.gz", "a.nrrd", "a.mha")]
    files += [write(folder / name, compress=True) for name in ("z.nrrd", "z.mha")]
    files += [save(folder / name, gray()) for name in ("a.png", "a.jpg", "a.bmp", "a.tif")]
    files.append(save(folder / "progressive.jpg", gray(), progressive=True))
    files.append(slice_file(series(folder / "series"), 3))
    files += [one_slice(folder / name, in_syntax(syntax)) for name, syntax in (
        ("implicit", ImplicitVRLittleEndian), ("runs", RLELossless), ("deflated", DeflatedExplicitVRLittleEndian))]
    return [(file.name, file.read_bytes()) for file in files]


@given(data=st.data())
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flipped_and_missing_bytes_never_do_worse_than_an_input_error(valid, tmp_path, data):
    name, content = data.draw(st.sampled_from(valid))
    garbled = bytearray(content)
    header = min(len(content), 600) - 1
    for _ in range(data.draw(st.integers(0, 6))):
        place = data.draw(st.one_of(st.integers(0, header), st.integers(0, len(content) - 1)))
        garbled[place] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del garbled[data.draw(st.integers(0, len(content))):]
    path = tmp_path / name
    path.write_bytes(bytes(garbled))
    read_or_refuse(path)
    path.unlink()  # a DICOM file is read with those beside it
