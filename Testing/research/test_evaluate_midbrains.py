"""Simulated midbrains in an evaluation: what was lost is the truth, grades and sides are told apart."""

import json
import re

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its customary name

pytest.importorskip("torchcam")
pytest.importorskip("captum")
pytest.importorskip("monai")

from hrcam.scan.volume import volume_from_array
from hrcam_research.evaluate import midbrains
from hrcam_research.evaluate.run import Settings, find_sets
from hrcam_research.evaluate.write import evaluate_models
from hrcam_research.simulate.neuromelanin import NigralLoss
from threshold_bundle import threshold_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A network whose evidence for loss is everything darker than 0.8, the crus and lost nigra among it."""
    path = tmp_path_factory.mktemp("models") / "dark-3d"
    return threshold_bundle(path, ("nigral_loss", "control"), [16, 40, 40], [2.2, 2.0, 2.0], bright=False)


def test_truth_lies_where_an_image_and_its_counterpart_differ(bundle):
    found = midbrains.Midbrains(bundle).placed(1)
    assert found.image.shape == found.counterpart.shape == (1, 16, 40, 40)
    assert found.mask.any() and not (found.mask & (found.labels != midbrains.NIGRA)).any()
    darker = (found.counterpart - found.image)[0]
    assert darker[found.mask].mean() > 5 * abs(darker[found.labels == midbrains.CRUS].mean())


def test_grades_and_sides_are_told_apart():
    losses = (NigralLoss(0.3, 0.1), NigralLoss(0.2, 0.5), NigralLoss(0.7, 0.7))
    assert [midbrains.grade_of(loss) for loss in losses] == list(midbrains.GRADES)
    labels = np.zeros((2, 3, 12), np.uint8)
    labels[:, :, [2, 9]] = midbrains.NIGRA
    evidence = np.zeros(labels.shape)
    evidence[..., 9], evidence[..., 2] = 3, 1
    assert midbrains.worse_side(evidence, labels) == pytest.approx(0.5)
    assert midbrains.worse_side(evidence[..., ::-1], labels) == pytest.approx(-0.5)
    assert midbrains.worse_side(np.zeros(labels.shape), labels) == 0.0


def test_a_crop_stays_where_it_was_in_space():
    matrix = np.array([[-0.5, 0, 0, 7], [0, -0.75, 0, 3], [0, 0, 2, -9], [0, 0, 0, 1.0]])
    whole = volume_from_array(np.random.default_rng(0).random((4, 40, 60)), matrix, "scan")
    part, where = midbrains.crop_around(whole, (2, 20, 52), 9.0)
    assert part.array.shape == (4, 13, 17)  # the last columns are cut off by the scan's end
    assert np.array_equal(part.array, whole.array[where])
    start = [where[2].start, where[1].start, 0]
    assert np.allclose(part.geometry.points_to_ras([[0, 0, 0]]), whole.geometry.points_to_ras([start]))


def test_the_command_reports_grades_sides_and_the_real_volume(bundle, tmp_path):
    real = tmp_path / "data" / "neuromelanin"
    real.mkdir(parents=True)
    labels = np.zeros((12, 60, 60), np.uint8)
    labels[4:8, 28:32, 24:36], labels[4:8, 24:28, 24:36] = midbrains.NIGRA, midbrains.CRUS
    scan = np.where(labels == midbrains.NIGRA, 600.0, 1000.0).astype(np.float32)
    scan[0, 10:30, 10:35] = 600.0
    for name, array in zip(midbrains.REAL, (scan, labels), strict=True):
        volume = sitk.GetImageFromArray(array)
        volume.SetSpacing((2.0, 2.0, 2.2))
        sitk.WriteImage(volume, str(real / name))
    out = tmp_path / "docs"
    (found,) = find_sets(bundle, real.parent)
    assert found.name == "simulated midbrains" and len(found.cases) == len(found.normals) == midbrains.CASES
    settings = Settings(cases=3, faithfulness_cases=0, methods=("hrcam/sum", "monai-gradcam/last"), batch_size=3)
    evaluate_models([str(bundle.path)], real.parent, out, settings, lambda _: None)
    results = json.loads((out / "results/dark-3d.json").read_text())
    figures, notes = results["classification"]["figures"], results["classification"]["notes"]
    prefix = "share of positive evidence in: "
    shares = {name.removeprefix(prefix): value for name, value in figures.items() if name.startswith(prefix)}
    assert len(shares) == 4 and sum(shares.values()) == pytest.approx(1, abs=1e-4)
    assert shares["elsewhere"] > shares["crus cerebri"] > shares["lost nigra"]  # by size: all of it is dark
    assert 0 <= figures["AUC, loss against counterpart"] <= 1 and figures["asymmetric cases"] <= 3
    assert set(results["localization"]["simulated midbrains"]["breakdown"]["grade"]) <= set(midbrains.GRADES)
    assert "which is no diagnosis" in notes[-1]
    # Dark voxels are evidence here, and in the made-up scan the nigra is dark, and something elsewhere.
    share, space = re.search(r"positive evidence in nigra (\d+)% \(([\d.]+)% of the voxels\)", notes[-1]).groups()
    assert 10 < float(share) < 60 and float(space) < 2
    text = (out / "RESULTS.md").read_text()
    assert "simulated" in text and "no clinical accuracy" in text
