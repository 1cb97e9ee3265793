"""The command ``hrcam batch``: folders of scans, resumable, on one machine or a Dask cluster."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ..bundle.bundle import DEFAULT_MODEL
from ..run.options import MINIMUM_REGION_ML
from . import options as given
from .localize import USAGE_ERROR


def batch(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT...", help="Folders, files, patterns, DICOM trees, BIDS data sets."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")],
    model: given.Model = DEFAULT_MODEL,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Processes, of one CPU thread each (needs Dask if more than 1).")
    ] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Use this Dask cluster, for example tcp://host:8786, instead of --jobs.")
    ] = None,
    retries: Annotated[int, typer.Option(min=0, help="Further tries after an error that may pass.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Compute finished cases too.")] = False,
    device: given.Device = "auto",
    class_name: given.ClassName = None,
    plane: given.Plane = "auto",
    fusion: given.Fusion = None,
    precision: given.Precision = "fp32",
    batch_size: given.BatchSize = None,
    engine: given.Engine = "auto",
    keep_levels: given.KeepLevels = False,
    minimum_region: given.MinimumRegion = MINIMUM_REGION_ML,
    faithfulness: given.TestFaithfulness = False,
    place: given.NamePlaces = False,
    scene: given.Scene = False,
    dicom: given.Dicom = False,
    no_overview: given.NoOverview = False,
    no_map: Annotated[bool, typer.Option("--no-map", help="Do not write the maps, most of the space.")] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write the tables only.")] = False,
    quiet: given.Quiet = False,
) -> None:
    """Localize pathology in many scans: start it again and it goes on where it stopped.

    Writes the files of hrcam localize for every case, summary.csv (and .parquet) and report.html. A finished case is
    kept as long as its voxels, the model and the options stay the same; a failed one never stops the others and is
    tried again by the next run. Exit codes: 0 all cases finished, 1 a case failed, 2 wrong usage.
    """
    from rich.console import Console

    from ..batch.records import FAILED, KEPT, PASSED_OVER, Row, summarize
    from ..batch.report import CSV_NAME, REPORT_NAME
    from ..batch.run import run_batch
    from ..errors import InputError
    from ..localize import Options
    from ..output.writers import DEFAULT_OUTPUTS, DICOM_OUTPUTS
    from ..words import printable, shown
    from .app import describe
    from .localize import load_checked

    console, errors = Console(quiet=quiet, highlight=False), Console(stderr=True, highlight=False, soft_wrap=True)
    options = Options(
        class_name, plane, device, precision, batch_size, fusion, keep_levels, engine,
        minimum_region_ml=minimum_region, faithfulness=faithfulness, place=place,
    )
    left_out = {"overview": no_overview, "map": no_map}
    outputs = [kind for kind in DEFAULT_OUTPUTS if not left_out.get(kind)] + ["scene"] * scene
    outputs += DICOM_OUTPUTS * dicom
    bundle = load_checked(model, options, errors)

    remaining = Remaining()

    def tell(finished: int, total: int, row: Row) -> None:
        left = remaining(total - finished, computed=row.status != KEPT)
        if row.status == FAILED:
            errors.print(printable(f"[{finished}/{total}] {row.case}: {row.error} {row.hint}"), markup=False)
        else:
            predicted = row.found["predicted"] if row.found else ""
            console.print(f"[{finished}/{total}] {row.case}: {row.status} {predicted} {row.seconds:.1f} s{left}",
                          markup=False, soft_wrap=True)

    try:
        done = run_batch(inputs, bundle, out, options, outputs, overwrite=overwrite, retries=retries, jobs=jobs,
                         scheduler=scheduler, report=not no_report, progress=tell)
    except InputError as error:
        errors.print(describe(error), markup=False)
        raise typer.Exit(USAGE_ERROR) from None
    written = CSV_NAME if no_report else f"{REPORT_NAME} and {CSV_NAME}"
    scans = len(done.rows) - done.count(PASSED_OVER)
    console.print(f"{scans} scans: {summarize(done)}. See {written} in {shown(out)}", markup=False,
                  soft_wrap=True)
    if done.exit_code:
        raise typer.Exit(done.exit_code)


class Remaining:
    """How long a batch will still take, from how long its cases took so far; kept ones cost nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._began, self._computed = clock, clock(), 0

    def __call__(self, cases: int, computed: bool) -> str:
        """Words to put at the end of a line when so many cases are left, empty where nothing can be said yet."""
        now = self._clock()
        if not computed and not self._computed:
            self._began = now
        self._computed += computed
        if not cases or not self._computed:
            return ""
        seconds = cases * (now - self._began) / self._computed
        size, unit = next((n, u) for n, u in ((86400, "days"), (3600, "h"), (60, "min"), (0, "")) if seconds >= 2 * n)
        return f", about {seconds / size:.0f} {unit} left" if size else ", less than 2 min left"
