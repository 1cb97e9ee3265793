"""One image of an evaluation with what is known about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

MOST_PIXELS = 2_000_000
"""In one forward pass, of all images together; larger volumes come one at a time."""


@dataclass(frozen=True)
class Pixels:
    """What is read from disk when its turn comes.

    `image` is 1×H×W (or 1×D×H×W) float32 as the network takes it; `masks` are boolean, of the image's spatial shape,
    by the name of who traced them (empty for a normal image). `in_scan` is the map of the case's class that `localize`
    gives the whole scan, of the same shape; None where the image is no slice of a scan.
    """

    image: np.ndarray
    masks: dict[str, np.ndarray] = field(default_factory=dict)
    in_scan: np.ndarray | None = None


@dataclass(frozen=True)
class Case:
    """An image and its truth; `read` loads the pixels, so that hundreds of cases take no memory while they wait.

    `plane` is ax, co, sa or "" (3D or unknown); `spacing` is mm per array axis; `traced`: has a mask "masks"; `grade`
    of the disease or "".
    """

    name: str
    patient: str
    label: str
    read: Callable[[], Pixels]
    plane: str = ""
    site: str = ""
    spacing: tuple[float, ...] = (1.0, 1.0)
    traced: bool = False
    grade: str = ""

    @classmethod
    def of(
        cls, name: str, patient: str, label: str, image: np.ndarray, mask: np.ndarray | None = None, **known: str
    ) -> Case:
        """A case whose pixels are already in memory; `mask` is filed under the name "masks"."""
        pixels = Pixels(image.astype(np.float32), {} if mask is None else {"masks": mask.astype(bool)})
        return cls(
            name, patient, label, lambda: pixels, spacing=(1.0,) * (image.ndim - 1), traced=mask is not None, **known
        )


def fitting(batch_size: int, pixels: int) -> int:
    """How many images of so many pixels are taken at once: `batch_size`, or fewer where they are large volumes."""
    return min(batch_size, max(1, MOST_PIXELS // pixels))


def batches(cases: Sequence[Case], batch_size: int) -> Iterator[list[tuple[int, Pixels]]]:
    """Consecutive cases of one shape with their positions, at most `fitting` a time; each case is read once."""
    current: list[tuple[int, Pixels]] = []
    for position, case in enumerate(cases):
        pixels = case.read()
        full = len(current) >= fitting(batch_size, pixels.image.size)
        if current and (full or pixels.image.shape != current[0][1].image.shape):
            yield current
            current = []
        current.append((position, pixels))
    if current:
        yield current


def spread(labels: Sequence[str], patients: Sequence[str], count: int) -> list[int]:
    """`count` positions spread evenly over labels and patients, always the same: nobody chose by hand."""
    order: list[tuple[int, str, str, int]] = []
    seen_patient: dict[tuple[str, str], int] = {}
    for position, (label, patient) in enumerate(zip(labels, patients, strict=True)):
        turn = seen_patient.get((label, patient), 0)
        seen_patient[label, patient] = turn + 1
        order.append((turn, patient, label, position))
    by_label: dict[str, list[int]] = {}
    for *_, label, position in sorted(order):
        by_label.setdefault(label, []).append(position)
    chosen: list[int] = []
    while len(chosen) < min(count, len(labels)):
        for label in sorted(by_label):
            if by_label[label] and len(chosen) < count:
                chosen.append(by_label[label].pop(0))
    return sorted(chosen)
