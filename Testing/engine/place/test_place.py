"""Places: the atlas says what lies where, a scan is brought to the template, and what fails is said, not guessed."""

from dataclasses import replace

import numpy as np
import pytest
from hrcam.bundle.bundle import load_bundle
from hrcam.localize import Options, localize
from hrcam.place.atlas import LEVELS, SHAPE, load_atlas, probabilities_at
from hrcam.place.name import place_at, with_places
from hrcam.place.structures import STRUCTURES
from hrcam.run.result import Result
from scipy.spatial.transform import Rotation

POINTS = {"right putamen": (26, 4, 0), "left putamen": (-26, 4, 0), "left thalamus": (-12, -18, 8),
          "brainstem": (0, -28, -32), "right cerebellum": (25, -62, -32), "right caudate nucleus": (13, 14, 8),
          "left hippocampus": (-28, -22, -14), "right white matter": (26, -30, 30),
          "outside the brain": (0, 95, 0)}


@pytest.mark.parametrize("words", POINTS)
def test_the_atlas_knows_landmarks(words):
    assert place_at(POINTS[words]).words == words


def test_the_atlas_is_small_and_its_parts_sum_to_one():
    atlas = load_atlas()
    assert atlas.shape == (len(STRUCTURES), *SHAPE) and atlas.dtype == np.uint8
    assert abs(atlas.sum(axis=0, dtype=int) - LEVELS).max() <= len(STRUCTURES) // 2
    assert probabilities_at((0, 0, 500))[0, 0] == 1


def scan_with_spot(at_mni, angle=10.0):
    """The template turned and cut into thick slices, one spot of it bright; and where the spot is in the scan."""
    from hrcam.align.transforms import carried, inverse, moved
    from hrcam.scan.geometry import Geometry
    from hrcam.scan.volume import read_volume
    from hrcam_research.demo import template_path

    pytest.importorskip("nilearn", reason="the MNI template comes with nilearn")
    template = read_volume(template_path())
    there = np.eye(4)
    there[:3, :3] = Rotation.from_euler("xyz", (angle, -angle / 2, angle), degrees=True).as_matrix()
    there[:3, 3] = (4, 15, 8)
    grid = Geometry((128, 128, 30), (-120.0, -120.0, -72.0), (1.9, 1.9, 5.0), np.eye(3))
    noise = np.random.default_rng(0).normal(0, 4, grid.shape_kji)
    array = carried(template.array, template.geometry, grid, there) + noise
    spot = moved(inverse(there), np.asarray(at_mni) * [-1, -1, 1]) * [-1, -1, 1]
    return replace(template, array=np.maximum(array, 0).astype(np.float32), geometry=grid, name="turned"), spot


def result_at(scan, bundle, spot):
    """A result with one region at a place, as the engine makes it."""
    found = localize(scan, bundle, Options(device="cpu"))
    i, j, k = np.rint(scan.geometry.points_from_ras(spot)).astype(int)
    labels, evidence = np.zeros(scan.array.shape, np.uint8), np.zeros(scan.array.shape, np.float32)
    labels[k, j - 1 : j + 2, i - 1 : i + 2], evidence[k, j - 1 : j + 2, i - 1 : i + 2] = 1, 20
    from hrcam.run.regions import find_regions

    regions = find_regions(evidence, labels, scan.geometry, found.evidence_levels)
    return replace(found, map=evidence, labels=labels, regions=tuple(regions), withheld=False)


@pytest.mark.parametrize("words", ["right putamen", "left cerebellum"])
def test_a_region_of_a_turned_scan_gets_its_place(words, bright_blob_bundle):
    at = {"right putamen": (26, 4, 0), "left cerebellum": (-25, -62, -32)}[words]
    scan, spot = scan_with_spot(at)
    result = with_places(result_at(scan, load_bundle(bright_blob_bundle.path), spot), scan)
    place = result.regions[0].place
    assert place.words == words and np.linalg.norm(np.subtract(place.mni_ras, at)) < 6
    document = result.to_json()
    again = Result.from_json(document, result.map, result.labels)
    assert again.regions == result.regions and document["provenance"]["place"]["similarity"] > 0.1


def test_what_is_no_brain_gets_no_place_but_a_note(blob_volume, bright_blob_bundle):
    result = localize(blob_volume(), load_bundle(bright_blob_bundle.path), Options(device="cpu", place=True))
    assert result.regions and result.regions[0].place is None
    assert "Places are not named" in result.warnings[-1]


def test_a_whole_head_without_its_vertex_is_brought_to_the_template():
    """Thick slices that end below the vertex, and blank ones above: the skull leads to the right place all the same."""
    import SimpleITK as sitk  # noqa: N813 - its customary name
    from hrcam.align.affine import align_to_template
    from hrcam.align.transforms import carried, distance_mm, inverse
    from hrcam.place.template import templates
    from hrcam.scan.geometry import Geometry
    from hrcam.scan.volume import Volume

    brain, whole = templates()
    head = whole.image
    own = Geometry(head.GetSize(), head.GetOrigin(), head.GetSpacing(), np.eye(3))
    there = np.eye(4)
    there[:3, :3] = Rotation.from_euler("xyz", (8, -4, 6), degrees=True).as_matrix()
    there[:3, 3] = (3, -6, 10)
    grid = Geometry((100, 110, 24), (-100.0, -112.0, -85.0), (2.0, 2.0, 6.5), np.eye(3))
    array = carried(sitk.GetArrayFromImage(head), own, grid, there) * 500
    array[20:] = 0
    found = align_to_template(Volume(array, grid, "head"), brain, whole)
    assert found.trusted and distance_mm(found.template_to_scan, inverse(there), brain.points) < 4


def test_near_the_midline_no_side_is_named():
    assert place_at((7, -18, 8)).side == place_at((-7, -18, 8)).side == "midline"
    assert place_at((9, -18, 8)).side == "right"
