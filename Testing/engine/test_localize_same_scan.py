"""A real scan, stored in other ways: answer and overlay stay alike."""

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from hrcam.bundle.bundle import load_bundle
from hrcam.localize import Options, localize
from hrcam.scan.volume import read_volume, to_sitk

FOLDER = Path(os.environ.get("HRCAM_DATA") or Path(__file__).parents[3] / "shared" / "data") / "lgg"
SCAN = "TCGA_DU_6399_post.nii.gz"
"""A tumor that no model learned from, 52 slices."""

GRIDS = {
    "1 mm": ((1.0, 1.0, 1.0), 0.0),
    "thin": ((0.9375, 0.9375, 2.5), 0.0),
    "thick": ((0.9375, 0.9375, 7.5), 0.0),
    "turned by ten degrees": ((0.9375, 0.9375, 5.0), 10.0),
}


def resampled(image, spacing, degrees):
    """The scan on a grid of its own that covers it, turned about the patient's long axis."""
    extent = np.array(image.GetSize()) * image.GetSpacing()
    size = np.ceil(extent / spacing).astype(int).tolist()
    turn = SimpleITK.Euler3DTransform()
    turn.SetRotation(0.0, 0.0, float(np.radians(degrees)))
    direction = np.array(turn.GetMatrix()).reshape(3, 3) @ np.array(image.GetDirection()).reshape(3, 3)
    half = (np.array(size) - 1) / 2 * spacing
    center = np.array(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()]))
    grid = SimpleITK.Image(size, SimpleITK.sitkUInt8)
    grid.SetSpacing(spacing)
    grid.SetDirection(direction.ravel().tolist())
    grid.SetOrigin((center - direction @ half).tolist())
    return SimpleITK.Resample(image, grid, SimpleITK.Transform(), SimpleITK.sitkLinear, 0.0, SimpleITK.sitkFloat32)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("model", ["t1ce-tumor", "brain-lesion"])
def test_a_scan_gives_the_same_answer_however_it_is_stored(model, tmp_path):
    if not (FOLDER / SCAN).is_file():
        pytest.skip("HRCAM_DATA has no folder lgg")
    bundle, volume = load_bundle(model), read_volume(FOLDER / SCAN)
    first = localize(volume, bundle, Options(device="cpu"))
    assert bundle.pathology[first.predicted] and first.labels.any()
    image, found = to_sitk(volume.array, volume.geometry), {}
    for name, (spacing, degrees) in GRIDS.items():
        SimpleITK.WriteImage(resampled(image, spacing, degrees), str(tmp_path / "other.nii.gz"))
        other = localize(tmp_path / "other.nii.gz", bundle, Options(device="cpu"))
        back = SimpleITK.GetArrayFromImage(SimpleITK.Resample(
            to_sitk((other.labels > 0).astype(np.uint8), other.geometry), image, SimpleITK.Transform(),
            SimpleITK.sitkNearestNeighbor,
        )) > 0  # fmt: skip
        marked = first.labels > 0
        dice = 2 * (back & marked).sum() / (back.sum() + marked.sum())
        found[name] = (other.predicted, other.probabilities[first.predicted], float(dice), other.plane)
    print(model, first.predicted, first.probabilities[first.predicted], found)
    for name, (predicted, probability, dice, _) in found.items():
        assert predicted == first.predicted, name
        assert probability == pytest.approx(first.probabilities[first.predicted], abs=0.15), name
        assert dice >= 0.7, name
