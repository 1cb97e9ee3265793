"""Label maps of whole heads, and scans of any contrast painted from them in random poses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its customary name
from hrcam.align.transforms import carried
from hrcam.errors import InputError
from hrcam.place.structures import STRUCTURES
from hrcam.scan.geometry import Geometry
from hrcam.scan.volume import Volume
from scipy import ndimage
from scipy.spatial.transform import Rotation

from ..simulate.tissues import BRAIN, TISSUES, draw_intensities, from_labels

Array = np.ndarray

LOOKS = ("t1", "t1ce", "t2", "flair")
FLUID = ("csf", "eye")


@dataclass(frozen=True, eq=False)
class LabeledHead:
    """A label map (FreeSurfer's values, KJI) on its grid."""

    name: str
    labels: Array
    geometry: Geometry

    @property
    def structures(self) -> Array:
        """Index of each voxel's structure in ``STRUCTURES``, uint8."""
        table = np.zeros(int(self.labels.max()) + 1, np.uint8)
        for number, values in enumerate(STRUCTURES.values()):
            table[[value for value in values if value < len(table)]] = number
        return np.asarray(table[self.labels])

    @property
    def right_side(self) -> Array:
        """1 right, -1 left, 0 where labels have no side; FreeSurfer numbers the right half from 41 on."""
        table = np.zeros(int(self.labels.max()) + 1, np.int8)
        for values in STRUCTURES.values():
            for value in values:
                if value < len(table) and len(values) > 1 and value not in (72, 85):
                    table[value] = 1 if value in (41, 42, 43, 44, 46, 47, 49, 50, 51, 52, 53, 54, 58, 60, 62, 163,
                                                  164) else -1
        return np.asarray(table[self.labels])


def read_labeled_heads(folder: Path) -> list[LabeledHead]:
    """All label maps of a folder, in LPS order.

    Raises ``InputError`` where there is none.
    """
    heads = []
    for path in sorted(folder.glob("*.nii.gz")):
        image = sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS")
        labels = np.rint(sitk.GetArrayFromImage(image)).astype(np.int16)
        geometry = Geometry(image.GetSize(), image.GetOrigin(), image.GetSpacing(),
                            np.reshape(image.GetDirection(), (3, 3)))
        heads.append(LabeledHead(path.name.split(".")[0], labels, geometry))
    if not heads:
        raise InputError(f"{folder} holds no label map.", "Give the folder of SynthSeg's label maps.")
    return heads


def paint(head: LabeledHead, rng: np.random.Generator, look: str, stripped: bool) -> Volume:
    """A scan of a head: tissue intensities of the contrast, partial volume, bias field and noise.

    Looks ``t2`` and ``flair`` invert T1's order of tissues; fluid is bright on the one and dark on the other.
    """
    tissues = from_labels(head.labels)
    mean, _ = draw_intensities(rng, "t1ce" if look == "t1ce" else "t1")
    if look in ("t2", "flair"):
        mean = np.where(mean > 20, 210.0 - 0.9 * mean, mean).astype(np.float32)
        fluid = [n for n, tissue in enumerate(TISSUES) if tissue.name in FLUID]
        mean[fluid] = 220.0 if look == "t2" else 15.0
    image = mean[tissues]
    if stripped:
        image = np.where(BRAIN[tissues], image, 0)
    image = ndimage.gaussian_filter(image.astype(np.float32), 0.7)
    ramp = sum(rng.uniform(-0.2, 0.2) * axis for axis in np.meshgrid(
        *[np.linspace(-1, 1, n, dtype=np.float32) for n in image.shape], indexing="ij", sparse=True))
    image = image * (1 + ramp) + rng.uniform(2, 6) * rng.standard_normal(image.shape, dtype=np.float32)
    return Volume(np.maximum(image, 0).astype(np.float32), head.geometry, f"{head.name}-{look}")


def posed(head: LabeledHead, rng: np.random.Generator, size: tuple[int, int, int],
          spacing: tuple[float, float, float]) -> LabeledHead:
    """The head turned by up to 15°, scaled by up to 8 % an axis, shifted by up to 15 mm, on a scanner's grid."""
    middle = head.geometry.points_to_lps([(n - 1) / 2 for n in head.geometry.size_ijk])
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", rng.uniform(-15, 15, 3), degrees=True).as_matrix() \
        * rng.uniform(0.92, 1.08, 3)
    matrix[:3, 3] = middle + rng.uniform(-15, 15, 3)
    corner = [-(n - 1) / 2 * s for n, s in zip(size, spacing, strict=True)]
    target = Geometry(size, (corner[0], corner[1], corner[2]), spacing, np.eye(3))
    labels = carried(head.labels, head.geometry, target, matrix, nearest=True)
    return LabeledHead(head.name, np.asarray(labels), target)
