"""The demo: a simulated lesion in a head, found, and compared with the truth."""

import numpy as np
import pytest
import SimpleITK
from hrcam.cli import app as cli
from hrcam.errors import InputError
from hrcam.localize import Options, localize
from hrcam.scan.volume import read_volume, to_sitk
from hrcam_research import demo


@pytest.fixture(scope="module")
def head(tmp_path_factory, blob_volume):
    """A small head (2 mm) that the simulator takes for one."""
    scan = blob_volume((84, 96, 84), (2.0, 2.0, 2.0), lesion_ras=None)
    ras = np.moveaxis(np.indices(scan.array.shape)[::-1], 0, -1) @ np.diag(scan.geometry.spacing)
    ras -= ras.reshape(-1, 3).mean(axis=0)
    brain = np.sum((ras / [66, 80, 66]) ** 2, axis=-1) < 1
    array = np.where(brain, 900.0, 10.0).astype(np.float32) + np.random.default_rng(0).normal(0, 8, scan.array.shape)
    path = tmp_path_factory.mktemp("head") / "head.nii.gz"
    SimpleITK.WriteImage(to_sitk(array.astype(np.float32), scan.geometry), str(path))
    return path


def test_the_demo_localizes_the_lesion_and_shows_the_truth(head, bright_blob_bundle, tmp_path, capsys):
    code = cli.main(["demo", "--out", str(tmp_path), "--model", str(bright_blob_bundle.path), "--scan", str(head)])
    printed = capsys.readouterr().out
    assert code == 0
    assert "Prediction: lesion" in printed and "Truth:" in printed and "Dice" in printed
    assert "inside the lesion" in printed
    for name in ("demo.nii.gz", "demo_truth.nii.gz", "demo_map.nii.gz", "demo_levels.seg.nrrd", "demo_overview.png"):
        assert (tmp_path / name).is_file(), name
    truth = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "demo_truth.nii.gz"))) > 0
    found = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "demo_labels.nii.gz"))) > 0
    assert (found & truth).sum() > 0.5 * truth.sum() > 0


def test_the_same_seed_gives_the_same_lesion(head):
    volume = read_volume(head)
    (one, mask), (two, _), (other, _) = (demo.simulated_scan(volume, seed) for seed in (3, 3, 5))
    np.testing.assert_array_equal(one.array, two.array)
    assert mask.any() and (one.array != other.array).any()


def test_agreement_is_measured_as_it_should_be(bright_blob_bundle, blob_volume):
    scan = blob_volume()
    result = localize(scan, bright_blob_bundle, Options(device="cpu"))
    exact = demo.compare(result, result.labels > 0)
    assert (exact.dice, exact.pointing) == (1.0, True) and exact.distance_mm < 2
    elsewhere = np.roll(result.labels > 0, 12, axis=0)
    missed = demo.compare(result, elsewhere)
    assert (missed.dice, missed.pointing) == (0.0, False) and missed.distance_mm == pytest.approx(12, abs=2)


def test_without_nilearn_the_demo_says_how_to_get_the_template(monkeypatch):
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="--scan"):
        demo.template_path()


def test_the_template_that_nilearn_ships_is_found_and_is_a_brain():
    pytest.importorskip("nilearn", reason="nilearn is not installed")
    volume = read_volume(demo.template_path())
    assert volume.geometry.spacing == (1.0, 1.0, 1.0) and volume.array.max() > 100
