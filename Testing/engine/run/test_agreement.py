"""Three planes read together: their mean is the map, what all of them see is called and marked."""

import dataclasses

import numpy as np
import pytest
from hrcam.localize import Options, localize
from hrcam.run.agreement import agreed_logits, agreed_voxels, join_planes, plane_weights
from hrcam.run.level_volumes import read_level
from hrcam.scan.sampling import plan_slices

CPU = Options(device="cpu")
RULE = {"limit": 20.0, "temperature": 0.5}
ALIKE = (1 / 3, 1 / 3, 1 / 3)


def with_agreement(bundle, best_plane="all", **rule):
    """The bundle with an agreement among its three planes."""
    metadata = {**bundle.metadata, "input": {**bundle.metadata["input"], "best_plane": best_plane}}
    return dataclasses.replace(bundle, metadata={**metadata, "agreement": {**RULE, **rule}})


def constant_maps(plans, values):
    """One map a plane that is the same everywhere."""
    return [iter([(slice(0, plan.count), np.full((plan.count, *plan.size), value, np.float32))])
            for plan, value in zip(plans, values, strict=True)]


@pytest.fixture(scope="module")
def plans(bright_blob_bundle, blob_volume):
    scan = blob_volume()
    return [plan_slices(scan, bright_blob_bundle, plane) for plane in ("axial", "coronal", "sagittal")]


def test_the_map_is_the_mean_and_the_agreement_the_geometric_mean(plans):
    joined = join_planes(plans, constant_maps(plans, (1.0, 8.0, 27.0)), ALIKE, agreement=True)
    middle = tuple(n // 2 for n in joined.evidence.shape)
    assert joined.evidence[middle] == pytest.approx(12.0) and joined.agreement[middle] == pytest.approx(6.0, rel=2e-3)
    assert [means[0] for means in joined.item_means] == pytest.approx([1.0, 8.0, 27.0])
    alone = join_planes(plans, constant_maps(plans, (1.0, 8.0, 27.0)), ALIKE, agreement=False)
    assert alone.agreement is None
    np.testing.assert_allclose(alone.evidence, joined.evidence, rtol=1e-6)


def test_planes_count_in_the_map_as_the_bundle_says_and_agree_as_before(plans):
    weights = plane_weights(plans, {"axial": 3.0, "coronal": 2.0})
    assert weights == pytest.approx((0.5, 1 / 3, 1 / 6)) and plane_weights(plans, {}) == pytest.approx(ALIKE)
    joined = join_planes(plans, constant_maps(plans, (1.0, 8.0, 27.0)), weights, agreement=True)
    middle = tuple(n // 2 for n in joined.evidence.shape)
    assert joined.evidence[middle] == pytest.approx(0.5 + 8 / 3 + 4.5)
    assert joined.agreement[middle] == pytest.approx(6.0, rel=2e-3)


def test_levels_of_weighted_planes_add_up_to_the_map(bright_blob_bundle, blob_volume, tmp_path):
    bundle = with_agreement(bright_blob_bundle)
    bundle.metadata["input"]["plane_weights"] = {"axial": 4.0}
    found = localize(blob_volume(), bundle, dataclasses.replace(CPU, keep_levels=True, fusion="sum"))
    np.testing.assert_allclose(sum(found.level_maps.values()), found.map, atol=1e-2)
    alike = localize(blob_volume(), with_agreement(bright_blob_bundle), dataclasses.replace(CPU, fusion="sum"))
    assert np.abs(found.map - alike.map).max() > 0.1 and found.completeness_error < 1e-3
    name = next(iter(found.level_maps))
    found.level_maps.write(name, tmp_path / "level.npz")
    np.testing.assert_allclose(read_level(tmp_path / "level.npz"), found.level_maps[name], atol=1e-4)


def test_a_plane_that_sees_nothing_or_the_opposite_leaves_no_agreement(plans):
    joined = join_planes(plans, constant_maps(plans, (90.0, -5.0, 90.0)), ALIKE, agreement=True)
    assert not joined.agreement.any() and joined.evidence.max() > 50


def test_a_scan_is_called_ill_exactly_where_planes_agree():
    for strongest in (0.0, 19.9, 20.0, 20.1, 500.0):
        agreement = np.array([[[0.0, strongest]]], np.float16)
        odds, absent = agreed_logits(agreement, RULE, (True, False))
        assert absent == 0 and (odds >= 0) == agreed_voxels(agreement, RULE).any()
    assert agreed_logits(np.full((1, 1, 1), 40, np.float16), RULE, (False, True))[1] == pytest.approx(2 * np.log(2))


def test_what_planes_agree_on_reaches_down_to_half_of_the_limit_around_it():
    seen = np.array([[[21, 10, 9.9, 10, 0, 12, 12, 0, 19.9, 10, 20]]], np.float16)
    assert agreed_voxels(seen, {**RULE, "limit": 20})[0, 0].nonzero()[0].tolist() == [0, 1, 8, 9, 10]
    assert not agreed_voxels(seen, {**RULE, "limit": 22}).any(), "nothing reaches the limit"
    seen[0, 0, 0] = 110  # a tenth of it is more than half of the limit
    assert agreed_voxels(seen, {**RULE, "limit": 20})[0, 0].nonzero()[0].tolist() == [0, 8, 9, 10]
    seen[0, 0, 1] = 20
    assert agreed_voxels(np.where(seen == 110, 500, seen), {**RULE, "limit": 20})[0, 0, :2].all(), "the limit is enough"


def test_small_voxels_are_read_in_three_planes_where_the_bundle_says_so(bright_blob_bundle, blob_volume):
    found = localize(blob_volume(), with_agreement(bright_blob_bundle), CPU)
    assert found.plane == "all" and found.predicted == "lesion" and len(found.regions) == 1
    assert found.agreed.any() and (found.labels[found.agreed] > 0).all()
    named = localize(blob_volume(), bright_blob_bundle, dataclasses.replace(CPU, plane="all"))
    np.testing.assert_array_equal(found.map, named.map)
    assert named.agreed is None and found.completeness_error < 1e-3
    axial = localize(blob_volume(), with_agreement(bright_blob_bundle), dataclasses.replace(CPU, plane="axial"))
    assert axial.plane == "axial" and axial.agreed is None


def test_what_not_all_planes_see_enough_of_is_withheld_and_shown_when_asked_for(bright_blob_bundle, blob_volume):
    strict = with_agreement(bright_blob_bundle, limit=1e5, pathology_withheld=0.6, normal_shown=0.02, scans=72)
    found = localize(blob_volume(), strict, CPU)
    assert found.predicted == "no_lesion" and found.withheld and not found.labels.any()
    words, = found.warnings
    assert "60 % of the scans with pathology" in words and "marks on 2 % of those without" in words
    asked = localize(blob_volume(), strict, dataclasses.replace(CPU, class_name="lesion"))
    assert asked.labels.any() and not asked.withheld and asked.probabilities == found.probabilities


def test_a_scan_that_is_called_ill_shows_where_even_if_in_specks(bright_blob_bundle, blob_volume):
    bundle, scan = with_agreement(bright_blob_bundle), blob_volume(radius_mm=1.0)
    found = localize(scan, bundle, CPU)
    assert found.predicted == "lesion" and not found.warnings
    assert 0 < max(region.volume_ml for region in found.regions) < CPU.minimum_region_ml
    wanted = localize(scan, bundle, dataclasses.replace(CPU, minimum_region_ml=0.06))
    assert wanted.predicted == "lesion" and not wanted.labels.any() and not wanted.regions
    assert any("smaller than 0.06 ml" in words for words in wanted.warnings), "it says why nothing is marked"


def test_probabilities_do_not_depend_on_the_class_that_is_shown(bright_blob_bundle, blob_volume):
    bundle = with_agreement(bright_blob_bundle)
    found = localize(blob_volume(), bundle, CPU)
    other = localize(blob_volume(), bundle, dataclasses.replace(CPU, class_name="no_lesion"))
    assert other.shown_class == "no_lesion" and other.probabilities == found.probabilities
