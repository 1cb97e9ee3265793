"""Borders that follow the image: only the halo moves, only for models that say so."""

import dataclasses
import math

import numpy as np
import pytest
from hrcam.bundle.evidence_level import EvidenceLevel
from hrcam.errors import BundleError
from hrcam.localize import Options, localize
from hrcam.run.borders import Borders, borders_of
from hrcam.run.marking import mark
from hrcam.scan.geometry import Geometry
from hrcam.scan.intensity import find_scale

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
