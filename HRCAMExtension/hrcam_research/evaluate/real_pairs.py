"""The eight pairs of ``t1ce_volumes``, compared: ``python -m hrcam_research.evaluate.real_pairs FOLDER OUT [MODEL]``.

Their headers state voxels of 1 mm in every direction, which is false; `SPACING_MM` is put in its place (in-plane a
usual field of view, through-plane the slices' spacing of most studies of the collection). Masks are used for one thing
alone: beside each comparison stand the volumes of the traced tumor on both dates.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hrcam.bundle.bundle import Bundle, load_bundle
from hrcam.compare.comparison import summary_of
from hrcam.compare.run import compare
from hrcam.compare.write import write_comparison
from hrcam.errors import HRCAMError
from hrcam.localize import Options
from hrcam.run.result import Result
from hrcam.scan.geometry import Geometry
from hrcam.scan.volume import Volume, read_volume

SPACING_MM = (0.94, 0.94, 6.5)


def read_true_size(path: Path, name: str) -> Volume:
    """A scan or mask with `SPACING_MM` instead of what its header says."""
    volume = read_volume(path)
    old = volume.geometry
    return replace(volume, name=name, geometry=Geometry(old.size_ijk, old.origin_lps, SPACING_MM, old.direction_lps))


def compare_pair(folder: Path, patient: str, bundle: Bundle, out: Path) -> dict[str, Any]:
    """Compare one patient's scans and write the comparison; returns a row of the table."""
    earlier, later = (read_true_size(folder / f"{patient}_{date}_t1ce.nii.gz", f"{patient}_{date}")
                      for date in ("pre", "post"))
    masks = [read_true_size(folder / f"{patient}_{date}_mask.nii.gz", patient).array > 0 for date in ("pre", "post")]
    voxel_ml = float(np.prod(SPACING_MM)) / 1000
    row: dict[str, Any] = {"patient": patient, "traced_ml": [round(float(m.sum()) * voxel_ml, 1) for m in masks]}
    try:
        found = compare(earlier, later, bundle, Options(device="cpu", place=True))
    except HRCAMError as error:
        return {**row, "refused": str(error)}
    write_comparison(found, out)
    return {**row, "summary": summary_of(found), "agreement_mm": round(found.alignment.agreement_mm, 2),
            "similarity": round(found.alignment.similarity, 2), "limit_mm": round(found.repeatability.diameter_mm, 2),
            "marked_ml": [round(sum(r.volume_ml for r in one.regions), 1) for one in (found.earlier, found.later)],
            "dice": [_dice(one, mask) for one, mask in zip((found.earlier, found.later), masks, strict=True)],
            "changes": [[c.call, round(c.volume_earlier_ml, 1), round(c.volume_later_ml, 1),
                         c.place.words if c.place else None] for c in found.changes],
            "warnings": list(found.warnings), "seconds": {k: round(v, 1) for k, v in found.timings.items()}}


def _dice(result: Result, mask: np.ndarray) -> float:
    marked = result.labels > 0
    return round(2 * float((marked & mask).sum()) / max(float(marked.sum() + mask.sum()), 1.0), 2)


def main(folder: str, out: str, model: str = "brain-lesion") -> None:
    """Compare all pairs of the folder, those done already left as they are; a line of JSON each."""
    bundle, target = load_bundle(model), Path(out)
    target.mkdir(parents=True, exist_ok=True)
    table = target / "pairs.jsonl"
    lines = table.read_text(encoding="utf-8").splitlines() if table.exists() else []
    done = {json.loads(line)["patient"] for line in lines}
    for path in sorted(Path(folder).glob("*_pre_t1ce.nii.gz")):
        patient = path.name.split("_")[0]
        if patient not in done:
            row = compare_pair(Path(folder), patient, bundle, target)
            with table.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
