"""How much the seed of the last stage matters: trained several times from the same weights, each measured on `lgg`.

``python -m hrcam_research.brain_lesion.seeds --begin BUNDLE --data DATA --out FOLDER`` goes on from the weights of a
bundle of the same form, as of an earlier version, with what each seed draws. Each end, and the mean of all, is
calibrated as `brain-lesion` is and reads the scans. The agreement of planes is not chosen: scans of thick slices are
read in one.
"""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Annotated

import torch
import typer
from hrcam.bundle.bundle import load_bundle
from hrcam.cam.model import HRCAM

from hrcam_research.evaluate.scan_report import first_page
from hrcam_research.evaluate.scans import find_scan_sets
from hrcam_research.t1ce_tumor.data import normal_slices, volume_images

from .bundle import NAME, write_bundle
from .calibration import draw_examples
from .data import load_sources, with_volumes
from .network import first_network
from .real_scans import choose_limit, measure
from .training import LAST, mean_of, train

SETS = "lgg"
_NOTE = "Trained to measure what the seed of the last stage changes. Not bundled."


def main(
    begin: Annotated[Path, typer.Option(help="Folder of the bundle whose weights the stage goes on from.")],
    data: Annotated[Path, typer.Option(help="Folder as the recipe takes it.")],
    out: Annotated[Path, typer.Option(help="Folder for weights, bundles and the table.")],
    seed: Annotated[list[int], typer.Option(help="Repeat for several.")] = [2, 3, 4],  # noqa: B006 - typer copies it
    head_scale: Annotated[
        float, typer.Option(help="Factor on the weights of the class evidence that the stage begins with.")
    ] = 1.0,
) -> None:
    """Train, read each scan and print the table; stages that an earlier run of the folder ended are kept."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    out.mkdir(parents=True, exist_ok=True)
    sources = load_sources(data, out)
    material = with_volumes(sources.material, volume_images(data))
    start = weights_of(begin, head_scale)
    trained: dict[str, HRCAM] = {}
    for one in seed:
        torch.manual_seed(one)
        trained[f"seed {one}"] = train(copy.deepcopy(start), LAST[-1], material, out, one)
    trained["mean"] = mean_of(list(trained.values()))
    examples, normals = draw_examples(sources.held_heads), normal_slices(data, held=True).pixels
    sets = [one for one in find_scan_sets(data) if one.name.startswith(SETS)]
    for name, hrcam in trained.items():
        bundle = choose_limit(write_bundle(out / name.replace(" ", "-") / NAME, hrcam, examples, normals, _NOTE), data)
        for scans in sets:
            measure(name, scans, dict.fromkeys((scan.patient for scan in scans.scans), bundle), out)
    typer.echo("\n".join(first_page(out)))


def weights_of(bundle: Path, head_scale: float) -> HRCAM:
    """The network in training with the weights of a bundle, those of the class evidence times `head_scale`.

    Raises ``RuntimeError`` (PyTorch's, with the names) for a bundle of another form.
    """
    hrcam = first_network(begun_from=None)
    hrcam.load_state_dict(load_bundle(bundle).build().state_dict())
    with torch.no_grad():
        hrcam.head.weight.mul_(head_scale)
    return hrcam


if __name__ == "__main__":
    typer.run(main)
