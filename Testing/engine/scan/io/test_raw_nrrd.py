"""Raw NRRD files: what is written is what SimpleITK and the memory map read."""

from __future__ import annotations

import numpy as np
import pytest
from hrcam.scan.geometry import Geometry
from hrcam.scan.io.raw_nrrd import open_raw, write_raw

C, S = np.cos(0.3), np.sin(0.3)
OBLIQUE = Geometry((5, 4, 3), (-12.5, 7.25, 100.0), (0.9, 1.1, 4.5), np.array([[C, -S, 0], [S, C, 0], [0, 0, -1]]))


@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "f4", "f8", ">f4"])
def test_voxels_survive_the_way_and_back(dtype, tmp_path):
    array = np.arange(60).reshape(3, 4, 5).astype(dtype)
    path = tmp_path / "a.nrrd"
    write_raw(path, array, OBLIQUE.ijk_to_lps)
    assert np.array_equal(open_raw(path), array)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="incomplete"):
        open_raw(path)


def test_a_view_is_written_in_its_own_order(tmp_path):
    array = np.arange(60, dtype=np.float32).reshape(5, 4, 3).T
    write_raw(tmp_path / "a.nrrd", array, OBLIQUE.ijk_to_lps)
    assert np.array_equal(open_raw(tmp_path / "a.nrrd"), array)


def test_simpleitk_reads_grid_voxels_and_keys(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    array = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    keys = {"HRCAM.Options": '{"plane": "ax"}', "HRCAM.Note": "two\nlines, a back\\slash, µ"}
    write_raw(tmp_path / "a.nrrd", array, OBLIQUE.ijk_to_lps, keys)
    image = sitk.ReadImage(str(tmp_path / "a.nrrd"))
    assert np.array_equal(sitk.GetArrayFromImage(image), array)
    assert np.allclose(image.GetOrigin(), OBLIQUE.origin_lps) and np.allclose(image.GetSpacing(), OBLIQUE.spacing)
    assert np.allclose(np.reshape(image.GetDirection(), (3, 3)), OBLIQUE.direction_lps)
    assert {key: image.GetMetaData(key) for key in keys} == keys


@pytest.mark.parametrize("content", [b"", b"NRRD0004\ntype: float\n", b"P5 2 2 255\n\n1234",
                                     b"NRRD0004\ntype: float\nsizes: 1 1\nencoding: raw\n\n1234",
                                     b"NRRD0004\ntype: block\nsizes: 1 1 1\nencoding: raw\n\n1234",
                                     b"NRRD0004\ntype: float\nsizes: 1 1 1\nencoding: gzip\n\n1234"])
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "a.nrrd"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="NRRD"):
        open_raw(path)
