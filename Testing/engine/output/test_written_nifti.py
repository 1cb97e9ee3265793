"""Packed NIfTI: one gzip stream that any program unpacks, whatever its pieces hold."""

import gzip

import numpy as np
import pytest
import SimpleITK
from hrcam.output.nifti import write_nifti
from hrcam.scan.geometry import Geometry

SHAPE_KJI = (6, 90, 100)


def arrays():
    noise = np.random.default_rng(0).normal(size=SHAPE_KJI).astype(np.float32)
    half = noise.copy()
    half[:3] = 0
    return {"noise": (noise, 1.001), "half empty": (half, 0.6), "empty": (np.zeros_like(noise), 0.01),
            "labels": ((noise > 2.5).astype(np.uint8), 0.3), "one slice": (noise[:1, :8, :8], 2.0)}


@pytest.mark.parametrize("name", arrays())
def test_what_was_packed_is_unpacked_whole_and_only_what_pays_is_made_smaller(tmp_path, name):
    array, share = arrays()[name]
    path = tmp_path / "map.nii.gz"
    write_nifti(path, array, Geometry(array.shape[::-1], (0.0, 0.0, 0.0), (1.0, 1.0, 2.0), np.eye(3)), "a note")
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))), array)
    with gzip.open(path) as file:  # which checks the checksum and the length
        assert file.read()[-array.nbytes:] == array.tobytes()
    assert path.stat().st_size <= share * array.nbytes + 500
