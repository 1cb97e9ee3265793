"""``python -m hrcam_research.sequence``: from the data folder to the weights of `hrcam.sequence`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer
from safetensors.torch import save

from ..brain_lesion.heads import read_heads
from .generated import draw_slices
from .real import real_slices
from .training import train

GENERATED = 14_000


def main(
    data: Annotated[Path, typer.Option(help="Folder with head_labels, t1ce_slices and no_tumor.")],
    out: Annotated[Path, typer.Option(help="Folder for the weights, and for prepared label maps.")],
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Train the network and write `weights.safetensors`, in half precision."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    out.mkdir(parents=True, exist_ok=True)
    heads = read_heads(data / "head_labels", out / "heads.npz")
    network = train(real_slices(data), draw_slices(heads, GENERATED, seed), seed)
    kept = {name: value.half() if value.is_floating_point() else value for name, value in network.state_dict().items()}
    (out / "weights.safetensors").write_bytes(save(kept))
    typer.echo(f"{out / 'weights.safetensors'}")


if __name__ == "__main__":
    typer.run(main)
