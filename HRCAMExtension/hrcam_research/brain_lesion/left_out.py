"""What `t1ce_volumes` gets from weights that saw none of its patients: the recipe in short, without these scans.

``python -m hrcam_research.brain_lesion.left_out --data DATA --out FOLDER`` trains once for all eight patients and
writes the bundle, calibrated as `brain-lesion` is; ``hrcam evaluate --model FOLDER/brain-lesion`` measures it. It
begins with the encoder of `simulated-lesion`, which saw generated heads alone. One thing is not left out: where tumors
of `t1ce_slices` lie, `t1ce-tumor` says, which learnt from slices of these patients too. The agreement of planes is not
chosen: scans of thick slices are read in one.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from hrcam_research.t1ce_tumor.data import normal_slices

from .bundle import NAME, write_bundle
from .calibration import draw_examples
from .data import HELD_HEADS
from .heads import read_heads
from .network import first_network
from .real_scans import choose_limit
from .training import LAST, train

_UNEVEN = LAST[-1]
STAGES = (
    replace(_UNEVEN, name="apart", steps=1500, rate=1e-3, fall=0.01, warm_up=100, volumes=False),
    replace(_UNEVEN, name="apart-rest", steps=900, rate=7e-4, fall=0.8, volumes=False),
)
"""As the recipe's last one, which reads slices as the bundle does: at an even pace, then coming to rest."""


def main(
    data: Annotated[Path, typer.Option(help="Folder as the recipe takes it.")],
    out: Annotated[Path, typer.Option(help="Folder for weights and the bundle.")],
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Train without `t1ce_volumes` and write the bundle; stages that an earlier run of the folder ended are kept."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    held = read_heads(data / "head_labels", out / "heads.npz")[-HELD_HEADS:]
    hrcam = first_network(seed, "simulated-lesion", encoder_alone=True)
    for stage in STAGES:
        hrcam = train(hrcam, stage, data, out, seed)
    steps = " and ".join(str(stage.steps) for stage in STAGES)
    note = f"Seed {seed}: {steps} steps from the encoder of `simulated-lesion`, without `t1ce_volumes`. Not bundled."
    bundle = write_bundle(out / NAME, hrcam, draw_examples(held), normal_slices(data, held=True).pixels, note)
    typer.echo(f"{choose_limit(bundle, data).path}")


if __name__ == "__main__":
    typer.run(main)
