"""The command ``hrcam compare``: what became of each region between two dates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..bundle.bundle import DEFAULT_MODEL
from ..errors import OutputError
from ..run.options import MINIMUM_REGION_ML
from ..words import shown
from . import options as given
from .localize import load_checked
from .progress import ProgressBar

if TYPE_CHECKING:
    from rich.console import Console

    from ..compare.comparison import Comparison


def compare_files(
    earlier: Annotated[str, typer.Argument(metavar="EARLIER", help="Scan of the earlier date: file or DICOM folder.")],
    later: Annotated[str, typer.Argument(metavar="LATER", help="Scan of the later date, of the same person.")],
    model: given.Model = DEFAULT_MODEL,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the comparison.")] = Path("hrcam-comparison"),
    aligned: Annotated[
        bool, typer.Option("--aligned", help="The scans lie in one space already: do not register them.")
    ] = False,
    copies: Annotated[
        int, typer.Option("--copies", min=0, help="Copies of each scan that are localized too: their mean is sounder.")
    ] = 1,
    device: given.Device = "auto",
    class_name: given.ClassName = None,
    plane: given.Plane = "auto",
    fusion: given.Fusion = None,
    precision: given.Precision = "fp32",
    batch_size: given.BatchSize = None,
    engine: given.Engine = "auto",
    minimum_region: given.MinimumRegion = MINIMUM_REGION_ML,
    place: given.NamePlaces = False,
    no_overview: given.NoOverview = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier comparison.")] = False,
    quiet: given.Quiet = False,
) -> None:
    """Compare two scans of one person: regions that are new, growing, stable, shrinking or resolved.

    Both are localized by the same model, the earlier one is registered to the later one (checked, and refused where it
    fails), and regions are matched. Writes NAME_comparison.json, .png and, on the later scan's grid, the change of
    evidence, both dates' maps and levels, and a segmentation; NAME is the later scan's. DICOM dates put the scans in
    order. Exit codes: 0 done, 1 failed, 2 wrong usage.
    """
    from rich.console import Console

    from ..compare.run import compare
    from ..compare.write import COMPARISON_SUFFIX, write_comparison
    from ..localize import Options
    from ..scan.volume import read_volume

    console, errors = Console(quiet=quiet, highlight=False), Console(stderr=True, highlight=False, soft_wrap=True)
    options = Options(class_name, plane, device, precision, batch_size, fusion, engine=engine,
                      minimum_region_ml=minimum_region, place=place)
    bundle = load_checked(model, options, errors)
    first, second = read_volume(earlier), read_volume(later)
    existing = [one for one in (first, second) if (out / f"{one.name}{COMPARISON_SUFFIX}").exists()]
    if existing and not overwrite:
        raise OutputError(f"There is a comparison of {existing[0].name} in {shown(out)} already.",
                          "Choose another folder with --out, or add --overwrite.")
    with ProgressBar(errors, second.name, quiet) as progress:
        found = compare(first, second, bundle, options, aligned=aligned, copies=copies, progress=progress)
        files = write_comparison(found, out, not no_overview, overwrite)
    _print(console, found)
    console.print(f"Written: {shown(files['result'])}", markup=False)


def _print(console: Console, found: Comparison) -> None:
    from rich.table import Table

    from ..compare.calls import spelled_call
    from ..compare.comparison import summary_of
    from ..output.drawing import milliliters
    from ..run.units import in_units, name_levels, spell_units
    from ..words import printable, readable

    console.print(f"{printable(found.later.case)}: {summary_of(found)}", markup=False)
    for warning in found.warnings:
        console.print(f"Note: {printable(warning)}", markup=False)
    if not found.changes:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    class_name = printable(readable(found.later.shown_class))
    levels = found.later.evidence_levels
    for heading in (f"  evidence for {class_name}", "earlier", "later", "diameter", "evidence", "RAS (mm)", ""):
        table.add_column(heading)
    for one in found.changes:
        peaks = ["–" if peak is None else spell_units(in_units(peak, levels))
                 for peak in (one.peak_earlier, one.peak_later)]
        call = spelled_call(one.call, one.beyond_repeatability)
        table.add_row(f"  {one.number} {call}", milliliters(one.volume_earlier_ml),
                      milliliters(one.volume_later_ml), f"{one.diameter_change_mm:+.1f} mm", " to ".join(peaks),
                      " ".join(f"{x:.0f}" for x in one.peak_ras), one.place.words if one.place else "")
    console.print(table)
    limits = found.repeatability
    console.print(f"Evidence is in units of the weakest level: {name_levels(levels)}.", markup=False)
    console.print(f"Of two measurements of one scan 95 of 100 differ by less than {limits.diameter_mm:.1f} mm in "
                  "diameter; a smaller change (?) may be chance. The scans were registered to "
                  f"{found.alignment.agreement_mm:.1f} mm ({found.alignment.method}).", markup=False)
