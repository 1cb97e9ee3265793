"""The command ``hrcam localize``: any number of scans, one folder of results, a failure never stops the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..bundle.bundle import DEFAULT_MODEL, Bundle, load_bundle
from ..errors import HRCAMError, OutputError
from ..run.options import MINIMUM_REGION_ML
from ..run.result import Result
from ..scan.io.discovery import Case, find_cases
from ..words import printable, readable, shown
from . import options as given
from .progress import ProgressBar

if TYPE_CHECKING:
    from rich.console import Console

    from ..localize import Options

USAGE_ERROR = 2


def localize_files(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT...", help="NRRD, NIfTI, MetaImage, PNG, JPEG, DICOM folders, folders, patterns."),
    ],
    model: given.Model = DEFAULT_MODEL,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("hrcam-output"),
    device: given.Device = "auto",
    class_name: given.ClassName = None,
    plane: given.Plane = "auto",
    scene: given.Scene = False,
    dicom: given.Dicom = False,
    fusion: given.Fusion = None,
    precision: given.Precision = "fp32",
    batch_size: given.BatchSize = None,
    engine: given.Engine = "auto",
    keep_levels: given.KeepLevels = False,
    minimum_region: given.MinimumRegion = MINIMUM_REGION_ML,
    faithfulness: given.TestFaithfulness = False,
    place: given.NamePlaces = False,
    no_overview: given.NoOverview = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier results in the folder.")] = False,
    quiet: given.Quiet = False,
) -> None:
    """Localize pathology: per scan the class probabilities, an evidence map on its own grid, regions and a picture.

    Writes NAME_map.nii.gz (evidence in logits), NAME_levels.seg.nrrd and NAME_labels.nii.gz (evidence levels),
    NAME_overview.png and NAME_result.json. Exit codes: 0 all scans done, 1 a scan failed, 2 wrong usage.
    """
    from rich.console import Console

    from ..localize import Options
    from ..output.writers import DEFAULT_OUTPUTS, DICOM_OUTPUTS
    from .app import debugging, describe

    console, errors = Console(quiet=quiet, highlight=False), Console(stderr=True, highlight=False, soft_wrap=True)
    options = Options(
        class_name, plane, device, precision, batch_size, fusion, keep_levels, engine,
        minimum_region_ml=minimum_region, faithfulness=faithfulness, place=place,
    )
    outputs = [kind for kind in DEFAULT_OUTPUTS if not (no_overview and kind == "overview")] + ["scene"] * scene
    outputs += DICOM_OUTPUTS * dicom
    bundle = load_checked(model, options, errors)
    cases, passed_over = find_cases(inputs)
    options = replace(options, scans=max(1, len(cases)))
    failed = 0
    for number, case in enumerate(cases, start=1):
        label = case.name if len(cases) == 1 else f"{case.name} ({number}/{len(cases)})"
        try:
            with ProgressBar(errors, label, quiet) as progress:
                result, files = localize_case(case, bundle, options, out, outputs, overwrite, progress)
        except Exception as error:  # whatever it is, the other scans are not to blame
            if debugging() and not isinstance(error, HRCAMError):
                raise
            failed += 1
            errors.print(f"{case.name}: {describe(error)}", markup=False)
        else:
            _print_result(console, result, files)
    for other in passed_over:
        console.print(f"Passed over: {shown(other.path)}: {printable(other.why)}", markup=False, soft_wrap=True)
    if len(cases) > 1:
        console.print(f"{len(cases) - failed} of {len(cases)} scans done, in {shown(out)}", markup=False)
    if failed:
        raise typer.Exit(1)


def localize_case(
    case: Case,
    bundle: Bundle,
    options: Options,
    out: Path,
    outputs: Sequence[str],
    overwrite: bool,
    progress: Callable[[str, float], None] | None = None,
) -> tuple[Result, dict[str, Path]]:
    """Read, localize and write one case; returns the result and its files.

    Raises ``HRCAMError`` for anything expected to go wrong; nothing of the case is left behind then.
    """
    from ..localize import STAGES, localize
    from ..output.writers import RESULT_SUFFIX, write_result
    from ..scan.volume import read_volume

    if case.error is not None:
        raise case.error
    if not overwrite and (out / f"{case.name}{RESULT_SUFFIX}").exists():
        raise OutputError(f"There are results of {case.name} in {out} already.",
                          "Choose another folder with --out, or add --overwrite.")
    if progress is not None:
        progress("Reading", STAGES["Reading"])
    volume = replace(read_volume(case.path), name=case.name)
    result = localize(volume, bundle, options, progress)
    if progress is not None:
        progress("Writing", STAGES["Writing"])
    return result, write_result(result, volume, out, outputs, overwrite)


def load_checked(model: str, options: Options, errors: Console) -> Bundle:
    """Load the model and check the options against it; what is wrong here is wrong usage, and ends with code 2."""
    from ..run.options import check_runnable
    from .app import describe

    try:
        bundle = load_bundle(model)
        check_runnable(options, bundle)
    except HRCAMError as error:
        errors.print(describe(error), markup=False)
        raise typer.Exit(USAGE_ERROR) from None
    return bundle


def _print_result(console: Console, result: Result, files: dict[str, Path]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from ..run.result import faithfulness_in_words, percent
    from ..run.units import in_units, spell_units

    chances = "  ".join(
        f"{escape(name.replace('_', ' '))} {percent(chance)}"
        for name, chance in sorted(result.probabilities.items(), key=lambda item: -item[1])
    )
    console.print(f"[bold]{escape(result.case)}[/]   {chances}")
    for warning in result.warnings:
        console.print(f"  [yellow]Note:[/] {escape(printable(warning))}")
    class_name = escape(readable(result.shown_class))
    if result.regions:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for heading in (f"  evidence for {class_name}", "level", "volume", "evidence", "RAS (mm)", "slice", ""):
            table.add_column(heading)
        for region in result.regions[:5]:
            at = " ".join(f"{value:.0f}" for value in region.peak_ras)
            table.add_row(f"  region {region.label}", region.level, f"{region.volume_ml:.2f} ml",
                          spell_units(in_units(region.peak, result.evidence_levels)), at,
                          f"{region.plane} {region.slice_index + 1}", region.place.words if region.place else "")
        console.print(table)
        if len(result.regions) > 5:
            console.print(f"  … and {len(result.regions) - 5} more in {escape(files['result'].name)}")
    else:
        exceeds = float(result.map.max()) >= result.evidence_levels[0].threshold
        console.print("  Nothing is marked." if result.withheld and exceeds
                      else f"  Nothing is marked: the evidence for {class_name} stays below the lowest level.")
    if result.faithfulness is not None:
        console.print(f"  {faithfulness_in_words(result.faithfulness, class_name)}")
    folder = files["result"].parent
    names = "  ".join(path.name for path in files.values())
    console.print(f"  [dim]in {escape(printable(str(folder)))}:[/] {escape(names)}\n", soft_wrap=True)
