"""The two good endings of any input, whatever it holds: a whole scan, or one clear refusal."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from hrcam.errors import InputError
from hrcam.scan.checks import check_volume
from hrcam.scan.volume import Volume, read_volume

SLOWEST_SECONDS = 10


def read_or_refuse(path: Path | str) -> Volume | InputError:
    """Read a scan, or be refused in words; anything else, and taking long for it, fails the test."""
    began = time.process_time()
    outcome: Volume | InputError
    try:
        outcome = read_volume(path)
        check_volume(outcome)
        assert np.isfinite(outcome.array).all() and outcome.array.shape == outcome.geometry.shape_kji
    except InputError as error:
        outcome = error
        assert error.message.endswith(".") and error.hint.endswith(".")
        assert str(error).isprintable() and len(str(error)) < 1000
    assert time.process_time() - began < SLOWEST_SECONDS
    return outcome
