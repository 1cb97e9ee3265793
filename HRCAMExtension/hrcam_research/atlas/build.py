"""Make the atlas of structures and the mean head: `python -m hrcam_research.atlas.build FOLDER_OF_LABEL_MAPS`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import hrcam.place
import numpy as np
from hrcam.align.affine import WORKING_MM, TemplateAlignment, align_to_template
from hrcam.align.transforms import carried
from hrcam.align.working import WorkingImage, equalized, working_image
from hrcam.place.atlas import FILE, LEVELS, SHAPE, atlas_grid
from hrcam.place.structures import STRUCTURES
from hrcam.place.template import HEAD_FILE, HEAD_GRID
from hrcam.scan.volume import read_volume
from scipy.ndimage import gaussian_filter

from ..demo import template_path
from .heads import LabeledHead, paint, read_labeled_heads

Array = np.ndarray


@lru_cache(maxsize=1)
def mni_template() -> WorkingImage:
    """The reduced MNI152 template that nilearn ships, without a skull; its head is the brain."""
    return equalized(working_image(read_volume(template_path()), WORKING_MM))


def aligned(head: LabeledHead) -> TemplateAlignment:
    """How a head lies to the template, by its brain alone."""
    scan = paint(head, np.random.default_rng(0), "t1", stripped=True)
    found = align_to_template(scan, mni_template())
    if not found.trusted:
        raise RuntimeError(f"{head.name} is not aligned to the template: {found}")
    return found


def in_template_space(head: LabeledHead, found: TemplateAlignment) -> Array:
    """Structures of a head on the atlas's grid, KJI."""
    return np.asarray(carried(head.structures, head.geometry, atlas_grid(), found.template_to_scan, nearest=True))


def mean_head(heads: Sequence[LabeledHead], found: Sequence[TemplateAlignment]) -> Array:
    """The heads as they look in T1, in template space, averaged; uint8."""
    total = np.zeros(HEAD_GRID.shape_kji)
    for head, one in zip(heads, found, strict=True):
        image = paint(head, np.random.default_rng(0), "t1", stripped=False).array
        smooth = gaussian_filter(image, [0.4 * WORKING_MM / step for step in head.geometry.spacing[::-1]])
        total += np.asarray(carried(smooth, head.geometry, HEAD_GRID, one.template_to_scan), float)
    return np.rint(255 * np.clip(total / np.percentile(total, 99.5), 0, 1)).astype(np.uint8)


def atlas_of(structures: Sequence[Array]) -> Array:
    """Probabilities as the package stores them, from the structures of several heads; the two halves are averaged."""
    folded = []
    for number in range(len(STRUCTURES)):
        share = np.mean([one == number for one in structures], axis=0).transpose(2, 1, 0)[:, ::-1]
        middle = SHAPE[0] - 1
        folded.append((share[middle:] + share[middle::-1]) / 2)
    return np.rint(LEVELS * np.stack(folded)).astype(np.uint8)


def main(folder: str) -> None:
    """Write both into the package."""
    heads = read_labeled_heads(Path(folder))
    found = [aligned(head) for head in heads]
    atlas = atlas_of([in_template_space(*pair) for pair in zip(heads, found, strict=True)])
    package = Path(hrcam.place.__file__)
    np.savez_compressed(package.with_name(FILE), probability=atlas)
    np.savez_compressed(package.with_name(HEAD_FILE), image=mean_head(heads, found))
    for name in (FILE, HEAD_FILE):
        print(f"{name}: {len(heads)} heads, {package.with_name(name).stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1])
