"""Metrics and statistics against numbers worked out by hand."""

import numpy as np
import pytest
from hrcam_research.evaluate import metrics
from hrcam_research.evaluate.scan_dice import scan_dice
from hrcam_research.evaluate.statistics import bootstrap_mean, paired_difference, patient_folds
from hrcam_research.evaluate.store import MapStore
from hrcam_research.evaluate.thresholds import Counts, count_pixels, cross_fit, fit_all


def test_ranking_of_four_pixels_is_the_hand_worked_one():
    # Order 4, 3, 2, 1; lesion has ranks 1 and 3: AP = (1/1 + 2/3) / 2; best Dice at the third: 2·2/(3+2).
    found = metrics.ranking(np.array([[4.0, 3.0], [2.0, 1.0]]), np.array([[True, False], [True, False]]))
    assert found.average_precision == pytest.approx((1 + 2 / 3) / 2)
    assert found.best_dice == pytest.approx(0.8)
    assert found.best_threshold == 2.0


def test_ranking_gives_a_flat_map_the_share_of_lesion_pixels():
    mask = np.zeros((10, 10), bool)
    mask[:2, :5] = True
    assert metrics.ranking(np.ones((10, 10)), mask).average_precision == pytest.approx(0.1)


def test_ranking_refuses_shapes_that_differ_and_empty_masks():
    with pytest.raises(ValueError, match="shape"):
        metrics.ranking(np.ones((2, 2)), np.ones((2, 3), bool))
    with pytest.raises(ValueError, match="without a lesion"):
        metrics.ranking(np.ones((2, 2)), np.zeros((2, 2), bool))


def test_pointing_counts_the_peak_alone_and_shares_ties():
    mask = np.zeros((40, 40), bool)
    mask[10:12, 10:12] = True
    values = np.zeros((40, 40))
    values[11, 20] = 1.0  # nine pixels beside the lesion
    assert metrics.pointing(values, mask) == 0.0
    assert metrics.pointing(values, mask, tolerance_px=9) == 1.0
    assert metrics.pointing(values, mask, tolerance_px=8.9) == 0.0
    values[10, 10] = 1.0
    assert metrics.pointing(values, mask) == 0.5


def test_overlap_measures():
    first = np.array([True, True, True, False])
    second = np.array([False, True, True, True])
    nothing = np.zeros(4, bool)
    assert metrics.dice(first, second) == pytest.approx(4 / 6)
    assert metrics.iou(first, second) == pytest.approx(2 / 4)
    assert metrics.dice(nothing, nothing) == metrics.iou(nothing, nothing) == 1.0
    assert metrics.dice(first, nothing) == metrics.iou(first, nothing) == 0.0


def test_hausdorff_is_in_millimetres_and_an_empty_overlay_costs_the_diagonal():
    mask = np.zeros((32, 32), bool)
    mask[8:16, 8:16] = True
    moved = np.roll(mask, 5, axis=0)
    assert metrics.hausdorff95(mask, mask, (0.5, 0.5)) == 0.0
    assert metrics.hausdorff95(moved, mask, (0.5, 0.5)) == pytest.approx(2.5)
    assert metrics.hausdorff95(moved, mask, (2.0, 0.5)) > metrics.hausdorff95(moved, mask, (0.5, 0.5))
    assert metrics.hausdorff95(np.zeros_like(mask), mask, (0.5, 0.5)) == pytest.approx(np.hypot(16, 16))


def test_regions_are_counted_by_touch_and_specks_are_dropped():
    mask = np.zeros((60, 60), bool)
    mask[5:10, 5:10] = mask[40:45, 40:45] = True
    prediction = np.zeros_like(mask)
    prediction[8:14, 8:14] = True  # touches the first lesion
    prediction[20:25, 50:55] = True  # false
    prediction[30:33, 30:33] = True  # nine pixels: a speck
    found = metrics.count_regions(prediction, mask)
    assert (found.lesions, found.found, found.false_regions) == (2, 1, 1)
    assert metrics.count_regions(np.zeros_like(mask), mask) == metrics.RegionCount(2, 0, 0)


def test_froc_counts_hits_and_false_peaks_over_cases():
    mask = np.zeros((64, 64), bool)
    mask[10:20, 10:20] = True
    right, wrong = np.zeros((64, 64)), np.zeros((64, 64))
    right[15, 15] = 2.0
    wrong[50, 50], wrong[15, 15] = 3.0, 1.0  # the false peak is stronger than the true one
    found = [metrics.detect(right, mask), metrics.detect(wrong, mask)]
    assert [each.true.tolist() for each in found] == [[2.0], [1.0]]
    assert [each.false.tolist() for each in found] == [[], [3.0]]
    assert metrics.froc_sensitivity(found, 0.5) == 1.0
    assert metrics.froc_sensitivity(found[:1], 0.0) == 1.0
    assert metrics.froc_sensitivity([metrics.detect(np.ones((64, 64)), mask)], 5.0) == 0.0


def test_froc_does_not_depend_on_the_unit_of_the_map():
    rng = np.random.default_rng(0)
    mask = np.zeros((64, 64), bool)
    mask[10:20, 10:20] = True
    maps = [rng.normal(size=(64, 64)) + 2 * mask for _ in range(6)]
    plain = [metrics.froc_sensitivity([metrics.detect(m, mask) for m in maps], rate) for rate in (0.5, 1, 4)]
    shifted = [metrics.froc_sensitivity([metrics.detect(5 * m - 70, mask) for m in maps], rate) for rate in (0.5, 1, 4)]
    assert plain == shifted
    assert plain == sorted(plain)


def test_equal_diameter_in_two_and_three_dimensions():
    assert metrics.equal_diameter(np.ones((10, 10), bool), (0.5, 2.0)) == pytest.approx(2 * np.sqrt(100 / np.pi))
    assert metrics.equal_diameter(np.ones((4, 4, 4), bool), (1.0, 1.0, 1.0)) == pytest.approx(np.cbrt(6 * 64 / np.pi))


def test_store_gives_back_what_came_within_its_stated_error():
    values = np.random.default_rng(0).normal(size=(30, 20)) * 1e-4
    with MapStore() as store:
        store.add("a", 3, values)
        store.add("b", 0, np.full((2, 2), 7.0))
        store.add("a", 1, values.T * 1e6)
        assert store.methods == ("a", "b")
        assert store.cases("a") == [1, 3]
        assert np.abs(store.get("a", 3) - values).max() <= np.ptp(values) / 131070 * 1.01
        assert store.get("a", 1).shape == (20, 30)
        assert (store.get("b", 0) == 7.0).all()
        folder = store._folder.name
    from pathlib import Path

    assert not Path(folder).exists()


def counts(*cases):
    """Counts of (values, lesion) pairs of the same thresholds 1, 2, 3."""
    grid = np.array([1.0, 2.0, 3.0])
    above = np.array([[(np.array(v) >= t).sum() for t in grid] for v, _ in cases])
    hits = np.array([[(np.array(v)[np.array(m, bool)] >= t).sum() for t in grid] for v, m in cases])
    return Counts(grid, above, hits, np.array([sum(m) for _, m in cases]))


def test_threshold_of_a_case_comes_from_the_other_fold_of_its_class():
    high = ([3, 3, 2, 1], [1, 1, 0, 0])  # best threshold 3
    low = ([3, 2, 1, 0], [1, 1, 1, 0])  # best threshold 1
    table = counts(high, low, high, low)
    fitted = cross_fit(table, ["a", "a", "b", "b"], np.array([0, 1, 0, 1]))
    assert fitted.tolist() == [1.0, 3.0, 1.0, 3.0]
    assert fit_all(table, ["a", "b", "a", "b"]) == {"a": 3.0, "b": 1.0}


def test_threshold_of_a_class_with_one_patient_comes_from_the_other_classes():
    high, low = ([3, 3, 2, 1], [1, 1, 0, 0]), ([3, 2, 1, 0], [1, 1, 1, 0])
    fitted = cross_fit(counts(high, low, high), ["a", "b", "c"], np.array([0, 1, 1]))
    assert fitted.tolist()[1] == 3.0
    assert np.isnan(cross_fit(counts(high), ["a"], np.array([0]))).all()


def test_pooled_average_precision_is_near_the_exact_one():
    rng = np.random.default_rng(1)
    masks = [rng.random((50, 50)) < 0.1 for _ in range(4)]
    with MapStore() as store:
        for case, mask in enumerate(masks):
            store.add("m", case, rng.normal(size=(50, 50)) + 1.5 * mask)
        table = count_pixels(store, "m", masks)
        exact = metrics.ranking(np.stack([store.get("m", case) for case in range(4)]), np.stack(masks))
    assert table.pooled_average_precision() == pytest.approx(exact.average_precision, abs=0.01)


def test_bootstrap_resamples_patients_not_cases():
    rng = np.random.default_rng(0)
    level = rng.normal(size=12)
    values, patients = np.repeat(level, 50), np.repeat([f"p{n}" for n in range(12)], 50)
    together = bootstrap_mean(values, patients)
    alone = bootstrap_mean(values, [str(n) for n in range(600)])
    assert together.mean == pytest.approx(level.mean())
    assert together.patients == 12 and together.cases == 600
    assert together.high - together.low > 4 * (alone.high - alone.low)
    # Standard error of the mean of twelve patients, times 2 · 1.96.
    assert together.high - together.low == pytest.approx(3.92 * level.std() / np.sqrt(12), rel=0.15)
    assert together == bootstrap_mean(values, patients)


def test_a_patient_of_many_slices_counts_once_in_the_mean_over_patients():
    values, patients = [1.0] * 8 + [0.0, 0.5], ["a"] * 8 + ["b", "c"]
    found = bootstrap_mean(values, patients)
    assert (found.mean, found.patient_mean) == (0.85, 0.5)
    each = bootstrap_mean([1.0, 0.0, 0.5], ["a", "b", "c"])
    assert (found.patient_low, found.patient_high) == (each.low, each.high), "patients are drawn alike"
    assert (each.mean, each.low, each.high) == (each.patient_mean, each.patient_low, each.patient_high)
    difference = paired_difference(values, [0.0] * 10, patients)
    assert difference.to_json()["patient_mean"] == 0.5


def test_bootstrap_leaves_out_what_is_not_defined():
    found = bootstrap_mean([1.0, np.nan, 3.0], ["a", "b", "b"])
    assert (found.mean, found.cases, found.patients) == (2.0, 2, 2)
    alone = bootstrap_mean([1.0, 2.0], ["a", "a"])
    assert np.isnan(alone.low) and np.isnan(alone.patient_low) and alone.patient_mean == 1.5
    means = dict.fromkeys(("mean", "low", "high", "patient_mean", "patient_low", "patient_high"))
    assert bootstrap_mean([np.nan], ["a"]).to_json() == {**means, "cases": 0, "patients": 0}
    with pytest.raises(ValueError, match="one to one"):
        bootstrap_mean([1.0], ["a", "b"])


def test_paired_difference_sees_a_small_steady_gain_in_noisy_cases():
    rng = np.random.default_rng(0)
    base = rng.random(60)
    patients = np.repeat([f"p{n}" for n in range(20)], 3)
    found = paired_difference(base + 0.02 + rng.normal(0, 0.005, 60), base, patients)
    assert found.interval.low > 0.01
    assert found.p_value < 1e-3
    same = paired_difference(base, base, patients)
    assert (same.interval.mean, same.p_value) == (0.0, 1.0)


def test_folds_keep_patients_whole_and_classes_even():
    patients = ["a", "a", "a", "b", "c", "c", "d", "e"]
    strata = ["x", "x", "x", "x", "x", "x", "y", "y"]
    folds = patient_folds(patients, strata)
    assert all(len({fold for fold, each in zip(folds, patients, strict=True) if each == p}) == 1 for p in "abcde")
    assert sorted(np.bincount(folds[:6])) == [3, 3]
    assert folds[6] != folds[7]


def test_dice_of_a_scan_counts_its_slices_without_lesion_too():
    """Two patients, a slice with and a slice without lesion each; the second method marks the latter at .5."""
    counts = Counts(np.array([0.2, 0.5, 0.8]), np.array([[8, 4, 2], [8, 4, 2]]), np.array([[4, 4, 2], [4, 4, 2]]),
                    np.array([4, 4]))  # fmt: skip
    above = {"silent": np.zeros((2, 3), int), "loud": np.array([[50, 20, 0], [50, 20, 0]])}
    found = scan_dice({"silent": counts, "loud": counts, "slow": counts}, above, ["a", "b"], ["a", "b"])
    by_method = found.groupby("method")
    assert by_method["dice"].mean().to_dict() == pytest.approx({"silent": 1.0, "loud": 2 * 2 / (2 + 4)})
    assert by_method["threshold"].first().to_dict() == {"silent": 0.5, "loud": 0.8}
    assert scan_dice({"silent": counts}, above, ["a", "b"], ["c", "d"]).empty, "images of other people are no scan"
