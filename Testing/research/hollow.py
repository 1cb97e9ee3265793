"""Where peaks lie that miss the outline: in the hollow of a ring that the outline leaves out, or elsewhere.

``python Testing/research/hollow.py --data ../shared/data`` prints, for each method and set of `hrcam evaluate`, the
share of peaks in the outline, in the outline with what it encloses, and in that once gaps of `GAP_PX` are closed.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from hrcam.bundle.bundle import load_bundle
from hrcam_research.evaluate.map_maker import MapMaker
from hrcam_research.evaluate.run import find_sets
from rich.progress import track
from scipy import ndimage

METHODS = ("hrcam/sum", "hrcam/guided", "hirescam/mean", "layercam/mean", "gradcam/mean", "gradcam/last")
GAP_PX = 8


def regions(mask):
    """The outline, with what it encloses, and with what it encloses once its gaps are closed."""
    # Padded, since closing at the border of an image would take away from the outline.
    padded = np.pad(mask, GAP_PX)
    closed = ndimage.binary_closing(padded, np.ones((GAP_PX + 1,) * mask.ndim))[(slice(GAP_PX, -GAP_PX),) * mask.ndim]
    return mask, ndimage.binary_fill_holes(mask), ndimage.binary_fill_holes(closed)


def peaks(maker, cases, class_names, names):
    """Per method, the share of peaks in each of `regions`."""
    found = {name: [] for name in names}
    for number, case in enumerate(track(cases)):
        pixels = case.read()
        label = torch.tensor([list(class_names).index(case.label)])
        inside = [region.ravel() for region in regions(pixels.masks["masks"])]
        for name, maps in maker.make(maker.stack([(number, pixels)]), label, names).items():
            found[name].append([region[int(maps[0].argmax())] for region in inside])
    return {name: np.mean(rows, 0) for name, rows in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="t1ce-tumor", help="name or folder of a bundle")
    parser.add_argument("--data", type=Path, required=True, help="folder as hrcam evaluate takes it")
    parser.add_argument("--methods", nargs="+", default=METHODS, help="as hrcam evaluate names them")
    parser.add_argument("--split", default="val", help="of a folder with a table of its own")
    arguments = parser.parse_args()
    bundle = load_bundle(arguments.model)
    maker = MapMaker(bundle.build().eval(), arguments.methods)
    for one in find_sets(bundle, arguments.data, arguments.split):
        print(f"\n{one.name}: {len(one.cases)} images\n")
        print(f"| method | peak in the outline | or enclosed by it | or by it closed over {GAP_PX} px |")
        print("|---|---|---|---|")
        for name, shares in peaks(maker, one.cases, bundle.class_names, arguments.methods).items():
            print(f"| {name} | " + " | ".join(f"{share:.3f}" for share in shares) + " |", flush=True)


if __name__ == "__main__":
    main()
