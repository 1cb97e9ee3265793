"""What label maps lack: it is drawn where it belongs, and into nothing else."""

import numpy as np
import pytest
from hrcam_research.simulate.anatomy import add_details, extract_brain
from hrcam_research.simulate.tissues import INDEX, draw_intensities
from scipy import ndimage

CSF, CORTEX, WHITE, BONE = (INDEX[name] for name in ("csf", "cortex", "white matter", "bone"))
SINUS, PLEXUS = INDEX["sinus"], INDEX["choroid plexus"]
SPACING = (1.0, 1.0)


@pytest.fixture
def slice_of_a_head() -> np.ndarray:
    """Bone around fluid around cortex around white matter around a ventricle; 1 mm pixels."""
    radius = np.hypot(*np.mgrid[-64:64, -64:64])
    tissues = np.zeros(radius.shape, np.uint8)
    for outer, tissue in ((62, BONE), (54, CSF), (48, CORTEX), (44, WHITE), (12, CSF)):
        tissues[radius < outer] = tissue
    return tissues


def details(tissues: np.ndarray, seed: int, style: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mean, _ = draw_intensities(np.random.default_rng(seed), style)
    return *add_details(np.random.default_rng(seed), tissues, SPACING, style, mean), mean


def test_vessels_and_plexus_lie_in_fluid_and_sulci_widen_into_cortex_alone(slice_of_a_head: np.ndarray) -> None:
    given = slice_of_a_head.copy()
    seen = set()
    for seed in range(20):
        tissues, _, _ = details(slice_of_a_head, seed, "t1")
        changed = tissues != given
        seen |= set(zip(given[changed].tolist(), tissues[changed].tolist(), strict=True))
    assert seen >= {(CSF, SINUS), (CSF, PLEXUS), (CORTEX, CSF)}
    assert {before for before, _ in seen} == {CSF, CORTEX} and {after for _, after in seen} == {CSF, SINUS, PLEXUS}
    assert np.array_equal(slice_of_a_head, given), "what was given stays as it was"


def test_without_contrast_agent_some_vessels_are_dark_and_some_bright(slice_of_a_head: np.ndarray) -> None:
    flow = [details(slice_of_a_head, seed, "t1") for seed in range(40)]
    bright = [mean[SINUS] for tissues, mean, _ in flow if (tissues == SINUS).any()]
    assert 10 < len(bright) < 40, "not every slice shows any"
    assert min(bright) < 50 and max(bright) > 180
    for seed in range(10):
        tissues, mean, before = details(slice_of_a_head, seed, "t1ce")
        assert (tissues == SINUS).any() and np.array_equal(mean, before), "contrast agent is in all vessels"


def test_extraction_keeps_the_brain_with_its_ventricle_and_little_beyond(slice_of_a_head: np.ndarray) -> None:
    solid = np.isin(slice_of_a_head, (CORTEX, WHITE))
    inside = ndimage.binary_fill_holes(solid)
    rims = []
    for seed in range(20):
        kept = extract_brain(np.random.default_rng(seed), slice_of_a_head, SPACING)
        assert kept[inside].all()
        depth = ndimage.distance_transform_edt(~inside)
        assert depth[kept].max() <= 8.0
        rims.append(np.count_nonzero(kept & ~inside) / np.count_nonzero(inside))
    assert min(rims) < 0.03 < max(rims) < 0.4


def test_where_there_is_no_brain_nothing_is_left() -> None:
    for tissue in (0, BONE):
        assert not extract_brain(np.random.default_rng(0), np.full((32, 32), tissue, np.uint8), SPACING).any()


def test_volumes_too(slice_of_a_head: np.ndarray) -> None:
    volume = np.repeat(slice_of_a_head[None, ::2, ::2], 16, 0)
    mean, _ = draw_intensities(np.random.default_rng(0), "t1ce")
    tissues, _ = add_details(np.random.default_rng(0), volume, (2.0,) * 3, "t1ce", mean)
    assert tissues.shape == volume.shape and (tissues == SINUS).any()
    assert extract_brain(np.random.default_rng(0), tissues, (2.0,) * 3).shape == volume.shape
