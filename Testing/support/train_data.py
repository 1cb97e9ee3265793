"""Small generated data sets for the training tests: a bright blob on a textured disc, or no blob."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

SPACING_MM = 2.0


def disc(rng, size=32, slices=8):
    """A head-like disc with texture, K×J×I, and its inside."""
    _, j, i = np.meshgrid(np.arange(slices), np.arange(size), np.arange(size), indexing="ij")
    inside = (j - size / 2) ** 2 + (i - size / 2) ** 2 < (0.42 * size) ** 2
    image = np.where(inside, 100 + 8 * rng.standard_normal(inside.shape), 2 * rng.random(inside.shape))
    # A bright rim in both classes: without it a blob would change the normalization of the whole image.
    image[inside & ((j - size / 2) ** 2 + (i - size / 2) ** 2 > (0.38 * size) ** 2)] = 190
    return image.astype(np.float32), inside


def with_blob(rng, image, radius=3.5):
    """The image with a bright blob through all slices, and the blob's mask."""
    size = image.shape[1]
    center = size / 2 + rng.uniform(-0.2, 0.2, 2) * size
    j, i = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    mask = np.broadcast_to((j - center[0]) ** 2 + (i - center[1]) ** 2 < radius**2, image.shape)
    return np.where(mask, 190, image).astype(np.float32), mask


def write(path: Path, image: np.ndarray, spacing=(SPACING_MM, SPACING_MM, 5.0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    volume = sitk.GetImageFromArray(image)
    volume.SetSpacing([float(s) for s in spacing])
    sitk.WriteImage(volume, str(path))
    return path


def make_folder(root: Path, patients=8, size=32, slices=8, spacing=(SPACING_MM, SPACING_MM, 5.0)):
    """`root/blob/PATIENT/scan.nii.gz` and `root/none/PATIENT/scan.nii.gz`, `patients` of each."""
    rng = np.random.default_rng(1)
    for number in range(patients):
        for name in ("blob", "none"):
            image, _ = disc(rng, size, slices)
            if name == "blob":
                image, _ = with_blob(rng, image)
            write(root / name / f"{name}-{number}" / "scan.nii.gz", image, spacing)
    return root


def settings(**changes):
    """A configuration that trains in a second; `changes` are dotted keys with `__` for the dot."""
    raw = {
        "name": "blob",
        "title": "Blob",
        "description": "A bright blob on a disc.",
        "modality": "simulated",
        "classes": [{"name": "blob", "pathology": True}, {"name": "none", "pathology": False}],
        "input": {"size": [32, 32], "spacing_mm": SPACING_MM, "planes": ["axial"]},
        "network": {"name": "vgg_small", "arguments": {"width": 8, "stages": 2, "depth": 1}},
        "data": {"validation_fraction": 0.25},
        "train": {"epochs": 10, "batch_size": 8, "learning_rate": 0.01},
        "augment": {"rotate_degrees": 10, "noise": 0.02, "probability": 0.2},
        "trainer": {"accelerator": "cpu", "progress": False},
    }
    for key, value in changes.items():
        section = raw
        *path, last = key.split("__")
        for part in path:
            section = section.setdefault(part, {})
        section[last] = value
    return raw
