"""Make the atlas of structures: `python -m hrcam_research.atlas.build FOLDER_OF_LABEL_MAPS`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import hrcam.place
import numpy as np
from hrcam.align.affine import align_to_template
from hrcam.align.transforms import carried
from hrcam.place.atlas import FILE, LEVELS, LOWEST_RAS, SHAPE, STEP_MM
from hrcam.place.structures import STRUCTURES
from hrcam.place.template import working_template
from hrcam.scan.geometry import Geometry

from .heads import LabeledHead, paint, read_labeled_heads

Array = np.ndarray


def atlas_grid() -> Geometry:
    """The whole atlas, both halves: LPS, `STEP_MM`."""
    across, along, up = SHAPE
    right, back, low = (across - 1) * STEP_MM, LOWEST_RAS[1], LOWEST_RAS[2]
    return Geometry((2 * across - 1, along, up), (-right, -(back + (along - 1) * STEP_MM), low), (STEP_MM,) * 3,
                    np.eye(3))


def in_template_space(head: LabeledHead) -> Array:
    """Structures of a head on the atlas's grid, KJI."""
    scan = paint(head, np.random.default_rng(0), "t1", stripped=True)
    found = align_to_template(scan, working_template())
    if not found.trusted:
        raise RuntimeError(f"{head.name} is not aligned to the template: {found}")
    return np.asarray(carried(head.structures, head.geometry, atlas_grid(), found.template_to_scan, nearest=True))


def atlas_of(structures: Sequence[Array]) -> Array:
    """Probabilities as the package stores them, from the structures of several heads; the two halves are averaged."""
    folded = []
    for number in range(len(STRUCTURES)):
        share = np.mean([one == number for one in structures], axis=0).transpose(2, 1, 0)[:, ::-1]
        middle = SHAPE[0] - 1
        folded.append((share[middle:] + share[middle::-1]) / 2)
    return np.rint(LEVELS * np.stack(folded)).astype(np.uint8)


def main(folder: str) -> None:
    """Write the atlas into the package."""
    heads = read_labeled_heads(Path(folder))
    atlas = atlas_of([in_template_space(head) for head in heads])
    path = Path(hrcam.place.__file__).with_name(FILE)
    np.savez_compressed(path, probability=atlas)
    print(f"{path.name}: {len(heads)} heads, {path.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1])
