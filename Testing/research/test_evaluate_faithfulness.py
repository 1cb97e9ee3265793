"""Faithfulness, randomization and classification against numbers known beforehand."""

import numpy as np
import pytest
import torch
from hrcam.cam.model import HRCAM
from hrcam_research.evaluate import classification
from hrcam_research.evaluate.case import MOST_PIXELS, Case, Pixels, batches, fitting, spread
from hrcam_research.evaluate.faithfulness import deletion_insertion, impute, randomized, road, similarity
from hrcam_research.evaluate.faithfulness_section import fits_faithfulness
from torch import nn


class Corner(nn.Module):
    """Class 1 is likely exactly as far as the upper left corner is bright."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(8.0))

    def forward(self, x):
        bright = x[:, :, :6, :6].mean((1, 2, 3))
        return torch.stack([torch.zeros_like(bright), self.scale * (bright - 0.5)], 1)


def corner_image():
    image = np.zeros((1, 40, 40), np.float32)
    image[:, :6, :6] = 1.0
    return image


def test_deletion_and_insertion_tell_the_used_pixels_from_others():
    image = corner_image()
    used = image[0]
    deletion, insertion = deletion_insertion(Corner(), image, used, 1)
    wrong_deletion, wrong_insertion = deletion_insertion(Corner(), image, -used, 1)
    assert deletion < 0.25 < wrong_deletion
    assert wrong_insertion < 0.25 < insertion


def test_deletion_and_insertion_agree_with_torchcam():
    metrics = pytest.importorskip("torchcam.metrics")
    from scipy.ndimage import gaussian_filter

    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
    with torch.no_grad():
        model[-1].weight *= 20
    image = np.random.default_rng(0).random((1, 20, 20)).astype(np.float32)
    values = np.random.default_rng(1).random((20, 20)).astype(np.float32)

    class Given:
        """Torch-cam's protocol of an extractor, for a map that is there already."""

        def __init__(self):
            self.model = model

        def __call__(self, *_, **__):
            return [torch.from_numpy(values)[None]]

        def fuse_cams(self, cams):
            return cams[0]

        def _hooks_off(self):
            from contextlib import nullcontext

            return nullcontext()

    baseline = torch.from_numpy(gaussian_filter(image[0], 10.0))[None, None]
    reference = metrics.DeletionInsertionMetric(Given(), lambda logits: logits.softmax(1), steps=10, baseline=baseline)
    reference.update(torch.from_numpy(image)[None], class_idx=2)
    expected = reference.summary()
    deletion, insertion = deletion_insertion(model, image, values, 2)
    assert deletion == pytest.approx(expected["deletion_auc"], abs=1e-5)
    assert insertion == pytest.approx(expected["insertion_auc"], abs=1e-5)


def test_imputation_continues_a_plane_and_adds_the_noise():
    rows, columns = np.mgrid[:20, :20].astype(np.float32)
    plane = (0.3 * rows + 0.1 * columns)[None]
    missing = np.zeros((20, 20), bool)
    missing[5:14, 6:15] = True
    filled = impute(np.where(missing, 99.0, plane), missing, np.zeros_like(plane))
    np.testing.assert_allclose(filled, plane, atol=1e-4)
    noisy = impute(plane, missing, np.full_like(plane, 0.5))
    np.testing.assert_allclose(noisy - filled, 0.5 * missing[None], atol=1e-4)
    assert (impute(plane, np.zeros_like(missing), plane) == plane).all()


def test_imputation_is_exact_in_three_dimensions():
    grid = np.mgrid[:8, :9, :10].astype(np.float32)
    plane = (grid[0] + 2 * grid[1] - grid[2])[None]
    missing = np.zeros((8, 9, 10), bool)
    missing[3:6, 3:6, 3:6] = True
    np.testing.assert_allclose(impute(np.where(missing, 0, plane), missing, np.zeros_like(plane)), plane, atol=1e-3)


def test_road_rewards_the_used_pixels_and_is_deterministic():
    image = corner_image()
    good = road(Corner(), image, image[0], 1, fractions=(0.02, 0.05))
    bad = road(Corner(), image, -image[0], 1, fractions=(0.02, 0.05))
    assert good > 0.1 > -0.1 > bad
    assert good == road(Corner(), image, image[0], 1, fractions=(0.02, 0.05))


def wrapped():
    torch.manual_seed(0)
    cnn = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1),
        nn.ReLU(),
    )
    return HRCAM(cnn, 3, levels=["2", "5"], example=torch.zeros(1, 1, 16, 16)).eval()


def test_randomizing_starts_at_the_head_and_ends_at_the_input():
    model = wrapped()
    before = {key: value.clone() for key, value in model.state_dict().items()}

    def changed(share):
        state = randomized(model, share).state_dict()
        return {key for key, value in state.items() if key.endswith("weight") and not torch.equal(value, before[key])}

    assert changed(0.0) == {"head.weight"}
    assert changed(0.34) == {"head.weight", "cnn.4.weight"}
    assert {"head.weight", "cnn.0.weight", "cnn.4.weight"} <= changed(1.0)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    first, second = (randomized(model, 1.0, seed=3).cnn[0].weight for _ in range(2))
    assert torch.equal(first, second)


def test_similarity_ignores_scale_and_sign_and_flat_maps():
    values = np.random.default_rng(0).random((9, 9))
    assert similarity(values, 3 * values - 7) == pytest.approx(1)
    assert similarity(values, -values) == pytest.approx(1)
    assert similarity(values, np.random.default_rng(1).random((9, 9))) < 0.3
    assert similarity(values, np.zeros((9, 9))) == 0.0


def test_calibration_of_a_hand_made_table():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]])
    labels = np.array([0, 1, 0, 0])
    found = classification.calibration(labels, probabilities, bins=10)
    # Confidence .9 with accuracy 1/2 (half of the cases) and .6 with 1/2 (the other half).
    assert found["ece"] == pytest.approx(0.5 * 0.4 + 0.5 * 0.1, abs=1e-6)
    assert found["confidence"] == pytest.approx([0.6, 0.9])
    assert found["accuracy"] == [0.5, 0.5]


def test_patients_count_once():
    labels = np.array([0, 0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.2, 0.8], [0.1, 0.9], [0.6, 0.4]])
    by_patient = classification.by_patient(labels, probabilities, ["a", "b", "b", "c", "c"])
    assert by_patient[0].tolist() == [0, 0, 1]
    assert by_patient[1][:, 0] == pytest.approx([0.9, 0.2, 0.35])
    assert classification.balanced_accuracy(labels, probabilities) == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert classification.recalls(labels, probabilities) == pytest.approx({0: 1 / 3, 1: 1 / 2})
    assert classification.balanced_accuracy(*by_patient) == pytest.approx((1 / 2 + 1) / 2)


def test_auc_of_two_classes_ignores_the_third():
    logits = np.array([[2.0, 0.0, 9.0], [1.0, 2.0, 9.0], [0.0, 1.5, -9.0], [5.0, 5.0, 5.0]])
    assert classification.one_against_one(np.array([0, 0, 1, 2]), logits, 0, 1) == 1.0
    assert np.isnan(classification.one_against_one(np.array([0, 0, 0, 2]), logits, 0, 1))


def test_statistics_baseline_finds_brightness_and_nothing_else():
    rng = np.random.default_rng(0)
    images = [rng.random((8, 8)) + 0.5 * (n % 2) for n in range(60)]
    values = np.stack([classification.intensity_statistics(image) for image in images])
    assert values.shape == (60, 7)
    truth = np.arange(60) % 2 == 1
    assert classification.statistics_baseline((values[:40], truth[:40]), (values[40:], truth[40:])) > 0.95
    assert np.isnan(classification.statistics_baseline((values, truth), (values[:1], truth[:1])))


def test_batches_keep_shapes_apart_and_read_each_case_once():
    read = []

    def case(n, size):
        one = Case.of(f"c{n}", "p", "x", np.zeros((1, size, size)))
        return Case(one.name, one.patient, one.label, lambda: (read.append(n), one.read())[1])

    cases = [case(n, size) for n, size in enumerate((8, 8, 8, 4, 4))]
    assert [[at for at, _ in batch] for batch in batches(cases, 2)] == [[0, 1], [2], [3, 4]]
    assert read == [0, 1, 2, 3, 4]


def test_large_volumes_come_one_at_a_time_and_are_not_referenced():
    small, large = np.zeros((1, 8, 8)), np.broadcast_to(np.float32(0), (1, 192, 192, 192))
    assert large.size > MOST_PIXELS
    assert (fitting(8, small.size), fitting(8, large.size)) == (8, 1)
    cases = [Case(f"c{n}", "p", "x", lambda: Pixels(large, {})) for n in range(3)]
    assert [len(batch) for batch in batches(cases, 8)] == [1, 1, 1]
    assert not fits_faithfulness(cases[0]) and fits_faithfulness(Case.of("c", "p", "x", small))


def test_spread_takes_all_labels_and_many_patients():
    labels = ["a"] * 10 + ["b"] * 10
    patients = [f"p{n // 2}" for n in range(20)]
    chosen = spread(labels, patients, 6)
    assert [labels[at] for at in chosen].count("a") == 3
    assert len({patients[at] for at in chosen}) == 6
    assert chosen == spread(labels, patients, 6)
    assert spread(labels, patients, 99) == list(range(20))
