"""``python -m hrcam.recipes.t1ce_tumor``: from the data folder to the bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from .bundle import NAME, write_bundle
from .data import CLASSES, NORMAL, normal_slices, tumor_slices, volume_images
from .network import EvidenceNetwork
from .patches import Healthy
from .training import TrainingData, train


def main(
    data: Annotated[Path, typer.Option(help="Folder with t1ce_slices, no_tumor and t1ce_volumes.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, losses and the bundle.")],
    patch_steps: Annotated[int, typer.Option(min=1)] = 250,
    slice_steps: Annotated[int, typer.Option(min=1)] = 1200,
    seed: Annotated[int, typer.Option()] = 0,
    without_patient: Annotated[
        str, typer.Option(help="Leave a patient of t1ce_volumes out of training, to test on it.")
    ] = "",
) -> None:
    """Train `t1ce-tumor` and write its bundle; goes on where an interrupted run of the same folder stopped."""
    tumors, normal, volumes = tumor_slices(data, "train"), normal_slices(data, held=False), volume_images(data)
    if without_patient:
        volumes = volumes.without(without_patient)
    healthy = Healthy.of(normal, volumes, CLASSES.index(NORMAL))
    teacher: EvidenceNetwork = train(TrainingData(tumors, volumes, healthy), out, patch_steps, slice_steps, seed)
    note = (
        f"Seed {seed}: {patch_steps} steps of simulated patches, then {slice_steps} of whole slices, on "
        f"{len(tumors)} tumor slices, {len(normal)} slices without tumor and {len(volumes)} slices of "
        f"{len(set(volumes.patients))} glioblastoma patients ({np.sum(volumes.labels == 0)} with tumor)."
    )
    bundle = write_bundle(
        out / NAME, teacher.to_hrcam(), tumors, tumor_slices(data, "val"), normal_slices(data, held=True), note
    )
    typer.echo(f"{bundle.path}")


if __name__ == "__main__":
    typer.run(main)
