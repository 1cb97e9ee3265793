"""Borders that follow the image: only the halo moves, only for models that say so."""

import dataclasses
import math

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its customary name
from hrcam.bundle.evidence_level import EvidenceLevel
from hrcam.errors import BundleError
from hrcam.localize import Options, localize
from hrcam.run.borders import Borders, borders_of
from hrcam.run.marking import mark
from hrcam.scan.geometry import Geometry
from hrcam.scan.intensity import Scale, find_scale
from hrcam.scan.volume import Volume
from scipy import ndimage

GEOMETRY = Geometry((64, 64, 5), (0, 0, 0), (1.0, 1.0, 5.0), np.eye(3))
LEVELS = (EvidenceLevel("possible", 1.0, (1, 1, 0), 0.04), EvidenceLevel("probable", 3.0, (1, 0, 0), 0.36))
FAR = np.hypot(*(axis - 32 for axis in np.mgrid[:64, :64]))[None].repeat(5, 0)
EVIDENCE = (50 * np.exp(-(FAR**2) / 60)).astype(np.float32)
LESION = FAR < 7
RULE = {"weight": 0.2, "power": 2}


def head(lesion, outside=0.6):
    image = np.where(FAR < 30, outside, 0.0)
    image[LESION] = lesion
    return image + 0.01 * np.random.default_rng(0).standard_normal(image.shape)


def borders(image):
    scale = find_scale(image, {"kind": "percentile", "low": 1.0, "high": 90.0, "foreground": "otsu"})
    return Borders(image, scale, (math.inf, 1.0, 1.0), RULE)


@pytest.mark.parametrize("bright", [0.9, 0.3])
def test_a_border_follows_what_looks_like_the_core_whether_it_is_bright_or_dark(bright):
    plain = mark(EVIDENCE, GEOMETRY, LEVELS)
    drawn = mark(EVIDENCE, GEOMETRY, LEVELS, borders=borders(head(bright)))
    assert (plain > 0).sum() > 1.5 * LESION.sum()
    assert ((drawn > 0) & LESION).sum() > 0.9 * LESION.sum()
    assert ((drawn > 0) & ~LESION).sum() < 0.6 * ((plain > 0) & ~LESION).sum()
    assert np.array_equal(drawn > 1, plain > 1), "higher levels stay, nested in the weakest"


def test_a_border_reaches_into_the_halo_and_never_below_the_weakest_level():
    wide = np.where(FAR < 16, 0.9, np.where(FAR < 30, 0.6, 0.0))
    plain = mark(EVIDENCE, GEOMETRY, LEVELS) > 0
    drawn = mark(EVIDENCE, GEOMETRY, LEVELS, borders=borders(wide)) > 0
    assert drawn.sum() > plain.sum()
    assert EVIDENCE[drawn].min() >= LEVELS[0].threshold


@pytest.mark.parametrize("image", [head(0.6), np.zeros(FAR.shape), np.full(FAR.shape, 7.0)])
def test_where_nothing_is_to_be_seen_peaks_decide_as_before(image):
    plain, drawn = (mark(EVIDENCE, GEOMETRY, LEVELS, borders=one) > 0 for one in (None, borders(image)))
    assert (plain != drawn).sum() <= 0.15 * plain.sum()
    assert not mark(0 * EVIDENCE, GEOMETRY, LEVELS, borders=borders(image)).any()


def test_the_scale_of_intensities_does_not_matter():
    image = head(0.9)
    counts = np.round(255 * (image - image.min()) / np.ptp(image)).astype(np.uint8)
    first, second = (mark(EVIDENCE, GEOMETRY, LEVELS, borders=borders(one)) > 0 for one in (image, counts))
    assert (first != second).sum() < 0.02 * first.sum()
    again = mark(EVIDENCE, GEOMETRY, LEVELS, borders=borders(1e4 * image)) > 0
    assert (first != again).sum() < 0.02 * first.sum()


def test_one_region_stays_one_and_what_is_cut_off_is_left_out():
    image = head(0.9)
    image[(FAR > 13) & (FAR < 15)] = 0.9
    assert (EVIDENCE[(FAR > 13) & (FAR < 15)] > LEVELS[0].threshold).all()
    drawn = mark(EVIDENCE, GEOMETRY, LEVELS, borders=borders(image)) > 0
    assert not drawn[(FAR > 13) & (FAR < 15)].any()


def test_single_slices_at_the_edge_of_the_image_have_borders_too():
    geometry = Geometry((40, 64, 1), (0, 0, 0), (1.0, 1.0, 1.0), np.eye(3))
    cut = (slice(2, 3), slice(None), slice(24, None))
    drawn = mark(np.ascontiguousarray(EVIDENCE[cut]), geometry, LEVELS, borders=borders(head(0.9)[cut]))
    assert 0.8 * LESION[cut].sum() < (drawn > 0).sum() < (mark(EVIDENCE[cut], geometry, LEVELS) > 0).sum()


def written(image, labels, evidence, level, spacing):
    """What docs/method.md says, with scipy's components and windows; the image is normalized."""
    labels, (numbers, count) = labels.copy(), ndimage.label(evidence >= level.threshold, np.ones((3, 3, 3)))
    for number in range(1, count + 1):
        own = numbers == number
        if own.sum() < 10:
            continue
        reach = [0 if math.isinf(step) else max(1, round(8 / step)) for step in spacing]
        part = ndimage.find_objects(numbers)[number - 1]
        part = tuple(slice(max(0, one.start - n), one.stop + n) for one, n in zip(part, reach, strict=True))
        own, target = own[part], labels[part]
        share = np.where(own, evidence[part], 0.0)
        share = (share / share.max()) ** (1 / RULE["power"])
        wanted = level.of_peak ** (1 / RULE["power"])
        variance = [(0.7 / step) ** 2 for step in reversed(spacing)]
        seen = sitk.DiscreteGaussian(sitk.GetImageFromArray(image[part].astype(np.float32)), variance)
        seen, region = sitk.GetArrayFromImage(seen), own & (share >= wanted)
        windows = [[1 if math.isinf(step) else 2 * max(1, round(mm / step)) + 1 for step in spacing] for mm in (1, 8)]
        near, far = (ndimage.maximum_filter(region, window, mode="constant") for window in windows)
        core, ring = region & (share >= 0.5), far & ~near & (seen > 0.1)
        likelier = np.zeros(seen.shape)
        if min(core.sum(), ring.sum()) >= 10:
            bins = np.floor(seen / 0.05).clip(0, 29).astype(int)
            shares = [ndimage.gaussian_filter1d(np.bincount(bins[one], minlength=30).astype(float), 2, mode="constant")
                      for one in (core, ring)]
            inside, outside = (0.99 * one / one.sum() + 0.01 / 30 for one in shares)
            likelier = np.log(inside / outside).clip(-2, 2)[bins]
        kept = own & (share + RULE["weight"] * likelier >= wanted)
        heart = (share >= 0.5) | (own & (target > 1))
        parts, _ = ndimage.label(kept | heart, np.ones((3, 3, 3)))
        kept = (kept | heart) & np.isin(parts, np.unique(parts[heart]))
        target[own & ~kept] = 0
        np.maximum(target, kept, out=target, casting="unsafe")
    return labels


@pytest.mark.parametrize("spacing", [(math.inf, 1.0, 1.0), (3.0, 2.0, 0.7), (1.0, 1.0, 20.0)])
def test_borders_are_those_of_the_written_method(spacing):
    random = np.random.default_rng(5)
    k, j, i = np.indices((9, 48, 52))
    hills = (50, 4, 20, 19, 60), (8, 1, 2, 44, 30), (4, 7, 40, 30, 40), (30, 8, 45, 50, 5)
    evidence = np.max([peak * np.exp(-(((k - z) * 3) ** 2 + (j - y) ** 2 + (i - x) ** 2) / wide)
                       for peak, z, y, x, wide in hills], axis=0).astype(np.float32)
    evidence[0, 47, 3:9] = 2.0  # six voxels
    image = 0.35 + 0.007 * j + 0.03 * k + 0.06 * random.standard_normal(evidence.shape)
    image[evidence > 6] += 0.35
    image[4, 20:40, 19] += 0.35  # a tongue, and a piece that is bright but apart from the core
    image[4, 2:8, 15:25] = 5.0  # as bright as it gets
    image[:, :, :2] = 0.0
    level = LEVELS[0]
    labels = mark(evidence, Geometry((52, 48, 9), (0, 0, 0), (1.0, 1.0, 1.0), np.eye(3)), LEVELS)
    should = written(image.clip(0, 1.5), labels, evidence, level, spacing)
    found = labels.copy()
    Borders(image, Scale(0.0, 1.0), spacing, RULE).draw(found, evidence, level)
    np.testing.assert_array_equal(found, should)
    assert (should != labels).sum() > 100 and should[0, 47, 5] == 1


@pytest.mark.parametrize("length", [9, 10])
def test_a_core_of_fewer_than_ten_voxels_tells_no_brightness(length):
    evidence, image = np.zeros((1, 20, 24), np.float32), np.full((1, 20, 24), 0.4)
    evidence[0, 4:7, 5 : 5 + length], image[0, 5, 5 : 5 + length] = 2.0, 1.0
    evidence[0, 5, 5 : 5 + length] = 10.0
    labels = mark(evidence, Geometry((24, 20, 1), (0, 0, 0), (1.0, 1.0, 1.0), np.eye(3)), LEVELS)
    Borders(image, Scale(0.0, 1.0), (math.inf, 1.0, 1.0), RULE).draw(labels, evidence, LEVELS[0])
    assert np.count_nonzero(labels) == (length if length == 10 else 3 * length)


def test_nothing_is_marked_beside_a_region_of_little_evidence():
    evidence = np.zeros((1, 20, 24), np.float32)
    evidence[0, 5, 5:17] = 2.0
    labels = mark(evidence, Geometry((24, 20, 1), (0, 0, 0), (1.0, 1.0, 1.0), np.eye(3)), LEVELS)
    Borders(0.4 + 0.1 * evidence, Scale(0.0, 1.0), (math.inf, 1.0, 1.0), RULE).draw(labels, evidence, LEVELS[0])
    assert np.array_equal(labels > 0, evidence > 0)


@pytest.mark.parametrize(("across", "expected"), [(0, (1.5, 2.0, math.inf)), (2, (math.inf, 2.0, 4.0))])
def test_borders_lie_in_the_slices_that_were_acquired(bright_blob_bundle, across, expected):
    spacing = [4.0, 2.0, 1.5]
    spacing[across] = 9.0
    scan = Volume(np.zeros((5, 6, 7), np.float32), Geometry((7, 6, 5), (0, 0, 0), tuple(spacing), np.eye(3)), "scan")
    asked = dataclasses.replace(bright_blob_bundle, metadata={**bright_blob_bundle.metadata, "borders": RULE})
    assert borders_of(scan, asked).spacing == expected


def test_only_a_model_that_says_so_follows_the_image(bright_blob_bundle, blob_volume):
    scan = blob_volume()
    assert borders_of(scan, bright_blob_bundle) is None
    told = {**bright_blob_bundle.metadata, "borders": RULE}
    asked = dataclasses.replace(bright_blob_bundle, metadata=told)
    plain, drawn = (localize(scan, one, Options(device="cpu")) for one in (bright_blob_bundle, asked))
    assert plain.borders is None and drawn.borders.rule == RULE
    assert len(drawn.regions) == len(plain.regions) and np.array_equal(drawn.map, plain.map)


@pytest.mark.parametrize("wrong", [{"weight": 0.2}, {"weight": -1, "power": 2}, {"weight": 0.5, "power": 2},
                                   {"weight": 0.2, "power": 0}, {"weight": 0.2, "power": 2, "more": 1}])  # fmt: skip
def test_wrong_values_are_refused(bright_blob_bundle, wrong):
    from hrcam.bundle.metadata import check_document

    check_document({**bright_blob_bundle.metadata, "borders": RULE})
    with pytest.raises(BundleError, match="borders"):
        check_document({**bright_blob_bundle.metadata, "borders": wrong})
