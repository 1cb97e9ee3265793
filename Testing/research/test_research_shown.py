"""What is counted of regions that a model shows."""

import dataclasses

import numpy as np
import pytest
import shown
import SimpleITK
from hrcam.localize import Options
from hrcam.scan.volume import to_sitk


def test_a_row_counts_lesions_regions_and_marks():
    hit, missed = shown.Shown(((2.0, 1.0), (0.01, 0.0)), 2.0, 0.5, True), shown.Shown(((0.03, 0.0),), 3.0, 0.1, False)
    normal = shown.Shown(((0.2, 0.0),), 0.0)
    assert hit.above(0.05).regions == ((2.0, 1.0),) and hit.above(0.05).dice == pytest.approx(0.5)
    assert missed.above(0.05).dice == 0 and missed.above(0.05).regions == missed.regions, "as in localize"
    assert missed.above(0.06).regions == () and hit.above(2.5).regions == ()
    assert shown.row("made", 0.05, [hit, missed, normal]) == (
        "| made | 0.05 | 1 of 2 | 1 of 2 | 1.00 | 0.50 | 0.250 | 1 of 1 | 0.300 | 1 |")


def test_a_scan_is_read_and_measured(tmp_path, bright_blob_bundle, blob_volume):
    scan = blob_volume()
    SimpleITK.WriteImage(to_sitk(scan.array, scan.geometry), str(tmp_path / "scan.nii.gz"))
    mask = (scan.array > 0.9 * scan.array.max()).astype(np.uint8)
    SimpleITK.WriteImage(to_sitk(mask, scan.geometry), str(tmp_path / "mask.nii.gz"))
    found = shown.read(tmp_path / "scan.nii.gz", tmp_path / "mask.nii.gz", bright_blob_bundle, Options(device="cpu"))
    (volume, inside), = found.regions
    assert 0 < inside <= volume and found.pointing and found.ap > 0.5 and found.dice > 0.5
    assert shown.read(tmp_path / "scan.nii.gz", None, bright_blob_bundle, Options(device="cpu")).ap is None


def test_the_weight_of_brightness_can_be_changed_and_taken_away(bright_blob_bundle):
    bundle = dataclasses.replace(
        bright_blob_bundle, metadata={**bright_blob_bundle.metadata, "borders": {"weight": 0.2, "power": 2}})
    assert shown.with_border_weight(bundle, 0.1).borders == {"weight": 0.1, "power": 2}
    assert shown.with_border_weight(bundle, 0).borders is None
