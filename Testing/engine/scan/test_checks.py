"""Checks: what no model can read is refused, what a model was not made for is said."""

from types import SimpleNamespace

import numpy as np
import pytest
from documents import REPOSITORY
from hrcam.bundle.bundle import load_bundle
from hrcam.errors import InputError
from hrcam.scan import checks
from hrcam.scan.checks import assess_fit, check_fit, check_volume
from hrcam.scan.statistics import STATISTICS, distances, intensity_statistics, padded, ranges
from hrcam.scan.volume import read_volume, volume_from_array


def head(seed=0, size=96, slices=8, noise=8.0):
    """A bright disc with texture in noise: S×H×W."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[-1.3:1.3:size * 1j, -1.3:1.3:size * 1j]
    texture = 300 + 60 * np.sin(5 * rows + seed) * np.cos(4 * columns)
    return ((rows**2 + columns**2 < 1) * texture + rng.normal(0, noise, (slices, size, size))).astype(np.float32)


def scan(array=None, spacing=(2.3, 2.3, 6.0), name="scan", **more):
    return volume_from_array(head() if array is None else array, np.diag([-spacing[0], -spacing[1], spacing[2], 1]),
                             name, **more)


def model(**changes):
    inputs = {"planes": ["axial"], "size": [256, 256], "spacing_mm": 0.94} | changes.pop("input", {})
    return SimpleNamespace(metadata={"modality": "MR T1 contrast-enhanced", "input": inputs} | changes)


FINE = model(input={"spacing_mm": 2.0, "size": [112, 112]})


def test_a_usual_scan_passes_without_a_word():
    check_volume(scan())
    assert check_fit(scan(), FINE) == []


@pytest.mark.parametrize(("volume", "words"), [
    (scan(np.full((8, 96, 96), 3.0)), r"same value \(3\)"),
    (scan(np.pad([[[1.0]]], ((0, 7), (0, 95), (0, 95)))), "almost entirely empty"),
    (scan(head(size=6)), "has only 6 x 6 x 8 voxels"),
    (scan(spacing=(0.001, 1, 1)), "outside of 0.01 to 50 mm"),
    (scan(spacing=(80, 80, 80)), "outside of 0.01 to 50 mm"),
    (scan(spacing=(49, 49, 6)), "which no scan does"),
    (scan(spacing=(0.02, 0.02, 0.02)), "which no scan does"),
    (scan((head() > 200) * 2.0), "looks like a label map"),
])
def test_what_shows_nothing_readable_is_refused(volume, words):
    with pytest.raises(InputError, match=words):
        check_volume(volume)


def test_more_voxels_than_the_limit_are_refused(monkeypatch):
    monkeypatch.setattr(checks, "MAX_VOXELS", 1000)
    with pytest.raises(InputError, match="more than the limit of 1,000"):
        check_volume(scan())


def test_values_that_became_infinite_later_are_refused():
    volume = scan()
    volume.array[0, 0, 0] = np.inf
    with pytest.raises(InputError, match="1 voxels that are not finite"):
        check_volume(volume)


def test_a_picture_may_have_any_stated_spacing():
    check_volume(scan(spacing=(80, 80, 80), spacing_known=False))


def test_whole_numbers_alone_are_no_label_map():
    check_volume(scan(head().round()))


@pytest.mark.parametrize(("volume", "words"), [
    (scan(modality="CT head"), "This is a CT scan; the model was made for MR T1"),
    (scan(modality="MR Ax T2 FLAIR"), "FLAIR"),
    (scan(name="sub-01_T2w"), "By its name this is a T2 scan"),
    (scan(np.moveaxis(head(), 0, 1), (2.3, 6.0, 2.3)), "The slices are coronal; the model was made for axial"),
    (scan(head(size=60), (4.1, 2.3, 6)), "The voxels are 4.1 mm wide"),
    (scan(spacing=(0.8, 0.8, 6)), "The field of view is 77 mm"),
    (scan(head(size=24), (2.3, 2.3, 6.0)), "field of view is 55 mm"),
    (scan(np.pad(head(size=24), ((0, 0), (36, 36), (36, 36)))), "What is shown measures 41 mm"),
    (scan(spacing_known=False), "states no spacing"),
])
def test_what_the_model_was_not_made_for_is_said(volume, words):
    warnings = check_fit(volume, FINE)
    assert len(warnings) == 1 and words in warnings[0]


@pytest.mark.parametrize("name", ["sub-01_T1w", "btp01_pre_t1ce", "scan2", "MPRAGE t1"])
def test_names_that_fit_or_say_nothing_do_not_warn(name):
    assert check_fit(scan(name=name), FINE) == []


def test_a_3d_model_is_compared_along_all_axes():
    volumetric = model(input={"spacing_mm": 1.5, "size": [96, 160, 160]})
    assert any("The voxels are 6 mm wide" in w for w in check_fit(scan(), volumetric))


def test_statistics_ignore_scale_and_offset():
    one, other = intensity_statistics(head()), intensity_statistics(head() * 17.5 - 1000)
    assert set(one) == set(STATISTICS)
    assert all(one[name] == pytest.approx(other[name], rel=2e-2, abs=2e-3) for name in STATISTICS)


def test_a_volume_and_its_slices_have_the_same_statistics():
    whole = intensity_statistics(head())
    each = [intensity_statistics(one) for one in head()]
    assert all(np.median([e[name] for e in each]) == pytest.approx(whole[name], rel=0.05) for name in STATISTICS)


def test_empty_slices_do_not_count():
    padded = np.concatenate([np.zeros((20, 96, 96), np.float32), head()])
    one, other = intensity_statistics(head()), intensity_statistics(padded)
    assert all(one[name] == pytest.approx(other[name], rel=0.05, abs=0.01) for name in STATISTICS)


def test_exact_statistics_of_two_halves():
    image = np.zeros((100, 100), np.float32)
    image[:, 75:] = 10.0
    found = intensity_statistics(image)
    assert found["foreground_fraction"] == 0.25 and found["foreground_mean"] == 1.0
    assert found["dark_fraction"] == 0.75 and found["entropy"] == 0.0
    assert found["gradient"] == pytest.approx(0.5 / 25)  # one of 25 columns sees half of the edge


@pytest.mark.parametrize("image", [np.zeros((9, 9)), np.zeros((0, 5, 5)), np.full((2, 9, 9), 4.0)])
def test_nothing_shown_has_no_statistics(image):
    assert intensity_statistics(image) == {}


def test_the_score_is_zero_for_training_like_scans_and_large_for_others():
    expected = ranges([intensity_statistics(head(seed)) for seed in range(12)], 0, 100)
    bundle = model(input={"spacing_mm": 2.0, "size": [112, 112]}, input_statistics=expected)
    assert assess_fit(scan(head(5)), bundle).out_of_range_score == 0.0 and check_fit(scan(head(5)), bundle) == []
    inverted = scan(400 - head(5, noise=60))
    assert assess_fit(inverted, bundle).out_of_range_score > 1
    assert any("unlike those that the model was trained on" in w for w in check_fit(inverted, bundle))


def test_statistics_with_space_around_are_those_of_a_padded_scan():
    found = padded(intensity_statistics(head(noise=1)), (96 / 120) ** 2)
    wide = intensity_statistics(np.pad(head(noise=1), ((0, 0), (12, 12), (12, 12))))
    assert all(found[name] == pytest.approx(wide[name], rel=0.02, abs=0.01) for name in STATISTICS)
    assert padded({}, 0.5) == {}


def test_a_scan_that_ends_at_the_head_is_as_much_like_the_training_images():
    tight = [head(seed, noise=1) for seed in range(12)]
    wide = [np.pad(one, ((0, 0), (12, 12), (12, 12))) for one in tight]
    expected = ranges([intensity_statistics(one) for one in wide], 0, 100)
    assert max(distances(intensity_statistics(tight[5]), expected).values()) > checks.WARNING_SCORE, "as it is"
    bundle = model(input={"spacing_mm": 2.3, "size": [120, 120]}, input_statistics=expected)
    assert assess_fit(scan(tight[5]), bundle).out_of_range_score < 0.05
    assert assess_fit(scan(wide[5]), bundle).out_of_range_score == 0.0
    assert assess_fit(scan(400 - head(5, noise=60)), bundle).out_of_range_score > 1
    assert assess_fit(scan(tight[5], spacing_known=False), bundle).out_of_range_score > checks.WARNING_SCORE
    trained_tight = model(input={"spacing_mm": 2.3, "size": [120, 120]}, input_statistics=ranges(
        [intensity_statistics(one) for one in tight], 0, 100))
    assert assess_fit(scan(tight[5]), trained_tight).out_of_range_score == 0.0, "ranges of scans that end so, too"


@pytest.mark.parametrize("name", ["brain-lesion", "t1ce-tumor", "simulated-lesion"])
def test_the_sample_of_the_module_looks_like_the_training_images(name):
    sample = read_volume(REPOSITORY / "HRCAMModule" / "Resources" / "SampleData" / "HRCAMSyntheticTumor.nrrd")
    assert assess_fit(sample, load_bundle(name)).out_of_range_score <= checks.WARNING_SCORE


def test_without_stated_ranges_there_is_no_score():
    assert assess_fit(scan(), FINE).out_of_range_score is None


def test_distances_count_range_widths():
    expected = {"entropy": [0.5, 0.7], "gradient": [0.0, 0.2], "mean": [0, 1]}
    found = distances({"entropy": 0.9, "gradient": 0.1}, expected)
    assert found == {"entropy": pytest.approx(1.0), "gradient": 0.0}


@pytest.mark.parametrize("name", [
    "sub-01_T2w", "sub-01_FLAIR", "sub-01_PDw", "scan_PD", "sub-01_angio", "ax_TOF_MRA", "sub-01_asl", "perfusion_CBF",
    "sub-01_phasediff", "sub-01_T2starw", "sub-01_sbref", "dir-AP_epi", "localizer",
])
def test_a_sequence_in_the_name_that_the_model_was_not_made_for_is_told(name):
    (told,) = [w for w in check_fit(scan(name=name), FINE) if w.startswith("By its name")]
    assert "scan; the model was made for" in told


@pytest.mark.parametrize("name", ["sub-01_T1w", "sub-01_UNIT1", "t1_mprage_sag", "scan", "perf_T1w"])
def test_a_name_that_fits_or_says_nothing_is_not(name):
    assert not [w for w in check_fit(scan(name=name), FINE) if w.startswith("By its name")]
