"""A large volume's memory is bounded: Testing/bench/large.py at a sixteenth of a CT's size."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "bench" / "large.py"
SIZE = (192, 192, 256)
OVERHEAD_GIB = 0.06
"""Of a network's passes and of the libraries, whatever the volume's size."""


def test_memory_of_a_large_volume_is_a_few_times_its_own() -> None:
    pytest.importorskip("resource", reason="peak memory is the operating system's")
    report = json.loads(subprocess.run(
        [sys.executable, str(SCRIPT), "--size", *map(str, SIZE)], check=True, capture_output=True, text=True).stdout)
    assert report["slices_computed"] == SIZE[2] and 0.001 < report["labeled_share"] < 0.1 and report["regions"] > 0
    volume = 4 * SIZE[0] * SIZE[1] * SIZE[2] / 2**30
    # 3 GiB for a CT of 512 x 512 x 600 are 4.4 times its float32 voxels and 0.4 GiB of libraries.
    assert report["peak_gib"] - report["peak_gib_after"]["imports"] < 4.4 * volume + OVERHEAD_GIB
