"""How right places are: `python -m hrcam_research.atlas.accuracy FOLDER_OF_LABEL_MAPS OUT.json [COUNT [FIRST]]`.

Each head is painted in a random pose, contrast and with or without its skull, on 256 × 256 × 24 voxels, and brought to
the template as any scan is. The atlas is made from the other heads. COUNT scans from FIRST on are measured; the number
of a scan chooses head, pose and contrast, so that limits can be chosen on some heads and measured on others. Of points
drawn evenly over the structures, it is asked whether the named structure is the right one or within 3 mm, and whether
the side is wrong. The mean head that leads a scan to the template holds all heads, its own too.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from hrcam.align.affine import align_to_template
from hrcam.align.transforms import inverse, moved
from hrcam.place.name import place_at
from hrcam.place.structures import STRUCTURES
from hrcam.place.template import templates_of
from scipy.ndimage import distance_transform_edt

from .build import aligned, atlas_of, in_template_space
from .heads import LOOKS, LabeledHead, paint, posed, read_labeled_heads

NEAR_MM = 3.0
POINTS = 300
SIZE, SPACING = (256, 256, 24), (0.94, 0.94, 6.5)


def measure(head: LabeledHead, atlas: np.ndarray, seed: int) -> dict[str, Any]:
    """One scan of a head: its registration, and what became of the points."""
    rng = np.random.default_rng(seed)
    scene = posed(head, rng, SIZE, SPACING)
    look, stripped = LOOKS[seed % len(LOOKS)], bool(seed // len(LOOKS) % 2)
    scan = paint(scene, rng, look, stripped)
    began = time.process_time()
    found = align_to_template(scan, *templates_of(atlas))
    record: dict[str, Any] = {
        "head": head.name, "look": look, "stripped": stripped, "seconds": round(time.process_time() - began, 2),
        "trusted": found.trusted, "agreement_mm": round(found.agreement_mm, 2),
        "similarity": round(found.similarity, 3)}
    structures, sides = scene.structures, scene.right_side
    chosen = _points(structures, rng)
    mni = moved(inverse(found.template_to_scan), scene.geometry.points_to_lps(chosen[:, ::-1])) * [-1.0, -1.0, 1.0]
    names = list(STRUCTURES)
    places = [place_at(point, atlas=atlas) for point in mni]
    near = {}
    for name in {place.structure for place in places}:
        near[name] = distance_transform_edt(structures != names.index(name), sampling=SPACING[::-1]) <= NEAR_MM
    at = [tuple(point) for point in chosen]
    record |= {
        "points": len(at),
        "right": int(sum(near[place.structure][point] for place, point in zip(places, at, strict=True))),
        "exact": int(sum(names[structures[point]] == place.structure
                         for place, point in zip(places, at, strict=True))),
        "wrong_side": int(sum({"left": 1, "right": -1}.get(place.side) == sides[point]
                              for place, point in zip(places, at, strict=True))),
        # From which distance to the midline on would no side have been wrong?
        "wrong_half_mm": sorted((round(abs(float(x)), 1) for x, point in zip(mni[:, 0], at, strict=True)
                                 if sides[point] and np.sign(x) != sides[point]), reverse=True)[:10],
    }
    return record


def _points(structures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As many voxels of each structure of the brain; KJI."""
    each = POINTS // (len(STRUCTURES) - 2)
    chosen = []
    for number in range(2, len(STRUCTURES)):
        voxels = np.argwhere(structures == number)
        if len(voxels):
            chosen.append(voxels[rng.integers(len(voxels), size=each)])
    return np.concatenate(chosen)


def main(folder: str, out: str, count: str = "24", first: str = "0") -> None:
    """Measure and write the table."""
    heads = read_labeled_heads(Path(folder))
    mapped = [in_template_space(head, aligned(head)) for head in heads]
    records = []
    for seed in range(int(first), int(first) + int(count)):
        own = seed % len(heads)
        atlas = atlas_of([one for n, one in enumerate(mapped) if n != own])
        records.append(measure(heads[own], atlas, seed))
        print(records[-1], flush=True)
    trusted = [record for record in records if record["trusted"]]
    points = sum(record["points"] for record in trusted)
    summary = {
        "scans": len(records), "trusted": len(trusted), "points": points,
        "right_or_within_3_mm": sum(record["right"] for record in trusted) / max(points, 1),
        "exact": sum(record["exact"] for record in trusted) / max(points, 1),
        "wrong_side": sum(record["wrong_side"] for record in trusted),
        "median_seconds": float(np.median([record["seconds"] for record in records])),
    }
    Path(out).write_text(json.dumps({"summary": summary, "scans": records}, indent=1) + "\n", encoding="utf-8")
    print(summary)


if __name__ == "__main__":
    main(*sys.argv[1:])
