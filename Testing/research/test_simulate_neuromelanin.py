"""Simulated midbrains: nigra brighter than crus, loss ventrolateral first, truth where pairs differ."""

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its customary name
from hrcam.errors import InputError
from hrcam_research.simulate.midbrain import CONTRAST, measure_contrast, nigra_weights
from hrcam_research.simulate.neuromelanin import NigralLoss, random_loss, simulate_midbrain

GRID = {"size": (10, 80, 80), "spacing_mm": (2.6, 0.8, 0.8)}


def test_same_seed_same_volume_and_control_is_the_counterpart():
    loss = NigralLoss(0.7, 0.4)
    first = simulate_midbrain((0, 5), parkinson=True, loss=loss, paired=True, **GRID)
    second = simulate_midbrain((0, 5), parkinson=True, loss=loss, paired=True, **GRID)
    control = simulate_midbrain((0, 5), parkinson=False, **GRID)
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.counterpart, control.image)
    assert not control.mask.any() and control.loss is None and first.image.shape == GRID["size"]


def test_truth_is_where_twins_differ():
    from scipy import ndimage

    case = simulate_midbrain(2, parkinson=True, loss=NigralLoss(0.7, 0.5, 1.0), paired=True, **GRID)
    change = (case.counterpart - case.image) / np.median(case.image)
    assert case.mask.any() and not (case.mask & ~(case.labels == 2)).any()
    assert change[case.mask].mean() > 0.08
    far = ~ndimage.binary_dilation((case.labels == 2), np.ones((3, 7, 7)))
    assert np.abs(change[far]).max() < 1e-3
    kept = (case.labels == 2) & ~case.mask
    assert change[kept].mean() < 0.6 * change[case.mask].mean()


def test_loss_is_graded_and_on_the_side_asked_for():
    sizes = []
    for fraction in (0.2, 0.5, 0.8):
        case = simulate_midbrain(4, parkinson=True, loss=NigralLoss(fraction, 0.0), **GRID)
        sizes.append(int(case.mask.sum()))
        columns = np.nonzero(case.mask)[2]
        assert (columns > np.nonzero(case.labels == 2)[2].mean()).all()  # the patient's left: large column numbers
    assert sizes[0] < sizes[1] < sizes[2]


def test_ventrolateral_part_is_lost_first():
    # Patient's left nigra in the middle slice: lateral end at (11.8, 3.7), medial at (3.2, -6.8) mm.
    part = nigra_weights(np.array([10.5, 4.5]), np.array([1.0, -5.5]), np.array([0.0, 0.0]))
    assert (part.weight > 0.5).all()
    assert part.order[0] < part.order[1]


def test_contrast_is_near_that_of_the_real_volume():
    # Measured on the real volume: nigra 1.225 of the crus (upper quartile 1.294), variation in the crus 0.036.
    found = [
        measure_contrast(c.image, c.labels) for c in (simulate_midbrain(s, parkinson=False, **GRID) for s in range(6))
    ]
    mean = {name: np.mean([f[name] for f in found]) for name in found[0]}
    assert mean["nigra_mean"] == pytest.approx(1.225, abs=0.05)
    assert mean["nigra_upper_quartile"] == pytest.approx(1.294, abs=0.05)
    assert 0.02 < mean["crus_variation"] < 0.08
    assert CONTRAST["nigra"][0] > CONTRAST["tegmentum"][0] > CONTRAST["red nucleus"][0] > 1


@pytest.mark.data
def test_numbers_of_the_real_volume_are_those_written_down():
    folder = Path(os.environ.get("HRCAM_DATA", Path(__file__).parents[3] / "shared" / "data")) / "neuromelanin"
    if not folder.is_dir():
        pytest.skip("HRCAM_DATA has no neuromelanin volume")
    image, labels = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(folder / name)))
        for name in ("sub-001_NM.nii.gz", "sub-001_midbrain_atlas_space-NM.nii.gz")
    )
    found = measure_contrast(image, labels)
    assert found == pytest.approx(
        {"nigra_mean": 1.225, "nigra_upper_quartile": 1.294, "contrast_ratio": 0.225, "crus_variation": 0.036},
        abs=0.002,
    )


def test_measured_contrast_of_known_image():
    image, labels = np.ones((4, 8, 8)) * 50, np.zeros((4, 8, 8))
    labels[1, :2], labels[2, :2] = 1, 2
    image[labels == 1], image[labels == 2] = 100, 130
    found = measure_contrast(image, labels)
    assert found == pytest.approx(
        {"nigra_mean": 1.3, "nigra_upper_quartile": 1.3, "contrast_ratio": 0.3, "crus_variation": 0.0}
    )


def test_random_losses_are_asymmetric_on_either_side():
    drawn = [random_loss(np.random.default_rng(n)) for n in range(40)]
    assert all(abs(d.left - d.right) > 0.01 for d in drawn)
    assert {d.left > d.right for d in drawn} == {True, False}


def test_wrong_requests_are_explained():
    with pytest.raises(InputError, match="fractions"):
        NigralLoss(1.5, 0.2)
    with pytest.raises(InputError, match="three sizes"):
        simulate_midbrain(0, parkinson=False, size=(16, 64), spacing_mm=(1, 1))
