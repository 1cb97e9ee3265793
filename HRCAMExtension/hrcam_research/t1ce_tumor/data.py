"""The images that `t1ce-tumor` learns from, prepared as `localize` prepares a scan, with image-level labels alone.

Masks of `t1ce_volumes` are reduced to one bit a slice, "contains tumor"; those of `t1ce_slices` are never opened here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from hrcam.errors import InputError
from hrcam.scan.preparation import SlicePreparation
from hrcam.scan.sampling import plan_slices
from hrcam.scan.volume import read_volume

from hrcam_research.evaluate.case import Case
from hrcam_research.evaluate.data import held_out, slice_cases, volume_slices

TUMORS = ("glioma", "meningioma", "pituitary")
NORMAL = "no_tumor"
CLASSES = (*TUMORS, NORMAL)
_HEADS = ("ms/*_T1POST.nii.gz", "templates/*.nii.gz")
_HEAD, _HEAD_SHARE = 0.12, 0.12
"""A slice of a head: more than this share of it is brighter than that."""

SIZE = 256
SPACING_MM = 0.94
PREPARATION = SlicePreparation(SIZE, SPACING_MM)
INTENSITY = PREPARATION.metadata["input"]["intensity"]


@dataclass(frozen=True)
class Images:
    """Prepared slices with their image-level labels.

    Attributes
    ----------
    pixels : N×256×256, float16 (a training set fits in memory), in [0, 1.5].
    labels : N indices of `CLASSES`.
    patients : N names; images without a known patient are a patient each.
    planes : N times ax, co, sa or "" (unknown).
    """

    pixels: npt.NDArray[np.float16]
    labels: npt.NDArray[np.int64]
    patients: tuple[str, ...]
    planes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def without(self, patient: str) -> Images:
        """The images of all other patients.

        Raises
        ------
        InputError : there is no such patient, or no other.
        """
        kept = np.array([name != patient for name in self.patients])
        if kept.all() or not kept.any():
            raise InputError(
                f"Patient {patient!r} cannot be left out.", f"Known patients: {', '.join(sorted(set(self.patients)))}."
            )
        return self.chosen(kept)

    def chosen(self, which: npt.NDArray[np.bool_]) -> Images:
        """The images for which `which` is True."""
        patients, planes = (tuple(np.array(names)[which].tolist()) for names in (self.patients, self.planes))
        return Images(self.pixels[which], self.labels[which], patients, planes)


def _images(cases: list[Case]) -> Images:
    pixels = np.stack([square(case.read().image[0]) for case in cases]).astype(np.float16)
    labels = np.array([CLASSES.index(case.label) for case in cases])
    return Images(pixels, labels, tuple(c.patient for c in cases), tuple(c.plane for c in cases))


def square(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The middle: cropped where larger than the training size, black added where smaller."""
    top, left = (max(0, (n - SIZE) // 2) for n in image.shape)
    image = image[top : top + SIZE, left : left + SIZE]
    missing = [SIZE - n for n in image.shape]
    return np.pad(image, [(n // 2, n - n // 2) for n in missing])


def tumor_slices(data: Path, split: str) -> Images:
    """`t1ce_slices` of one split ("train" or "val"; split by patient): a tumor in every slice, its type known."""
    return _images(slice_cases(data / "t1ce_slices", PREPARATION, split))


def normal_slices(data: Path, held: bool) -> Images:
    """`no_tumor`, without the fifth kept for validation or only that."""
    cases = slice_cases(data / "no_tumor", PREPARATION, None, NORMAL)
    return _images([case for case in cases if held_out(case.name) == held])


def whole_heads(data: Path) -> Images:
    """Every second slice, in all planes, of tumor-free heads with 1 mm voxels: `templates`, `ms` after contrast.

    Coronal and sagittal slices without tumor are found nowhere else in the data.
    """
    pixels, patients, planes = [], [], []
    for pattern in _HEADS:
        for path in sorted(data.glob(pattern)):
            for plane in ("axial", "coronal", "sagittal"):
                plan = plan_slices(read_volume(path), PREPARATION, plane)
                for image in plan.load(slice(0, plan.count))[::2, 0]:
                    if (image > _HEAD).mean() > _HEAD_SHARE:
                        pixels.append(square(image))
                        patients.append(path.name.split(".")[0])
                        planes.append(plane[:2])
    labels = np.full(len(pixels), CLASSES.index(NORMAL))
    return Images(np.stack(pixels).astype(np.float16), labels, tuple(patients), tuple(planes))


def volume_images(data: Path) -> Images:
    """Slices of `t1ce_volumes`: glioblastoma or, on the same scans, none."""
    return _images(volume_slices(data / "t1ce_volumes", PREPARATION, "glioma", NORMAL))
