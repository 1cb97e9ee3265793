"""A date that is called normal beside one that shows a lesion: what its map still has there is not lost."""

from dataclasses import replace

import numpy as np
import pytest
from hrcam.bundle.bundle import load_bundle
from hrcam.compare import run
from hrcam.compare.run import compare
from hrcam.localize import Options, localize
from scipy import ndimage


@pytest.fixture
def later_called_normal(monkeypatch):
    """An engine that withholds all marks of the scan "later", as it does with scans that it calls normal."""

    def localize_or_withhold(volume, *arguments, **more):
        result = localize(volume, *arguments, **more)
        return run._withhold(result) if volume.name == "later" else result

    monkeypatch.setattr(run, "localize", localize_or_withhold)


def compared(earlier, later, bundle):
    return compare(replace(earlier, name="earlier"), replace(later, name="later"), load_bundle(bundle.path),
                   Options(device="cpu"), aligned=True, copies=0)


def test_a_lesion_that_is_still_there_is_not_called_resolved(later_called_normal, blob_volume, bright_blob_bundle):
    scan = blob_volume()
    found = compared(scan, scan, bright_blob_bundle)
    assert [change.call for change in found.changes] == ["stable"] and found.later.withheld
    assert "The later scan as a whole is called normal" in found.warnings[-1]


def test_what_only_the_normal_date_has_stays_unmarked(later_called_normal, blob_volume, bright_blob_bundle):
    earlier = blob_volume(lesion_ras=(-9.0, 6.0, 0.0))
    other = blob_volume(lesion_ras=(9.0, -9.0, 6.0))
    later = replace(earlier, array=np.maximum(earlier.array, other.array))
    found = compared(earlier, later, bright_blob_bundle)
    assert [change.call for change in found.changes] == ["stable"] and len(found.later.regions) == 1
    assert found.later.regions[0].peak_ras[0] < 0 and ndimage.label(found.later.labels > 0)[1] == 1


def test_two_normal_dates_stay_unmarked(monkeypatch, blob_volume, bright_blob_bundle):
    monkeypatch.setattr(run, "localize", lambda *arguments, **more: run._withhold(localize(*arguments, **more)))
    assert compared(blob_volume(), blob_volume(), bright_blob_bundle).changes == ()


def test_specks_that_a_scan_alone_shows_are_compared_too(blob_volume, bright_blob_bundle):
    speck = blob_volume(radius_mm=1.0)
    lesion = blob_volume(lesion_ras=(12.0, -12.0, 9.0), radius_mm=4.0)
    both = replace(speck, array=np.maximum(speck.array, lesion.array))
    lenient = load_bundle(bright_blob_bundle.path)
    lenient = replace(lenient, metadata={**lenient.metadata, "withholding": {"above": 0.95}})
    asked = Options(device="cpu", class_name="lesion")
    for scan, options, count in ((speck, replace(asked, class_name=None), 1), (both, asked, 2)):
        assert len(localize(scan, lenient, options).regions) == count
        found = compare(scan, replace(scan, name="later"), lenient, options, aligned=True, copies=1)
        assert [len(one.regions) for one in (found.earlier, found.later)] == [count, count]
        assert [change.call for change in found.changes] == ["stable"] * count
