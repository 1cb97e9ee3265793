"""Scans and subprocesses for the tests of batches."""

import os
import subprocess
import sys
import time
from pathlib import Path

import SimpleITK
from hrcam.scan.volume import to_sitk

FILES_ONLY = ("map", "labels")
"""Outputs without pictures, which take most of a small case's time."""

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def write_scans(folder, blob_volume, count, size=(48, 52, 6), lesions=True):
    """Write ``count`` thick-sliced scans ``scan0.nii.gz`` …; the odd ones have a lesion, each in another place."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        lesion = (6.0, -5.0 + number, 4.0) if lesions and number % 2 else None
        volume = blob_volume(size, (1.0, 1.0, 6.0), lesion_ras=lesion, radius_mm=5.0)
        image = to_sitk(volume.array + number, volume.geometry)
        SimpleITK.WriteImage(image, str(folder / f"scan{number}.nii.gz"))
    return folder


def start(*arguments, **options):
    """Start ``python -m ARGUMENTS``."""
    return subprocess.Popen([sys.executable, "-m", *map(str, arguments)], env=ENVIRONMENT, **options)


def wait_until(condition, seconds=250):
    """Wait for a condition; fail after some time."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return found


def unfinished(out: Path):
    """What a process left behind half-written."""
    return [one.name for one in out.iterdir() if one.name.startswith(".") and one.name != ".hrcam-batch"]
