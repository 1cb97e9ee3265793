"""Simulated scans: reproducible, pairs alike outside the lesion, from phantoms, label maps and any T1 volume."""

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its customary name
from hrcam.errors import InputError
from hrcam_research.simulate.appearance import Appearance, apply_appearance
from hrcam_research.simulate.case import simulate_case
from hrcam_research.simulate.fields import smooth_field
from hrcam_research.simulate.head import draw_scene, find_brain, phantom_head, read_head
from hrcam_research.simulate.lesion import LesionSpec
from hrcam_research.simulate.tissues import INDEX


@pytest.fixture(scope="module")
def head():
    return phantom_head(np.random.default_rng(0), 64)


def test_smooth_field_has_unit_spread_and_its_scale():
    field = smooth_field(np.random.default_rng(0), (128, 128), (1.0, 1.0), 8.0)
    assert field.shape == (128, 128) and field.dtype == np.float32
    assert 0.7 < field.std() < 1.3
    steps = [np.corrcoef(field[:, :-n].ravel(), field[:, n:].ravel())[0, 1] for n in (1, 24)]
    assert steps[0] > 0.95 and abs(steps[1]) < 0.3


def test_phantom_has_the_parts_of_a_head_and_is_reproducible(head):
    again = phantom_head(np.random.default_rng(0), 64)
    assert np.array_equal(head.values, again.values)
    for tissue in ("skin", "bone", "csf", "cortex", "white matter", "thalamus", "eye", "brain stem"):
        assert (head.values == INDEX[tissue]).sum() > 10, tissue
    # skull between brain and scalp: walking in from the vertex
    column = head.values[::-1, 33, 40]
    order = [int(np.argmax(column == INDEX[name])) for name in ("skin", "bone", "csf")]
    assert order == sorted(order) and order[0] > 0


@pytest.mark.parametrize("dims", [2, 3])
def test_same_seed_same_scan_and_counterpart_differs_only_near_the_lesion(head, dims):
    from scipy import ndimage

    spec = LesionSpec(kind="smooth", diameter_mm=18, contrast=0.9, mass_effect=0.0)
    values = {"dims": dims, "size": 128 if dims == 2 else 48, "spacing_mm": 1.8 if dims == 2 else 4.5, "spec": spec}
    plane = {"plane": "axial"} if dims == 2 else {}
    first = simulate_case(head, (1, 7), paired=True, **values, **plane)
    second = simulate_case(head, (1, 7), paired=True, **values, **plane)
    assert np.array_equal(first.image, second.image) and np.array_equal(first.mask, second.mask)
    assert first.mask.any() and np.isfinite(first.image).all() and first.image.min() >= 0
    changed = np.abs(first.image - first.counterpart) > 1e-3 * first.image.max()
    assert not (changed & ~ndimage.binary_dilation(first.mask, iterations=9)).any()
    assert (first.image - first.counterpart)[first.mask].mean() > 0
    healthy = simulate_case(head, (1, 7), lesion=False, **values, **plane)
    assert np.array_equal(healthy.image, first.counterpart) and not healthy.mask.any() and healthy.spec is None


def test_every_lesion_can_be_seen_where_it_lies(head):
    for seed in range(12):
        case = simulate_case(head, (2, seed), size=96, spacing_mm=2.4, diameter_mm=(6.0, 30.0), style="t1", paired=True)
        assert case.mask.any()
        assert np.abs(case.image - case.counterpart)[case.mask].mean() > 0.03 * np.median(case.counterpart[case.mask])


def test_a_lesion_lies_in_tissue_and_changes_it_by_what_was_asked_for(head):
    changes = []
    for seed in range(12):
        case = simulate_case(head, (3, seed), size=96, spacing_mm=2.4, diameter_mm=(10.0, 20.0), contrast=(0.5, 0.8),
                             least_change=0.3, style="t1", paired=True)  # fmt: skip
        tissue = np.median(case.counterpart[case.counterpart > 0.5 * np.percentile(case.counterpart, 99)])
        assert case.counterpart[case.mask].mean() > 0.4 * tissue, "not in fluid"
        changes.append(np.abs(case.image - case.counterpart)[case.mask].mean() / tissue)
    assert min(changes) > 0.1 and np.mean(changes) > 0.3


def test_a_stripped_head_is_brain_and_little_else(head):
    around = []
    for seed in range(8):
        scenes = [draw_scene(head, np.random.default_rng(seed), plane="axial", size=(96, 96), spacing_mm=(2.4, 2.4),
                             stripped=stripped) for stripped in (False, True)]  # fmt: skip
        (whole, left), room = (scene.image for scene in scenes), scenes[1].brain
        assert scenes[0].extracted is None and not (room & ~scenes[0].brain).any()
        assert np.array_equal(whole[room], left[room]), "the same brain"
        around.append((np.count_nonzero(left[~room] > 30), np.count_nonzero(whole[~room] > 30)))
    left, whole = np.sum(around, 0)
    assert left < 0.1 * whole, "skull and skin are gone"


def test_extraction_after_the_scan_leaves_no_noise_around(head):
    silent = []
    for seed in range(8):
        case = simulate_case(head, (5, seed), size=96, spacing_mm=2.4, style="t1", lesion=False, stripped=True)
        silent.append(float((case.image == 0).mean()))
    assert max(silent) > 0.3 and min(silent) < 0.05, "some are extracted after the scan, some before"


def test_planes_show_what_their_names_say(head):
    scenes = {
        plane: draw_scene(head, np.random.default_rng(3), plane=plane, size=(96, 96), spacing_mm=(2.4, 2.4))
        for plane in ("axial", "coronal", "sagittal")
    }
    # The neck reaches the lower edge of coronal and sagittal pictures, and nothing reaches an axial picture's edge.
    for plane in ("coronal", "sagittal"):
        assert scenes[plane].image[-3:].max() > 30 > scenes[plane].image[:3].max(), plane
    assert scenes["axial"].image[0].max() < 30 and scenes["axial"].image[-1].max() < 30


def test_contrast_agent_brightens_sinuses(head):
    from hrcam_research.simulate.tissues import draw_intensities

    plain = np.mean([draw_intensities(np.random.default_rng(s), "t1")[0] for s in range(40)], 0)
    agent = np.mean([draw_intensities(np.random.default_rng(s), "t1ce")[0] for s in range(40)], 0)
    assert agent[INDEX["sinus"]] > 1.4 * plain[INDEX["sinus"]]
    assert agent[INDEX["cortex"]] > plain[INDEX["cortex"]]  # nearer to white matter


def test_label_maps_and_t1_files_are_told_apart(tmp_path, head):
    labels = np.zeros((48, 48, 48), np.int16)
    labels[6:42, 6:42, 6:42] = 507
    labels[9:39, 9:39, 9:39] = 3
    labels[14:34, 14:34, 14:34] = 2
    for name, array in (("seg.nii.gz", labels), ("t1.nii.gz", labels * 1.5 + np.arange(48))):
        scan = sitk.GetImageFromArray(array.astype(np.float32))
        scan.SetSpacing((4.0, 4.0, 4.0))
        sitk.WriteImage(scan, str(tmp_path / name))
    assert read_head(tmp_path / "seg.nii.gz").labeled
    scan = read_head(tmp_path / "t1.nii.gz")
    assert not scan.labeled
    case = simulate_case(scan, 3, dims=2, size=96, spacing_mm=2.4)
    assert case.image.shape == (96, 96) and case.mask.any()
    with pytest.raises(InputError, match="cannot be read"):
        read_head(tmp_path / "absent.nii.gz")


def test_noise_and_bias_follow_the_look():
    image = np.full((64, 64), 100.0, np.float32)
    clean = Appearance(bias=0.0, blur_mm=0.0, noise=0.0)
    assert np.array_equal(apply_appearance(image, (1, 1), np.random.default_rng(0), clean), image)
    noisy = apply_appearance(image, (1, 1), np.random.default_rng(0), Appearance(bias=0, blur_mm=0, noise=0.05))
    assert noisy.std() == pytest.approx(5.0, rel=0.1)
    biased = apply_appearance(image, (1, 1), np.random.default_rng(0), Appearance(bias=0.3, bias_mm=40, noise=0))
    assert biased.std() > 8
    air = apply_appearance(np.zeros((64, 64)), (1, 1), np.random.default_rng(0), Appearance(noise=0.05), reference=100)
    assert air.mean() == pytest.approx(5 * np.sqrt(np.pi / 2), rel=0.1)  # Rayleigh


def test_thick_slices_are_smooth_along_their_axis():
    noise = np.random.default_rng(0).normal(100, 20, (24, 24, 24)).astype(np.float32)
    look = Appearance(bias=0, blur_mm=0, noise=0, thick_axis=0, thick_mm=4.0)
    thick = apply_appearance(noise, (1, 1, 1), np.random.default_rng(0), look, reference=100)
    assert thick.shape == noise.shape
    assert np.abs(np.diff(thick, axis=0)).mean() < 0.3 * np.abs(np.diff(thick, axis=1)).mean()


def test_brain_of_a_volume_is_found_without_scalp_orbits_and_neck(head):
    scene = draw_scene(head, np.random.default_rng(0), plane=None, size=(112,) * 3, spacing_mm=(2.0,) * 3)
    found = find_brain(scene.image, scene.spacing_mm)
    assert (found & scene.brain).sum() > 0.75 * scene.brain.sum()
    assert (found & ~scene.brain).sum() < 0.02 * found.sum()


def test_wrong_requests_are_explained(head):
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="style 'ct'"):
        draw_scene(head, rng, plane="axial", size=(32, 32), spacing_mm=(6, 6), style="ct")
    with pytest.raises(InputError, match="Plane 'oblique'"):
        draw_scene(head, rng, plane="oblique", size=(32, 32), spacing_mm=(6, 6))
