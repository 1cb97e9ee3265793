"""A real scan, stored in other ways: answer and overlay stay alike."""

import os
from pathlib import Path

import pytest
from hrcam.bundle.bundle import load_bundle
from hrcam_research.evaluate.stored import measure

FOLDER = Path(os.environ.get("HRCAM_DATA") or Path(__file__).parents[3] / "shared" / "data") / "lgg"
SCAN = "TCGA_DU_6399_post.nii.gz"
"""A tumor that no model learned from, 52 slices."""


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("model", ["t1ce-tumor", "brain-lesion"])
def test_a_scan_gives_the_same_answer_however_it_is_stored(model):
    if not (FOLDER / SCAN).is_file():
        pytest.skip("HRCAM_DATA has no folder lgg")
    found = measure(FOLDER / SCAN, load_bundle(model))
    print(model, found)
    assert len(found) == 5
    assert all(one.same_answer for one in found.values()), found
    assert all(one.same_marks for one in found.values()), found
