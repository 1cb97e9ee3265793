"""Lesions: as large, as bright and as reproducible as asked for, and nowhere else."""

import numpy as np
import pytest
from hrcam.errors import InputError
from hrcam_research.simulate.lesion import (
    KINDS,
    LOOKS,
    LesionSpec,
    find_site,
    insert_lesion,
    random_lesion,
    tumor_lesion,
)

SPACING = {2: (1.0, 1.0), 3: (3.0, 3.0, 3.0)}


def ball(ndim: int, size: int = 128, level: float = 100.0) -> tuple[np.ndarray, np.ndarray]:
    """An even, round brain in air, with a little noise; and its mask."""
    size = size if ndim == 2 else 48
    axes = np.ogrid[tuple(slice(size) for _ in range(ndim))]
    inside = sum((a - size / 2) ** 2 for a in axes) < (0.4 * size) ** 2
    noise = np.random.default_rng(0).normal(0, 1, inside.shape)
    return (np.where(inside, level, 0) + noise).astype(np.float32), inside


def equivalent_diameter(mask: np.ndarray, spacing: tuple[float, ...]) -> float:
    size = mask.sum() * np.prod(spacing)
    return float(2 * np.sqrt(size / np.pi)) if mask.ndim == 2 else float(2 * (3 * size / (4 * np.pi)) ** (1 / 3))


@pytest.mark.parametrize("ndim", [2, 3])
def test_same_seed_gives_same_lesion_and_input_is_untouched(ndim):
    image, _ = ball(ndim)
    before = image.copy()
    first, second, other = (insert_lesion(image, SPACING[ndim], np.random.default_rng(s)) for s in (3, 3, 4))
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])
    assert np.array_equal(image, before)
    assert first[0].dtype == np.float32 and first[1].dtype == bool


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "multiple"])
@pytest.mark.parametrize("diameter", [9.0, 24.0])
def test_size_is_the_diameter_asked_for(ndim, kind, diameter):
    image, inside = ball(ndim)
    spec = LesionSpec(kind=kind, diameter_mm=diameter, location="deep")
    for seed in range(3):
        _, mask = insert_lesion(image, SPACING[ndim], np.random.default_rng(seed), spec, inside)
        assert equivalent_diameter(mask, SPACING[ndim]) == pytest.approx(diameter, rel=0.12)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("contrast", [0.8, 0.15, -0.15, -0.6])
def test_contrast_has_the_sign_and_size_asked_for(ndim, contrast):
    image, inside = ball(ndim)
    spec = LesionSpec(kind="smooth", diameter_mm=24, contrast=contrast, texture=0.0, location="deep")
    result, mask = insert_lesion(image, SPACING[ndim], np.random.default_rng(1), spec, inside)
    change = (result - image)[mask].mean() / 100
    assert np.sign(change) == np.sign(contrast)
    assert abs(change) == pytest.approx(abs(contrast), rel=0.3)


def test_image_changes_only_in_the_mask_and_its_soft_edge():
    image, inside = ball(2)
    spec = LesionSpec(kind="lobulated", diameter_mm=20, contrast=0.7, edge_mm=1.0, mass_effect=0.0, halo_mm=0.0)
    result, mask = insert_lesion(image, SPACING[2], np.random.default_rng(5), spec, inside)
    changed = np.abs(result - image) > 15
    from scipy import ndimage

    assert not (changed & ~ndimage.binary_dilation(mask, iterations=2)).any()
    assert (changed & mask).sum() > 0.9 * mask.sum()


def test_mass_effect_pushes_landmarks_outward():
    image, inside = ball(2)
    image[:, 60:62] = 160.0  # a line that the lesion bends
    spec = LesionSpec(kind="smooth", diameter_mm=24, contrast=-0.5, texture=0.0, mass_effect=0.5, location="deep")
    still = LesionSpec(**{**spec.to_dict(), "mass_effect": 0.0})
    pushed, mask = insert_lesion(image, SPACING[2], np.random.default_rng(2), spec, inside)
    unmoved, same = insert_lesion(image, SPACING[2], np.random.default_rng(2), still, inside)
    assert np.array_equal(mask, same)
    assert np.abs(pushed - unmoved)[~mask].max() > 20
    assert np.abs(pushed - image)[~inside].max() < 10


def test_halo_is_outside_the_mask_unless_asked_for():
    image, inside = ball(2)
    values = {"kind": "smooth", "diameter_mm": 16.0, "halo_mm": 10.0, "halo_contrast": -0.3, "location": "deep"}
    result, mask = insert_lesion(image, SPACING[2], np.random.default_rng(3), LesionSpec(**values), inside)
    _, wide = insert_lesion(
        image, SPACING[2], np.random.default_rng(3), LesionSpec(**values, halo_in_mask=True), inside
    )
    ring = wide & ~mask
    assert ring.sum() > 30 and (wide | ~mask).all()
    assert (result - image)[ring].mean() < -10


def test_ring_has_bright_rim_and_dark_core():
    from scipy import ndimage

    image, inside = ball(2)
    spec = LesionSpec(kind="ring", diameter_mm=30, contrast=0.8, rim_mm=4, core_contrast=-0.4, location="deep")
    result, mask = insert_lesion(image, SPACING[2], np.random.default_rng(8), spec, inside)
    depth = ndimage.distance_transform_edt(mask)
    assert result[depth > 0.85 * depth.max()].mean() < 85
    assert result[(depth > 1) & (depth < 3)].mean() > 130


def test_multiple_lesions_are_several_pieces():
    from scipy import ndimage

    image, inside = ball(2)
    spec = LesionSpec(kind="multiple", diameter_mm=6, count=4)
    pieces = [ndimage.label(insert_lesion(image, SPACING[2], np.random.default_rng(s), spec, inside)[1])[1]
              for s in range(4)]  # fmt: skip
    assert max(pieces) >= 3


@pytest.mark.parametrize("location", ["any", "deep", "dural"])
def test_lesion_stays_inside_the_mask_given(location):
    image, inside = ball(2)
    spec = LesionSpec(diameter_mm=20, location=location)
    for seed in range(4):
        _, mask = insert_lesion(image, SPACING[2], np.random.default_rng(seed), spec, inside)
        outside = mask & ~inside
        assert mask.any() and outside.sum() <= 0.08 * mask.sum()


def test_brain_is_found_without_a_mask_and_the_place_can_be_reused():
    image, inside = ball(2)
    site = find_site(image, SPACING[2])
    _, mask = insert_lesion(image, SPACING[2], np.random.default_rng(0), where=site)
    assert mask.any() and (mask & inside).sum() == mask.sum()


def test_random_lesions_cover_kinds_signs_and_sizes():
    rng = np.random.default_rng(0)
    drawn = [random_lesion(rng) for _ in range(300)]
    assert {spec.kind for spec in drawn} == set(KINDS)
    assert min(s.contrast for s in drawn) < -0.3 and max(s.contrast for s in drawn) > 0.8
    assert min(abs(s.contrast) for s in drawn) < 0.2
    assert all(2.0 <= s.diameter_mm <= 30.0 for s in drawn)
    small = [random_lesion(rng, diameter_mm=(2.0, 3.0)) for _ in range(50)]
    assert all(2.0 <= s.diameter_mm <= 3.0 for s in small)


def test_tumor_looks_differ_as_described():
    rng = np.random.default_rng(0)
    specs = {look: [tumor_lesion(rng, look) for _ in range(60)] for look in LOOKS}
    assert all(s.location == "dural" and s.contrast > 0.4 for s in specs["meningioma"])
    assert all(s.location == "sellar" and s.diameter_mm <= 30 for s in specs["pituitary"])
    assert {"ring", "diffuse"} <= {s.kind for s in specs["glioma"]}
    assert any(s.contrast < 0 for s in specs["glioma"])


def test_wrong_requests_are_explained():
    image, inside = ball(2)
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="kind 'cube'"):
        LesionSpec(kind="cube")
    with pytest.raises(InputError, match="Location"):
        LesionSpec(location="moon")
    with pytest.raises(InputError, match="mass_effect"):
        LesionSpec(mass_effect=2.0)
    with pytest.raises(InputError, match="look"):
        tumor_lesion(rng, "lymphoma")
    with pytest.raises(InputError, match="cannot take a lesion"):
        insert_lesion(image, (1.0, 1.0, 1.0), rng)
    with pytest.raises(InputError, match="where"):
        insert_lesion(image, (1.0, 1.0), rng, where=np.zeros_like(inside))
    with pytest.raises(InputError, match="No head"):
        insert_lesion(np.zeros((64, 64), np.float32), (1.0, 1.0), rng)
