"""``python -m hrcam_research.brain_lesion``: from the data folder to the bundle."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import torch
import typer

from hrcam_research.t1ce_tumor.data import normal_slices, volume_images

from .agreement import choose_agreement
from .bundle import NAME, write_bundle
from .calibration import draw_examples
from .data import load_sources, with_volumes
from .network import first_network
from .real_scans import choose_limit
from .training import LAST, LAST_SEEDS, STAGES, train_all


def main(
    data: Annotated[
        Path,
        typer.Option(
            help="Folder with head_labels, t1ce_slices, no_tumor, t1ce_volumes, templates and ms; lgg "
            "and healthy_t1 only choose."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for weights and the bundle.")],
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Train `brain-lesion` and write its bundle; stages that an earlier run of the folder ended are kept."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    sources = load_sources(data, out)
    hrcam = train_all(first_network(seed), with_volumes(sources.material, volume_images(data)), out, seed)
    steps, last = (" and ".join(str(stage.steps) for stage in stages) for stages in (STAGES, LAST))
    note = (
        f"Seed {seed}: {steps} steps of 16 or 17 slices, begun from the weights of `t1ce-tumor`, then {last} steps, "
        f"{LAST_SEEDS} times from the same weights each, and the mean of the running means."
    )
    bundle = write_bundle(
        out / NAME, hrcam, draw_examples(sources.held_heads), normal_slices(data, held=True).pixels, note
    )
    typer.echo(f"{choose_agreement(choose_limit(bundle, data), data, out / 'simulated').path}")


if __name__ == "__main__":
    typer.run(main)
