"""A real scan, stored in other ways: answer and overlay stay alike."""

import os
from pathlib import Path

import pytest
from hrcam.bundle.bundle import load_bundle
from hrcam.localize import Options, localize
from hrcam.output.nifti import write_nifti
from hrcam.scan.volume import read_volume
from hrcam_research.evaluate.stored import compare, stored_otherwise

FOLDER = Path(os.environ.get("HRCAM_DATA") or Path(__file__).parents[3] / "shared" / "data") / "lgg"
SCAN = "TCGA_DU_6399_post.nii.gz"
"""A tumor that no model learned from, 52 slices."""


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("model", ["t1ce-tumor", "brain-lesion"])
def test_a_scan_gives_the_same_answer_however_it_is_stored(model, tmp_path):
    if not (FOLDER / SCAN).is_file():
        pytest.skip("HRCAM_DATA has no folder lgg")
    bundle, volume = load_bundle(model), read_volume(FOLDER / SCAN)
    first = localize(volume, bundle, Options(device="cpu"))
    assert bundle.pathology[first.predicted] and first.labels.any()
    found = {}
    for name, other in stored_otherwise(volume):
        write_nifti(tmp_path / "other.nii.gz", other.array, other.geometry, name)
        found[name] = compare(first, localize(tmp_path / "other.nii.gz", bundle, Options(device="cpu")))
    print(model, first.predicted, first.probabilities[first.predicted], found)
    assert len(found) == 5
    for name, one in found.items():
        assert one.same_class, name
        assert one.apart <= 0.15, name
        assert one.dice >= 0.7, name
