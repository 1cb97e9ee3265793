"""Generated slices: heads of label maps in the contrast of a known sequence, with lesions, as a scanner gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from hrcam.sequence.network import SEQUENCES
from hrcam.sequence.slices import SIZE, SPACING_MM
from scipy import ndimage

from ..brain_lesion.heads import LabeledHead, draw_head
from ..brain_lesion.lesions import add_lesion
from ..brain_lesion.scanner import scan

_SHARES = {"T1": 0.22, "T1-CE": 0.22, "FLAIR": 0.27, "T2": 0.12, "PD": 0.1, "DWI": 0.07}
_SIZES = (128, 160, 192)
"""Slices are drawn at one of these and then reduced: lesions, noise and blur are finer or coarser."""

_REACH, _TILT, _BARE, _WITH_LESION = 0.75, 0.15, 0.15, 0.6
_BRIGHT, _SHADE = (90.0, 99.7), 0.3
_WHITE = 1.5


class Drawn(NamedTuple):
    """N×SIZE×SIZE, 255 for 1.5, and N indices of `SEQUENCES`."""

    pixels: npt.NDArray[np.uint8]
    sequences: npt.NDArray[np.int64]


def draw_slices(heads: Sequence[LabeledHead], count: int, seed: int) -> Drawn:
    """So many slices, each of a head, a sequence and a contrast of its own."""
    rng = np.random.default_rng(seed)
    names, shares = list(_SHARES), np.array(list(_SHARES.values()))
    pixels, sequences = np.zeros((count, SIZE, SIZE), np.uint8), np.zeros(count, np.int64)
    for number in range(count):
        name = str(rng.choice(names, p=shares))
        size = int(rng.choice(_SIZES))
        head = heads[int(rng.integers(len(heads)))]
        ground = draw_head(rng, head, size, SIZE * SPACING_MM / size, name.replace("-", "").lower(), _REACH, _TILT,
                           bool(rng.random() < _BARE))
        lesion = add_lesion(rng, ground) if rng.random() < _WITH_LESION else None
        image = scan(rng, [ground.image if lesion is None else lesion.image], True, _BRIGHT, _SHADE)[0]
        pixels[number] = np.rint(ndimage.zoom(image, SIZE / size, order=1) * (255 / _WHITE))
        sequences[number] = SEQUENCES.index(name)
    return Drawn(pixels, sequences)


def restored(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Intensities in [0, 1.5] of what `draw_slices` keeps."""
    return pixels.astype(np.float32) * np.float32(_WHITE / 255)
