"""``python -m hrcam_research.t1ce_tumor``: from the data folder to the bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from .bundle import NAME, write_bundle
from .data import normal_slices, tumor_slices
from .leave_one_out import before_the_volumes, leave_one_out
from .training import ROUNDS, Steps, TrainingData, train


def main(
    data: Annotated[Path, typer.Option(help="Folder with t1ce_slices, no_tumor, t1ce_volumes, templates and ms.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, losses and the bundle.")],
    crop_steps: Annotated[int, typer.Option(min=1)] = Steps.crops,
    slice_steps: Annotated[int, typer.Option(min=1)] = Steps.slices,
    again_steps: Annotated[int, typer.Option(min=1, help="Slices again, the teacher at rest.")] = Steps.again,
    volume_steps: Annotated[int, typer.Option(min=0)] = Steps.volumes,
    seed: Annotated[int, typer.Option()] = 0,
    leave_out: Annotated[
        bool, typer.Option(help="Also train without each patient of t1ce_volumes in turn, to measure on that patient.")
    ] = True,
) -> None:
    """Train `t1ce-tumor` and write its bundle; goes on where an interrupted run of the same folder stopped."""
    learnt = TrainingData.read(data)
    steps = Steps(crop_steps, slice_steps, again_steps, volume_steps)
    teacher = train(learnt, out, steps, seed)
    present = {"before_t1ce_volumes": before_the_volumes(learnt.volumes, out)}
    if leave_out:
        left_out = leave_one_out(learnt, out, volume_steps, seed)
        (out / "leave_one_out.json").write_text(json.dumps(left_out, indent=1), encoding="utf-8")
        present["leave_one_patient_out"] = left_out["auc_all_slices"]
        present["leave_one_patient_out_mean_of_patients"] = left_out["auc_mean_of_patients"]
    tumors, volumes = learnt.tumors, learnt.volumes
    note = (
        f"Seed {seed}: {steps.crops} steps of paired crops, {steps.slices} and {ROUNDS} times {steps.again} of whole "
        f"slices, and {steps.volumes} with `t1ce_volumes`, on {len(tumors)} tumor slices, {len(learnt.normal)} slices "
        f"without tumor, {len(learnt.heads)} slices of {len(set(learnt.heads.patients))} tumor-free heads and "
        f"{len(volumes)} slices of {len(set(volumes.patients))} glioblastoma patients "
        f"({np.sum(volumes.labels == 0)} with tumor)."
    )
    val, normal = tumor_slices(data, "val"), normal_slices(data, held=True)
    bundle = write_bundle(out / NAME, teacher.to_hrcam(), learnt, val, normal, volumes, note, present)
    typer.echo(f"{bundle.path}")


if __name__ == "__main__":
    typer.run(main)
