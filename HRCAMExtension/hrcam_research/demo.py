"""The command ``hrcam demo``: the main job on a scan that everybody has, with the truth beside it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer
from hrcam.bundle.bundle import DEFAULT_MODEL, load_bundle
from hrcam.errors import InputError
from hrcam.run.result import Result, percent
from hrcam.scan.geometry import Geometry
from hrcam.scan.volume import Volume, read_volume, to_sitk

TEMPLATE = "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
"""MNI ICBM152 2009a T1 template (Fonov et al. 2009), 1 mm, without skull; the PyPI package nilearn ships it."""

LOWEST_MM = -30.0
"""Height (S of RAS) from which the template is taken: models know whole heads, and below it a brain without skull falls
apart into islands such as they have never seen."""

LOOK, DIAMETER_MM, SEED = "meningioma", (28.0, 34.0), 4


@dataclass(frozen=True)
class Agreement:
    """How a result compares with a known lesion.

    Attributes
    ----------
    dice : overlap of the lesion with all evidence from the lowest level on, 0–1.
    pointing : whether the strongest voxel of the map lies in the lesion.
    distance_mm : from the strongest voxel to the lesion's center.
    """

    dice: float
    pointing: bool
    distance_mm: float


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("hrcam-demo"),
    model: Annotated[str, typer.Option("--model", "-m", help="Name or folder of a model.")] = DEFAULT_MODEL,
    scan: Annotated[Path | None, typer.Option(help="A T1 scan without lesion (default: the MNI152 template).")] = None,
    seed: Annotated[int, typer.Option(help="Another lesion for every number.")] = SEED,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    scene: Annotated[bool, typer.Option("--scene", help="Also write a scene (.mrb) for 3D Slicer.")] = False,
) -> None:
    """Put a simulated enhancing tumor into a real T1 template, localize it, and compare with the truth."""
    from hrcam.localize import Options, localize
    from hrcam.output.writers import DEFAULT_OUTPUTS, write_result

    bundle = load_bundle(model)
    volume, truth = simulated_scan(read_volume(scan) if scan else cerebrum(read_volume(template_path())), seed)
    result = localize(volume, bundle, Options(device=device))
    outputs = [kind for kind in DEFAULT_OUTPUTS if kind != "overview"] + ["scene"] * scene
    files = write_result(result, volume, out, outputs)
    files |= _write_truth(volume, truth, result, out)
    found = compare(result, truth)
    center = volume.geometry.points_to_ras(np.argwhere(truth)[:, ::-1].mean(axis=0))
    typer.echo(f"Prediction: {result.predicted.replace('_', ' ')} ({percent(result.probabilities[result.predicted])})")
    typer.echo(f"Truth:      simulated {LOOK}, {truth.sum() * volume.geometry.voxel_volume_ml:.1f} ml at RAS "
               f"{_position(center)}")
    if result.regions:
        strongest = result.regions[0]
        count = "1 region" if len(result.regions) == 1 else f"{len(result.regions)} regions"
        typer.echo(f"Found:      {count}, the strongest {strongest.level}, "
                   f"{strongest.volume_ml:.1f} ml, peak at RAS {_position(strongest.peak_ras)}")
    else:
        typer.echo("Found:      no evidence above the lowest level")
    where = "inside" if found.pointing else "outside"
    typer.echo(f"Agreement:  Dice {found.dice:.2f}; the peak lies {where} the lesion, {found.distance_mm:.0f} mm from "
               "its center")
    for kind, path in files.items():
        typer.echo(f"  {kind:<9} {path}")
    typer.echo(f"Look at {files['overview']}; open {files['scan']} and {files['levels']} in 3D Slicer.")


def template_path() -> Path:
    """The template inside the installed nilearn, found without importing it; ``InputError`` where it is not."""
    spec = find_spec("nilearn")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "datasets" / "data" / TEMPLATE
        if path.is_file():
            return path
    raise InputError("The demo's brain template comes with the Python package nilearn, which is not installed.",
                     "Install it with: pip install 'hrcam[demo]', or give a scan with --scan.")


def cerebrum(template: Volume) -> Volume:
    """The template's slices above `LOWEST_MM`; its third axis runs to superior, positions stay."""
    image = to_sitk(template.array, template.geometry)
    first = round((LOWEST_MM - image.GetOrigin()[2]) / image.GetSpacing()[2])
    corner = image.TransformIndexToPhysicalPoint((0, 0, first))
    size = (*image.GetSize()[:2], image.GetSize()[2] - first)
    geometry = Geometry(size, corner, template.geometry.spacing, template.geometry.direction_lps)
    return Volume(np.ascontiguousarray(template.array[first:]), geometry, template.name, template.source)


def simulated_scan(volume: Volume, seed: int = SEED) -> tuple[Volume, npt.NDArray[np.bool_]]:
    """A scan with one simulated enhancing tumor, and the tumor's mask KJI; the same for the same seed."""
    from .simulate.lesion import insert_lesion, tumor_lesion

    rng = np.random.default_rng(seed)
    spec = tumor_lesion(rng, LOOK, DIAMETER_MM)
    image, mask = insert_lesion(volume.array, volume.geometry.spacing[::-1], rng, spec)
    array = np.ascontiguousarray(image, np.float32)
    return Volume(array, volume.geometry, "demo", volume.source, volume.spacing_known), mask


def compare(result: Result, truth: npt.NDArray[np.bool_]) -> Agreement:
    """Compare a result with a known lesion (KJI, on the result's grid)."""
    found = result.labels > 0
    dice = 2.0 * float(np.count_nonzero(found & truth)) / max(1, int(found.sum()) + int(truth.sum()))
    peak = np.unravel_index(int(result.map.argmax()), result.map.shape)
    points = result.geometry.points_to_ras([peak[::-1], np.argwhere(truth)[:, ::-1].mean(axis=0)])
    return Agreement(dice, bool(truth[peak]), float(np.linalg.norm(points[0] - points[1])))


def _write_truth(volume: Volume, truth: npt.NDArray[np.bool_], result: Result, out: Path) -> dict[str, Path]:
    """Write the scan, the truth, and the overview with the truth outlined."""
    import SimpleITK as sitk  # noqa: N813 - its customary name
    from hrcam.output.overview import write_overview

    paths = {"scan": out / "demo.nii.gz", "truth": out / "demo_truth.nii.gz", "overview": out / "demo_overview.png"}
    sitk.WriteImage(to_sitk(volume.array, volume.geometry), str(paths["scan"]), useCompression=True)
    sitk.WriteImage(to_sitk(truth.astype(np.uint8), volume.geometry), str(paths["truth"]), useCompression=True)
    write_overview(paths["overview"], volume, result, truth)
    return paths


def _position(ras: npt.ArrayLike) -> str:
    return ", ".join(f"{value:.0f}" for value in np.asarray(ras))
