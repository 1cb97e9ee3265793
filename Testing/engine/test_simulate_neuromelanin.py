"""Simulated midbrains: nigra brighter than crus, loss ventrolateral first, truth where twins differ."""

import numpy as np
import pytest
from hrcam.errors import InputError
from hrcam.simulate.midbrain import CONTRAST, measure_contrast, nigra
from hrcam.simulate.neuromelanin import NigralLoss, random_loss, simulate_midbrain

GRID = {"size": (10, 80, 80), "spacing_mm": (2.6, 0.8, 0.8)}


def test_same_seed_same_volume_and_control_is_the_twin():
    loss = NigralLoss(0.7, 0.4)
    first = simulate_midbrain((0, 5), parkinson=True, loss=loss, paired=True, **GRID)
    second = simulate_midbrain((0, 5), parkinson=True, loss=loss, paired=True, **GRID)
    control = simulate_midbrain((0, 5), parkinson=False, **GRID)
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.twin, control.image)
    assert not control.mask.any() and control.loss is None and first.image.shape == GRID["size"]


def test_truth_is_where_twins_differ():
    from scipy import ndimage

    case = simulate_midbrain(2, parkinson=True, loss=NigralLoss(0.7, 0.5, 1.0), paired=True, **GRID)
    change = (case.twin - case.image) / np.median(case.image)
    assert case.mask.any() and not (case.mask & ~case.nigra).any()
    assert change[case.mask].mean() > 0.08
    far = ~ndimage.binary_dilation(case.nigra, np.ones((3, 7, 7)))
    assert np.abs(change[far]).max() < 1e-3
    kept = case.nigra & ~case.mask
    assert change[kept].mean() < 0.6 * change[case.mask].mean()


def test_loss_is_graded_and_on_the_side_asked_for():
    sizes = []
    for fraction in (0.2, 0.5, 0.8):
        case = simulate_midbrain(4, parkinson=True, loss=NigralLoss(fraction, 0.0), **GRID)
        sizes.append(int(case.mask.sum()))
        columns = np.nonzero(case.mask)[2]
        assert (columns > np.nonzero(case.nigra)[2].mean()).all()  # the patient's left: large column numbers
    assert sizes[0] < sizes[1] < sizes[2]


def test_ventrolateral_part_is_lost_first():
    # Patient's left nigra in the middle slice: lateral end at (11.8, 3.7), medial at (3.2, -6.8) mm.
    part = nigra(np.array([10.5, 4.5]), np.array([1.0, -5.5]), np.array([0.0, 0.0]))
    assert (part.weight > 0.5).all()
    assert part.order[0] < part.order[1]


def test_contrast_ratio_is_that_of_the_real_volume():
    measured = []
    for seed in range(4):
        case = simulate_midbrain(seed, parkinson=False, **GRID)
        core = case.nigra
        level = np.median(case.image[core])
        # The crus: the darkest tissue next to the nigra.
        from scipy import ndimage

        near = ndimage.binary_dilation(core, np.ones((1, 15, 15))) & ~ndimage.binary_dilation(core, np.ones((1, 5, 5)))
        brain = near & (case.image > 0.5 * level)
        measured.append(level / np.percentile(case.image[brain], 15))
    assert 1.12 < np.mean(measured) < 1.45
    assert CONTRAST["nigra"][0] > CONTRAST["tegmentum"][0] > CONTRAST["red nucleus"][0] > 1


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
