"""`hrcam cohort` on known truth, and on many results: ``python -m hrcam_research.evaluate.cohorts --help``."""

from __future__ import annotations

import csv
import json
import os
import resource
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its customary name
import typer
from hrcam.batch.run import run_batch
from hrcam.bundle.bundle import load_bundle
from hrcam.cohort.cases import read_groups
from hrcam.cohort.maps import OWN
from hrcam.cohort.run import Cohort, summarize_cohort
from hrcam.cohort.write import write_cohort
from hrcam.localize import Options
from hrcam.output.writers import RESULT_SUFFIX
from scipy import ndimage

from ..simulate.config import SimulationConfig
from ..simulate.dataset import make_dataset

MODEL, SHOWN_CLASS, PATIENTS = "nm-parkinson-simulated", "nigral_loss", "parkinson"
NIGRA = 2
"""Its value in the label maps of simulated midbrains."""

app = typer.Typer(add_completion=False, help=__doc__)


@app.command()
def parkinson(out: Path, count: int = 80, seed: int = 5, permutations: int = 1000) -> None:
    """Simulate midbrains, localize them, sum them up by group; print where the groups differ as JSON."""
    table = make_dataset(SimulationConfig(kind="neuromelanin", dims=3, count=count, seed=seed, file_format="nifti"),
                         out / "midbrains", 1)
    write_groups(out / "groups.csv", read_groups(table))
    run_batch([out / "midbrains" / "images"], load_bundle(MODEL), out / "results",
              Options(class_name=SHOWN_CLASS, device="cpu"), ["map"], report=False)
    found = summarize_cohort(out / "results", table, OWN, permutations)
    write_cohort(found, out / "cohort", overwrite=True)
    anatomy = [sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
               for path in sorted((out / "midbrains" / "anatomy").glob("*.nii.gz"))]
    nigra = np.mean([one == NIGRA for one in anatomy], axis=0)
    typer.echo(json.dumps(where_groups_differ(found, nigra), indent=1))


def where_groups_differ(found: Cohort, nigra: np.ndarray) -> dict[str, Any]:
    """How the patients' maps lie to the nigra: ``nigra`` is the share of cases that have it at a voxel, KJI.

    Of each map the strongest voxels are looked at, as many as half of the cases have nigra in common.
    """
    one = found.differences[0]
    patients, controls = found.maps[PATIENTS], found.maps[next(n for n in found.maps if n != PATIENTS)]
    core, anyone = nigra >= 0.5, nigra > 0
    away = ndimage.distance_transform_edt(~core, sampling=found.grid.spacing[::-1])
    maps = {"mean of patients": patients.mean, "difference of means": patients.mean - controls.mean,
            "difference of prevalence": patients.prevalence - controls.prevalence, "t": one.t}
    places = {}
    for name, values in maps.items():
        strongest = values >= np.sort(values, axis=None)[-int(core.sum())]
        places[name] = {"its_greatest_value": float(values.max()),
                        "its_distance_to_the_nigra_mm": float(away.flat[int(np.argmax(values))]),
                        "strongest_within_3_mm_of_the_nigra": float((away[strongest] <= 3).mean()),
                        "strongest_where_any_case_has_nigra": float(anyone[strongest].mean())}
    return {"groups": found.sizes(), "against": one.groups, "auc": one.separation.auc,
            "auc_interval": [one.separation.low, one.separation.high], "least_p": one.least_p,
            "share_of_the_volume_where_any_case_has_nigra": float(anyone.mean()), "maps": places}


def write_groups(path: Path, groups: dict[str, str]) -> Path:
    """A table of cases and groups, as ``hrcam cohort`` reads it."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("case", "group"), *groups.items()])
    return path


@app.command()
def many(
    results: Annotated[Path, typer.Argument(help="Results of `parkinson`, and groups.csv beside their folder.")],
    out: Annotated[Path, typer.Argument(help="A new folder for links to them, under as many names as COUNT.")],
    count: int = 1000, permutations: int = 1000, jobs: int = 1,
) -> None:
    """Sum up COUNT results (the same ones under other names), and print time and peak memory as JSON."""
    known = read_groups(results.parent / "groups.csv")
    names = sorted(known)
    out.mkdir(parents=True)
    groups = {}
    for number in range(count):
        name, copy = names[number % len(names)], f"copy{number:05d}"
        groups[copy] = known[name]
        document = json.loads((results / f"{name}{RESULT_SUFFIX}").read_text(encoding="utf-8"))
        os.link(results / document["files"]["map"], out / f"{copy}_map.nii.gz")
        document = {**document, "case": copy, "files": {"map": f"{copy}_map.nii.gz"}}
        (out / f"{copy}{RESULT_SUFFIX}").write_text(json.dumps(document), encoding="utf-8")
    before, began = _peak_mib(), time.perf_counter()
    summarize_cohort(out, write_groups(out / "groups.csv", groups), OWN, permutations, jobs=jobs)
    typer.echo(json.dumps({"results": count, "permutations": permutations, "jobs": jobs,
                           "seconds": round(time.perf_counter() - began, 1),
                           "cpu_seconds": round(time.process_time(), 1), "peak_mib": round(_peak_mib()),
                           "peak_before_mib": round(before)}))


def _peak_mib() -> float:
    """Greatest resident memory of this process so far (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    app()
