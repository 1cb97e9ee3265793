"""Shortcuts that are not offered, and what they would cost a map: ``python Testing/bench/shortcuts.py SCAN...``.

Of each scan the map in full is compared with that of: bf16; weights of eight bits a channel, which is the least that
int8 would change; the scan cut to its foreground with a margin; and two passes, all slices at half the size first and
in full only where evidence reaches a quarter of the weakest level. Prints JSON: largest difference in shares of the
map's peak, whether class and place of the peak stay, and what each saves, processor time or images.
"""

import argparse
import json
import sys
import time
from dataclasses import replace

import numpy as np
import torch
from hrcam import load_bundle
from hrcam.bundle.bundle import DEFAULT_MODEL
from hrcam.localize import Options, localize
from hrcam.run.memory import keep_memory
from hrcam.scan.geometry import Geometry
from hrcam.scan.intensity import otsu_threshold
from hrcam.scan.volume import read_volume
from torch import nn

MARGIN = 16
"""Voxels that are left around the foreground."""

QUARTER = 0.25
ENGINE = sys.modules[localize.__module__]


def run(volume, bundle, precision="fp32"):
    """The result and the processor seconds it took."""
    start = time.process_time()
    result = localize(volume, bundle, Options(device="cpu", engine="torch", precision=precision))
    return result, time.process_time() - start


def in_eight_bits(volume, bundle):
    """`run` with each output channel's weights rounded to 255 steps."""
    network = bundle.build()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                step = module.weight.abs().amax(tuple(range(1, module.weight.ndim)), keepdim=True) / 127
                module.weight.copy_((module.weight / step).round() * step)
    (key,) = (key for key in ENGINE._networks if key[1] == bundle.sha256)
    whole, ENGINE._networks[key] = ENGINE._networks[key], network
    try:
        return run(volume, bundle)
    finally:
        ENGINE._networks[key] = whole


def at_half_size(bundle):
    """The bundle reading images of half the size."""
    given = bundle.metadata["input"]
    half = {**given, "size": [side // 2 for side in given["size"]], "spacing_mm": 2 * given["spacing_mm"]}
    return replace(bundle, metadata={**bundle.metadata, "input": half})


def cropped(volume):
    """The scan within the box of its foreground and a margin, and that box."""
    box = []
    above = volume.array > otsu_threshold(volume.array)
    for axis in range(3):
        where = np.flatnonzero(above.mean(axis=tuple(n for n in range(3) if n != axis)) > 0.02)
        box.append(slice(max(0, where[0] - MARGIN), min(above.shape[axis], where[-1] + MARGIN + 1)))
    cut, geometry = np.ascontiguousarray(volume.array[tuple(box)]), volume.geometry
    corner = geometry.ijk_to_lps @ [*(part.start for part in reversed(box)), 1]
    placed = Geometry(cut.shape[::-1], tuple(corner[:3].tolist()), geometry.spacing, geometry.direction_lps)
    return replace(volume, array=cut, geometry=placed), tuple(box)


def compared(full, other, box=(slice(None),) * 3):
    """How a map differs from that in full, within a box of it."""
    wanted = full.map[box]
    return {"difference": float(np.abs(other.map - wanted).max() / np.abs(full.map).max()),
            "same class": other.predicted == full.predicted,
            "peak stays": bool(other.map.argmax() == wanted.argmax())}


def measure(scan, bundle):
    """One scan's record."""
    volume = read_volume(scan)
    run(volume, bundle)
    full, seconds = run(volume, bundle)
    record = {"scan": volume.name, "predicted": full.predicted}
    other, taken = run(volume, bundle, "bf16")
    record["bf16"] = compared(full, other) | {"time": taken / seconds}
    record["int8 weights"] = compared(full, in_eight_bits(volume, bundle)[0])
    part, box = cropped(volume)
    record["cropped"] = compared(full, run(part, bundle)[0], box) | {"pixels": part.array.size / volume.array.size}
    coarse = run(volume, at_half_size(bundle))[0]
    weakest = full.evidence_levels[0].threshold
    skipped = np.array([bool(one.probabilities) and one.peak < QUARTER * weakest for one in coarse.slices])
    marked = np.array([one.peak >= weakest for one in full.slices])
    record["two passes"] = {
        "slices spared": float(skipped.mean()), "marked slices missed": int((skipped & marked).sum()),
        "of": int(marked.sum()), "same class": coarse.predicted == full.predicted}
    return record


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", nargs="+", metavar="SCAN")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    bundle = load_bundle(asked.model)
    print(json.dumps({"model": f"{bundle.name} {bundle.version}"}))
    for scan in asked.scans:
        print(json.dumps(measure(scan, bundle)), flush=True)


if __name__ == "__main__":
    main()
