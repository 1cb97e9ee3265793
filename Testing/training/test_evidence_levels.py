"""Slices to volume, and absolute evidence levels from normal scans."""

import numpy as np
import pytest
from hrcam.errors import BundleError, InputError
from hrcam.run.volume_rule import pathology_score, softmax, volume_logits
from hrcam_train.evidence_levels import fit_evidence_levels, level_rates
from hrcam_train.volume_rule import fit_bias, fit_volume_rule

PATHOLOGY = [True, True, False]


def slices_of(rng, label, count=30):
    """Noisy slice logits: a pathology shows in a fifth of the slices, and normal slices lean towards class 0."""
    logits = rng.normal([0.5, 0.0, 2.0], 1.0, (count, 3))
    if label < 2:
        logits[: count // 5, label] += 5.0
    return rng.permutation(logits)


def test_scores_are_the_log_odds_of_any_pathology():
    logits = np.array([[1.0, 2.0, 0.5], [0.0, 0.0, 0.0]])
    p = softmax(logits)
    np.testing.assert_allclose(pathology_score(logits, PATHOLOGY), np.log((p[:, 0] + p[:, 1]) / p[:, 2]))


def test_without_a_normal_class_slices_are_ranked_by_certainty():
    logits = np.array([[0.0, 0.1], [3.0, 0.0], [0.0, 5.0]])
    assert np.argsort(pathology_score(logits, [True, True])).tolist() == [0, 1, 2]


def test_the_rule_averages_the_most_suspicious_slices_then_adds_bias_and_divides_by_temperature():
    logits = np.array([[4.0, 0, 0], [2.0, 0, 0], [-9.0, 0, 0], [-9.0, 0, 0]])
    rule = {"kind": "top_mean", "fraction": 0.5, "temperature": 2.0, "bias": [1.0, 0.0, 0.0]}
    np.testing.assert_allclose(volume_logits(logits, rule, PATHOLOGY), [2.0, 0.0, 0.0])
    np.testing.assert_allclose(volume_logits(logits[:1], rule, PATHOLOGY), [2.5, 0.0, 0.0])
    with pytest.raises(BundleError, match="loudest"):
        volume_logits(logits, {"kind": "loudest"}, PATHOLOGY)


def test_the_fitted_rule_beats_the_mean_and_the_maximum_on_new_volumes():
    rng = np.random.default_rng(0)
    labels = [n % 3 for n in range(60)]
    rule = fit_volume_rule([slices_of(rng, label) for label in labels], labels, PATHOLOGY)
    assert rule["fraction"] in (0.1, 0.2) and rule["temperature"] > 0 and len(rule["bias"]) == 3

    fresh = [slices_of(rng, label) for label in labels]
    fitted = [int(volume_logits(one, rule, PATHOLOGY).argmax()) for one in fresh]
    maximum = [int(one[pathology_score(one, PATHOLOGY).argmax()].argmax()) for one in fresh]
    mean = [int(one.mean(axis=0).argmax()) for one in fresh]

    def accuracy(found):
        return np.mean(np.asarray(found) == labels)

    assert accuracy(fitted) >= 0.95
    assert accuracy(fitted) > accuracy(mean) + 0.2
    assert accuracy(fitted) > accuracy(maximum) + 0.2


def test_a_fitted_bias_lets_rare_classes_speak():
    rng = np.random.default_rng(3)
    labels = rng.choice(3, 400, p=[0.7, 0.25, 0.05])
    logits = rng.normal(0, 1, (400, 3)) + 3 * np.eye(3)[labels] + [2.0, 0.0, -2.0]
    shift = fit_bias(logits, labels)
    assert shift.mean() == pytest.approx(0) and shift[0] < -1 < 1 < shift[2]
    recalls = [[(each.argmax(1) == label)[labels == label].mean() for label in range(3)]
               for each in (logits, logits + shift)]
    assert np.mean(recalls[1]) > np.mean(recalls[0]) + 0.1


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_the_rule_of_few_volumes_told_apart_perfectly_stays_finite(size):
    logits = [size * np.array([[1.0, 0.0]]), size * np.array([[0.0, 1.0]])] * 2
    rule = fit_volume_rule(logits, [0, 1, 0, 1], [True, False])
    assert 1e-3 < rule["temperature"] < 1e3 and np.isfinite(rule["bias"]).all()
    assert [int(volume_logits(one, rule, [True, False]).argmax()) for one in logits[:2]] == [0, 1]


def test_one_label_a_volume_is_asked_for():
    with pytest.raises(InputError, match="2 volumes and 1 labels"):
        fit_volume_rule([np.zeros((3, 3))] * 2, [0], PATHOLOGY)


def test_fitted_levels_leave_normal_scans_empty_and_show_lesions():
    rng = np.random.default_rng(1)
    normals = [rng.normal(0, rng.uniform(0.5, 1.0), 4000) for _ in range(60)]
    levels = fit_evidence_levels(normals)
    assert [level.name for level in levels] == ["possible", "probable", "strong"]
    thresholds = [level.threshold for level in levels]
    assert thresholds == sorted(thresholds) and 1.5 < thresholds[0] < thresholds[2]

    unseen = [rng.normal(0, rng.uniform(0.5, 1.0), 4000) for _ in range(60)]
    on_normals = level_rates(unseen, levels)
    assert on_normals["possible"]["area"] < 0.002
    assert on_normals["strong"]["scans"] < 0.1
    lesions = [np.concatenate([one[:-40], np.full(40, 8.0)]) for one in unseen]
    assert level_rates(lesions, levels)["strong"]["scans"] == 1.0


def test_levels_of_silent_normals_still_differ_and_stay_above_zero():
    thresholds = [level.threshold for level in fit_evidence_levels([np.full(100, -3.0)] * 5)]
    assert thresholds == pytest.approx([0.1, 0.2, 0.3])


def test_shares_of_the_peak_are_those_of_the_maps_before_they_were_raised():
    silent = [np.full(100, -3.0)] * 5
    plain, squared = ([level.of_peak for level in fit_evidence_levels(silent, power)] for power in (1, 2))
    assert plain == [0.35, 0.6, 0.8]
    assert squared == pytest.approx([0.1225, 0.36, 0.64])


def test_levels_cannot_be_fitted_to_nothing():
    with pytest.raises(InputError, match="no normal scan"):
        fit_evidence_levels([])
