"""The command ``hrcam simulate``."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from hrcam.errors import InputError, OutputError

if TYPE_CHECKING:
    from rich.console import Console

    from .config import SimulationConfig


class Kind(str, Enum):
    """What to simulate."""

    lesion = "lesion"
    neuromelanin = "neuromelanin"


class Style(str, Enum):
    """Tissue contrast of heads drawn from label maps."""

    mixed = "mixed"
    t1 = "t1"
    t1ce = "t1ce"
    any = "any"


class Format(str, Enum):
    """How images are written."""

    auto = "auto"
    png = "png"
    nifti = "nifti"


def simulate(
    out: Annotated[Path, typer.Option("--out", help="Folder for the set: new, or begun with the same settings.")],
    kind: Annotated[Kind, typer.Option(help="Lesions in heads, or neuromelanin-like midbrains.")] = Kind.lesion,
    dims: Annotated[int | None, typer.Option(help="2: slices, 3: volumes. Default: 2; neuromelanin: 3.")] = None,
    count: Annotated[int, typer.Option(help="Number of images; every second one is healthy.")] = 8000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same set, whatever --jobs is.")] = 0,
    heads: Annotated[
        Path | None, typer.Option(help="Folder of SynthSeg label maps or T1 volumes (default: phantoms).")
    ] = None,
    from_file: Annotated[Path | None, typer.Option("--from", help="One label map or T1 volume.")] = None,
    size: Annotated[int | None, typer.Option(help="Voxels along each axis (default: 256 in 2D, 128 in 3D).")] = None,
    spacing: Annotated[float | None, typer.Option(help="Voxel size in mm (default: 0.94 in 2D, 1.7 in 3D).")] = None,
    smallest: Annotated[float, typer.Option(help="Smallest lesion's diameter in mm.")] = 2.0,
    largest: Annotated[float, typer.Option(help="Largest lesion's diameter in mm.")] = 30.0,
    weakest: Annotated[float, typer.Option(help="Least contrast, as a fraction of the local tissue.")] = 0.12,
    strongest: Annotated[float, typer.Option(help="Greatest contrast.")] = 1.2,
    least_change: Annotated[
        float, typer.Option(help="Lesions that change the image less, as a fraction of the brain, are put elsewhere.")
    ] = 0.08,
    style: Annotated[Style, typer.Option(help="Tissue contrast of label-map heads.")] = Style.mixed,
    paired: Annotated[bool, typer.Option(help="Healthy images are the others' own heads and noise.")] = False,
    file_format: Annotated[Format, typer.Option("--format", help="auto: PNG in 2D, NIfTI in 3D.")] = Format.auto,
    follow_up: Annotated[
        bool, typer.Option("--follow-up", help="Pairs of volumes with lesions of known change, for hrcam compare.")
    ] = False,
    validation: Annotated[float, typer.Option(help="Fraction of heads (or subjects) in the validation split.")] = 0.2,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes.")] = 1,
) -> None:
    """Simulate images of known truth: lesions in heads (2D or 3D), or neuromelanin-like midbrains.

    Without options it makes the set of 8,000 slices with simulated abnormalities. Prints and keeps its settings. An
    interrupted run is finished by the same command.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from .config import SimulationConfig, heads_from
    from .dataset import make_dataset

    dims = dims if dims is not None else (2 if kind is Kind.lesion else 3)
    if file_format is Format.auto:
        file_format = Format.png if dims == 2 else Format.nifti
    if kind is Kind.neuromelanin and (heads or from_file):
        raise InputError("Neuromelanin volumes are drawn whole.", "Leave out --heads and --from.")
    config = SimulationConfig(
        kind=kind.value, dims=dims, count=count, seed=seed, size=size, spacing_mm=spacing, paired=paired,
        diameter_mm=(smallest, largest), contrast=(weakest, strongest), least_change=least_change,
        style=None if style is Style.mixed else style.value,
        file_format=file_format.value, heads=heads_from(heads, from_file), validation=validation,
    )  # fmt: skip
    console = Console(stderr=True)
    if follow_up:
        typer.echo(_follow_ups(config, out, console))
        return
    console.print_json(json.dumps(config.to_dict()))
    columns = (TextColumn("Simulating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("Simulating", total=count)
        table = make_dataset(config, out, jobs, lambda done, total: bar.update(task, completed=done, total=total))
    splits = list(config.splits().values())
    if "validation" not in splits and validation > 0:
        console.print("All images show one head, hence all are in the split train: no head may be in two splits.")
    typer.echo(table)


def _follow_ups(config: SimulationConfig, out: Path, console: Console) -> Path:
    """Write pairs, with heads, number, sizes and seed as configured."""
    from .config import PHANTOM_HEADS
    from .dataset import head_at
    from .follow_up import write_follow_ups

    if config.kind != "lesion":
        raise InputError("Follow-ups are of lesions in heads.", "Leave out --kind.")
    if out.exists() and any(out.iterdir()):
        raise OutputError(f"{out} is not empty.", "Choose a new folder for --out.")
    heads = [head_at(config, number) for number in range(len(config.heads) or min(config.count, PHANTOM_HEADS))]
    return write_follow_ups(heads, config.count, config.seed, out,
                            lambda done, total: console.print(f"{done} of {total} pairs", highlight=False),
                            config.size, config.spacing_mm)
