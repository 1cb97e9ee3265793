"""What a file's header leaves open is said; what it states wrongly never ends the process."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from corpus.dicom import series
from corpus.kinds import replace, write
from corpus.make import KINDS
from corpus.nifti import patch, srow
from corpus.reading import read_or_refuse
from hrcam.errors import InputError
from hrcam.scan.checks import check_fit
from hrcam.scan.volume import read_volume
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FINE = SimpleNamespace(metadata={
    "modality": "MR T1", "input": {"planes": ["axial"], "size": [112, 112], "spacing_mm": 2.0}})
SIDES, SIZES = "left and right may be swapped", "voxel sizes that contradict"
WORDS = [b"-1", b"0", b"-3", b"99", b"1000000000", b"2147483648", b"4294967297", b"18446744073709551617", b"nan",
         b"inf", b"1e308", b"", b"x" * 3000, b"%n%s", b"\0", b"none", b"()", b"LOCAL", b"MET_SHORT_ARRAY", b"block",
         b"True"]
"""What a broken or hostile header may hold instead of any of its words."""


def quaternion(path, b, c, d, fac=1.0):
    patch(path, 252, "h", 1)
    patch(path, 76, "f", fac)
    return patch(path, 256, "3f", b, c, d)


@pytest.mark.parametrize(("name", "change", "words"), [
    ("a.nii", lambda path: path, ()),
    ("a.nii", lambda path: patch(path, 252, "hh", 0, 0), (SIDES,)),
    ("a.nii", lambda path: patch(path, 252, "hh", 1, 0), ()),
    ("a.nii", lambda path: srow(path, [[6, 0, 0, 0], [0, 6.5, 0, 0], [0, 0, 9, 0]]), ()),
    ("a.nii", lambda path: srow(path, [[3, 0, 0, 0], [0, 6.5, 0, 0], [0, 0, 9, 0]]), (SIZES,)),
    ("a.nii", lambda path: quaternion(srow(path, [[6, 0, 0, 0], [0, 6.5, 0, 0], [0, 0, 9, 0]]), 0, 0, 0), ()),
    ("a.nii", lambda path: quaternion(srow(path, [[-6, 0, 0, 0], [0, 6.5, 0, 0], [0, 0, 9, 0]]), 0, 0, 0), (SIDES,)),
    ("a.nii", lambda path: quaternion(srow(path, [[-6, 0, 0, 0], [0, 6.5, 0, 0], [0, 0, 9, 0]]), 0, 1, 0, -1), ()),
    ("a.nii", lambda path: quaternion(srow(path, [[0, 0, 9, 0], [6, 0, 0, 0], [0, 6.5, 0, 0]]), .5, .5, .5), ()),
    ("a.nrrd", lambda path: path, ()),
    ("a.nrrd", lambda path: replace(path, b"space: left-posterior-superior", b"space dimension: 3"), (SIDES,)),
    ("a.mha", lambda path: path, ()),
    ("a.mha", lambda path: replace(path, b"TransformMatrix", b"Comment"), (SIDES,)),
])
def test_what_a_header_leaves_open_becomes_a_warning(tmp_path, name, change, words):
    volume = read_volume(change(write(tmp_path / name)))
    assert len(volume.notes) == len(words)
    assert all(word in note for word, note in zip(words, volume.notes, strict=True))
    assert list(volume.notes) == check_fit(volume, FINE)[: len(words)]


def test_a_flat_nifti_has_no_third_spacing_to_contradict(tmp_path):
    path = write(tmp_path / "a.nii", np.random.default_rng(0).integers(0, 900, (40, 40)).astype(np.int16))
    patch(path, 88, "f", 0)
    assert read_volume(srow(path, [[6, 0, 0, 0], [0, 6.5, 0, 0], [0, 0, 1, 0]])).notes == ()


def test_a_slice_of_dicom_without_orientation_says_so(tmp_path):
    def forget(dataset, index):
        del dataset.ImageOrientationPatient, dataset.ImagePositionPatient

    (note,) = read_volume(series(tmp_path / "unknown", forget, count=1)).notes
    assert SIDES in note
    assert read_volume(series(tmp_path / "known", count=1)).notes == ()


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Headers of words, as (name, header, voxels)."""
    folder = tmp_path_factory.mktemp("texts")
    found = []
    for name, packed in (("a.nrrd", False), ("z.nrrd", True), ("a.mha", False), ("z.mha", True)):
        content = write(folder / name, compress=packed).read_bytes()
        end = content.index(b"\n\n") + 2 if name.endswith("nrrd") else content.index(b"LOCAL\n") + 6
        found.append((name, content[:end], content[end:]))
    return found


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_words_of_a_header_replaced_at_random_never_end_the_process(texts, tmp_path, data):
    name, header, voxels = data.draw(st.sampled_from(texts))
    for _ in range(data.draw(st.integers(1, 3))):
        places = [match.span() for match in re.finditer(rb"[\w.+-]+", header)]
        first, end = data.draw(st.sampled_from(places))
        header = header[:first] + data.draw(st.sampled_from(WORDS)) + header[end:]
    path = tmp_path / name
    path.write_bytes(header + voxels)
    read_or_refuse(path)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="Linux alone lists the open files of a process")
def test_a_refused_file_stays_not_open(tmp_path):
    """ITK's NRRD reader leaves a data file open that is too short: a long-running worker would run out of them."""
    path = KINDS["nrrd_data_file_cut"].make(tmp_path)
    for _ in range(2):
        with pytest.raises(InputError, match="it ends after"):
            read_volume(path)
    opened = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert not [one for one in opened if one.startswith(str(tmp_path))]
