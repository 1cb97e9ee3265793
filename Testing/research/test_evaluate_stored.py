"""The same scan stored in other ways: what is made of it lies where it lay, and how results compare."""

from dataclasses import replace

import numpy as np
import pytest
from hrcam.localize import Options, localize
from hrcam.output.nifti import write_nifti
from hrcam_research.evaluate.stored import compare, main, measure, stored_otherwise


def brightest_ras(volume):
    k, j, i = np.unravel_index(volume.array.argmax(), volume.array.shape)
    return volume.geometry.points_to_ras([[i, j, k]])[0]


def test_a_scan_stored_otherwise_shows_the_same_at_the_same_place(blob_volume):
    scan = blob_volume()
    place = brightest_ras(scan)
    found = dict(stored_otherwise(scan))
    assert len(found) == 5
    for name, other in found.items():
        assert np.linalg.norm(brightest_ras(other) - place) < 4, name
    across = scan.geometry.acquisition_axis
    thin, thick = (found[name].geometry.spacing[across] / scan.geometry.spacing[across] for name in ("thin", "thick"))
    assert (thin, thick) == (0.5, 1.5)
    turned = found["turned by ten degrees"].geometry.direction_lps.T @ scan.geometry.direction_lps
    assert np.degrees(np.arccos(np.diag(turned))) == pytest.approx([10, 10, 0], abs=1e-3)


def test_results_on_other_grids_are_compared_on_the_first(blob_volume, bright_blob_bundle, tmp_path, capsys):
    scan = blob_volume()
    result = localize(scan, bright_blob_bundle, Options(device="cpu"))
    same = compare(result, result)
    assert (same.same_class, same.apart, same.dice) == (True, 0.0, 1.0) and same.same_answer and same.same_marks
    nothing = replace(result, labels=np.zeros_like(result.labels), predicted="no_lesion")
    lost = compare(result, nothing)
    assert lost.dice == 0.0 and not lost.same_marks and not lost.same_answer
    assert compare(nothing, nothing).dice == 1.0, "nothing is marked on either"
    half = replace(result, labels=np.where(np.arange(scan.array.shape[2]) < scan.array.shape[2] // 2, result.labels, 0))
    kept, whole = (half.labels > 0).sum(), (result.labels > 0).sum()
    assert compare(result, half).dice == pytest.approx(2 * kept / (kept + whole))
    write_nifti(tmp_path / "scan.nii.gz", scan.array, scan.geometry, "a blob")
    found = measure(tmp_path / "scan.nii.gz", bright_blob_bundle)
    assert all(one.same_class and one.dice > 0.5 for one in found.values()), found
    main(str(bright_blob_bundle.path), [tmp_path / "scan.nii.gz"])
    printed = capsys.readouterr().out
    assert "| cut to its head | 1 of 1 |" in printed and printed.count("of 1") == 10
