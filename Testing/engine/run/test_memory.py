"""Blocks that are freed stay with a process that asked for it, and come back without the system."""

import subprocess
import sys

import pytest

COUNT = """
import resource, sys
import numpy as np
from hrcam.run.memory import keep_memory
if sys.argv[1] == "keep":
    keep_memory()
def use():
    for _ in range(20):
        np.ones(3_000_000)  # 24 MB, as a feature map
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how):
    done = subprocess.run([sys.executable, "-c", COUNT, how], capture_output=True, text=True, timeout=60, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc alone has the setting")
def test_freed_blocks_are_used_again_without_asking_the_system():
    assert faults("keep") < 100
