"""What `t1ce_volumes` gets from weights that did not see the patient: the recipe in short, patient by patient.

``python -m hrcam_research.brain_lesion.left_out --data DATA --out FOLDER`` trains without any of these scans first,
beginning with the encoder of `simulated-lesion`, which saw generated heads alone. From there a last stage learns for
each patient from the scans of the others, is calibrated as `brain-lesion` is, and reads that patient's scans. The
table has each scan as read by weights that saw no patient, and by those that then saw the others, or all, as long.

One thing is not left out: where tumors of `t1ce_slices` lie, `t1ce-tumor` says, which learnt from slices of these
patients too. The agreement of planes is not chosen: scans of thick slices are read in one.
"""

from __future__ import annotations

import copy
import logging
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from hrcam.cam.model import HRCAM

from hrcam_research.evaluate.scan_report import first_page
from hrcam_research.evaluate.scans import find_scan_sets
from hrcam_research.t1ce_tumor.data import Images, normal_slices, volume_images

from .bundle import NAME, write_bundle
from .calibration import draw_examples
from .data import load_sources, with_volumes
from .examples import Material
from .network import first_network
from .real_scans import choose_limit, measure
from .training import LAST, train

VOLUMES = "t1ce_volumes"
_UNEVEN = LAST[-1]
STAGES = (
    replace(_UNEVEN, name="apart", steps=1500, rate=1e-3, fall=0.01, warm_up=100),
    replace(_UNEVEN, name="apart-rest", steps=900, rate=7e-4, fall=0.8),
)
"""As the recipe's last one, which reads slices as the bundle does: at an even pace, then coming to rest. No scan of
`t1ce_volumes` is among them."""

OTHERS = replace(_UNEVEN, steps=400)
"""With the scans of the other patients."""

ALL = "all"


def main(
    data: Annotated[Path, typer.Option(help="Folder as the recipe takes it.")],
    out: Annotated[Path, typer.Option(help="Folder for weights, bundles and the table.")],
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Train, read each scan and print the table; stages that an earlier run of the folder ended are kept."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    sources, volumes = load_sources(data, out), volume_images(data)
    none = first_network(seed, "simulated-lesion", encoder_alone=True)
    for stage in STAGES:
        none = train(none, stage, sources.material, out, seed)
    trained = {"none": none} | train_each(none, sources.material, volumes, out, seed)
    examples, normals = draw_examples(sources.held_heads), normal_slices(data, held=True).pixels
    note = f"Trained to measure what patients of `{VOLUMES}` get from weights that did not see them. Not bundled."
    bundles = {
        name: choose_limit(write_bundle(out / name / NAME, hrcam, examples, normals, note), data)
        for name, hrcam in trained.items()
    }
    patients = sorted(set(volumes.patients))
    scans = next(one for one in find_scan_sets(data) if one.name == VOLUMES)
    measure("saw none", scans, dict.fromkeys(patients, bundles["none"]), out)
    measure("saw the others", scans, bundles, out)
    measure("saw all", scans, dict.fromkeys(patients, bundles[ALL]), out)
    typer.echo("\n".join(first_page(out)))


def train_each(none: HRCAM, material: Material, volumes: Images, out: Path, seed: int) -> dict[str, HRCAM]:
    """Weights for each patient of `t1ce_volumes` that saw the scans of the others, and those that saw `ALL`."""
    patients = sorted(set(volumes.patients))
    seen = {name: volumes.without(name) for name in patients} | {ALL: volumes}
    return {
        name: train(
            copy.deepcopy(none), replace(OTHERS, name=f"seen-by-{name}"), with_volumes(material, some), out, seed
        )
        for name, some in seen.items()
    }


if __name__ == "__main__":
    typer.run(main)
