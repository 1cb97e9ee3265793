"""Time and peak memory of ``hrcam compare``: ``python Testing/bench/compare.py [--model brain-lesion] [--threads 2]``.

Two pairs of a generated head with lesions that change: 256 × 256 × 25 voxels of 0.94 × 0.94 × 9.4 mm, and 192 voxels of
1 mm an axis. The command runs in a process of its own on so many cores, as a user types it, reading and writing
included. Prints seconds by the clock, seconds of processor time (which other programs hardly change) and peak resident
memory as JSON.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PAIRS = {
    "256 x 256 x 25": {"seed": 1, "size": 256, "spacing_mm": 0.94, "slice_mm": 9.4},
    "192 x 192 x 192": {"seed": 2, "size": 192, "spacing_mm": 1.0},  # with 1 nothing is found, nor localized again
}


def write_pair(folder, seed, **size):
    """Write ``earlier.nii.gz`` and ``later.nii.gz``."""
    import SimpleITK
    from hrcam.scan.volume import to_sitk
    from hrcam_research.simulate.follow_up import simulate_follow_up
    from hrcam_research.simulate.head import phantom_head

    pair = simulate_follow_up(phantom_head(np.random.default_rng(0)), seed, **size)
    for scan in (pair.earlier, pair.later):
        SimpleITK.WriteImage(to_sitk(scan.array, scan.geometry), str(folder / f"{scan.name}.nii.gz"))


def timed(folder, model, threads):
    """Run the command in a folder with a pair; what it took."""
    command = [sys.executable, "-m", "hrcam", "compare", "earlier.nii.gz", "later.nii.gz", "--model", model,
               "--device", "cpu", "--out", "out", "--quiet"]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": str(threads)}
    subprocess.run(command, cwd=folder, check=True, env=environment)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    document = json.loads((folder / "out" / "later_comparison.json").read_text(encoding="utf-8"))
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": round(wall, 1), "processor_seconds": round(spent, 1),
            "peak_gib": round(after.ru_maxrss / 1024**2, 2), "calls": document["calls"],
            "stages": {name: round(value, 1) for name, value in document["timings"].items()}}


def main():
    """Measure both pairs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="brain-lesion")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    for name, size in PAIRS.items():
        with tempfile.TemporaryDirectory() as folder:
            write_pair(Path(folder), **size)
            print(json.dumps({"scans": name, **timed(Path(folder), given.model, given.threads)}), flush=True)


if __name__ == "__main__":
    main()
