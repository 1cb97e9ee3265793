"""The measurement of follow-ups counts what it says it counts."""

import numpy as np
import pytest

pytest.importorskip("typer")
from hrcam.align.transforms import distance_mm
from hrcam_research.evaluate import follow_ups
from hrcam_research.evaluate.real_pairs import SPACING_MM, read_true_size
from hrcam_research.simulate.follow_up import simulate_follow_up
from hrcam_research.simulate.head import phantom_head


def region(lesion, earlier_mm, later_mm, peaks=(300.0, 300.0)):
    return {"lesion": lesion, "earlier": earlier_mm > 0, "later": later_mm > 0, "diameter_earlier_mm": earlier_mm,
            "diameter_later_mm": later_mm, "peak_earlier": peaks[0], "peak_later": peaks[1], "covered": True}


def lesion(change, earlier_mm, later_mm):
    return {"change": change, "earlier_mm": earlier_mm, "later_mm": later_mm}


def line(pair, **more):
    return {"pair": pair, "lesions": [], "regions": [], "registration_error_mm": 0.2, "lowest": 50.0,
            "differences": [],
            "put_off": {"mm": 5.0, "noticed": True, "agreement_mm": 5.0}, **more}


def test_calls_are_counted_where_the_true_change_is_above_repeatability():
    found = follow_ups.summarize([
        line(0, lesions=[lesion("growing", 12, 20), lesion("new", 0, 15)],
             regions=[region(0, 13, 22), region(1, 0, 16, (5.0, 300.0)), region(None, 9, 9)]),
        line(1, lesions=[lesion("shrinking", 20, 12), lesion("growing", 12, 13)],
             regions=[region(0, 20, 20), region(1, 12, 12)], put_off={"mm": 3.0, "noticed": False, "agreement_mm": 1}),
        {"pair": 2, "lesions": [lesion("new", 0, 15)], "refused": "no"},
    ])
    assert (found["pairs"], found["refused"]) == (3, 1)
    assert found["calls"]["changed_beyond_repeatability"] == {"regions": 3, "right": 2}
    assert found["calls"]["truth_to_calls"]["shrinking"] == {"stable": 1}
    assert found["calls"]["regions_without_lesion"] == {"regions": 1, "stable": 1}
    assert found["put_off"] == {"registrations": 2, "noticed": 1, "unnoticed_mm": [3.0]}


def test_repeatability_is_the_spread_within_a_scan():
    rng = np.random.default_rng(0)
    pairs = (rng.normal(0, 1.5, (4000, 2)) - rng.normal(0, 1.5, (4000, 2))).tolist()
    found = follow_ups.summarize([line(0, differences=pairs)])
    assert found["copies"]["regions"] == 4000 and found["copies"]["sd_diameter_mm"] == pytest.approx(1.5, rel=0.05)


def test_what_one_run_differs_by_goes_into_the_package(tmp_path, monkeypatch):
    import json

    from hrcam.compare import repeatability

    monkeypatch.setattr(follow_ups.hrcam.compare, "__file__", str(tmp_path / "__init__.py"))
    lines = tmp_path / "lines.jsonl"
    lines.write_text(json.dumps(line(0, differences=[[2.0, 0.2], [-2.0, 0.2]], model="m 1")) + "\n")
    follow_ups.usual([lines])
    written = json.loads((tmp_path / repeatability.USUAL_FILE).read_text())
    assert written["models"] == ["m 1"] and written["pairs"] == 1 and written["regions"] == 2
    assert written["sd_diameter_mm"] == pytest.approx(2**0.5)


def test_registrations_are_put_off_as_far_as_asked():
    rng = np.random.default_rng(1)
    points = rng.uniform(-80, 80, (500, 3))
    apart = [distance_mm(follow_ups._put_off(rng, points), np.eye(4), points) for _ in range(20)]
    assert min(apart) > 0.95 * follow_ups.OFF_MM[0] and max(apart) < 1.05 * follow_ups.OFF_MM[1]


def test_thick_slices_are_means_and_lie_where_they_were():
    head = phantom_head(np.random.default_rng(0), 48)
    fine = simulate_follow_up(head, 4, size=48, spacing_mm=4.5)
    thick = simulate_follow_up(head, 4, size=48, spacing_mm=4.5, slice_mm=18.0)
    assert thick.later.geometry.size_ijk == (48, 48, 12) and thick.later.geometry.spacing == (4.5, 4.5, 18.0)
    middle = [one.later.geometry.points_to_lps([(n - 1) / 2 for n in one.later.geometry.size_ijk])
              for one in (fine, thick)]
    np.testing.assert_allclose(*middle, atol=1e-6)
    assert thick.changes == fine.changes
    means = fine.earlier.array.reshape(12, 4, 48, 48).mean(axis=1)
    assert np.corrcoef(means.ravel(), thick.earlier.array.ravel())[0, 1] > 0.95


def test_the_real_pairs_get_their_true_size(tmp_path, blob_volume):
    sitk = pytest.importorskip("SimpleITK")
    from hrcam.scan.volume import to_sitk

    scan = blob_volume(size_ijk=(40, 42, 8))
    sitk.WriteImage(to_sitk(scan.array, scan.geometry), str(tmp_path / "scan.nii.gz"))
    assert read_true_size(tmp_path / "scan.nii.gz", "x").geometry.spacing == SPACING_MM
