"""The command ``hrcam cohort``: what the results of a batch say together, by groups."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ..words import shown
from . import options as given


class Space(str, Enum):
    """Where maps are added."""

    mni = "mni"
    own = "own"


def cohort(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Folder that hrcam batch wrote.")],
    groups: Annotated[Path, typer.Option("--groups", help="CSV table with the columns case and group.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the summary.")] = Path("hrcam-cohort"),
    space: Annotated[
        Space, typer.Option(help="mni: the template's, by hrcam batch --place; own: all scans lie in one space.")
    ] = Space.mni,
    permutations: Annotated[
        int, typer.Option(min=0, help="Relabelings of the test of group difference; 0 leaves it out.")
    ] = 1000,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Processes that read maps (needs Dask if more than 1).")
    ] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Use this Dask cluster, for example tcp://host:8786, instead of --jobs.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier summary.")] = False,
    quiet: given.Quiet = False,
) -> None:
    """Sum up the results of a batch by groups: maps, prevalence, probabilities, and whether the groups differ.

    Writes cohort.json, cohort_report.html, cohort_cases.csv, cohort_maps.png and, for each group, maps of mean, t,
    prevalence and n a voxel; for each pair of groups t and the p value of a permutation test.
    """
    from rich.console import Console

    from ..cohort.run import summarize_cohort
    from ..cohort.write import write_cohort
    from .progress import ProgressBar

    console, errors = Console(quiet=quiet, highlight=False), Console(stderr=True, highlight=False, soft_wrap=True)
    with ProgressBar(errors, "Cohort", quiet) as progress:
        found = summarize_cohort(results, groups, space.value, permutations,
                                 lambda done, total: progress("Adding maps", done / total), jobs, scheduler)
        files = write_cohort(found, out, overwrite)
    for note in found.notes:
        console.print(f"Note: {note}", markup=False)
    console.print(", ".join(f"{name}: {count} cases" for name, count in found.sizes().items()), markup=False)
    for one in found.differences:
        console.print(f"{one.groups[0]} against {one.groups[1]}: AUC {one.separation.auc:.3f} "
                      f"({one.separation.low:.3f} to {one.separation.high:.3f}), means differ most at RAS "
                      f"{' '.join(f'{x:.0f}' for x in one.peak_ras)} mm, smallest p {one.least_p:.3g}", markup=False)
    console.print(f"Written: {shown(files['report'])}", markup=False)
