"""Whether a head is whole or a brain without its skull, and what a reader is told of it."""

from types import SimpleNamespace

import numpy as np
import pytest
from hrcam.scan.checks import assess_fit
from hrcam.scan.skull import is_stripped
from hrcam.scan.volume import volume_from_array


def scan(scalp, size=96, slices=12):
    """Brain with a darker rim; around it, on request, skull and a bright scalp."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[-1.3:1.3:size * 1j, -1.3:1.3:size * 1j]
    radius = np.hypot(rows, columns)
    image = np.where(radius < 0.75, 300.0, np.where(radius < 0.85, 160.0, 0.0))
    if scalp:
        image += np.where((radius > 0.9) & (radius < 1.1), 450.0, 0.0)
    array = image + (image > 0) * rng.normal(0, 8, (slices, size, size))
    return volume_from_array(array.astype(np.float32), np.diag([-2.3, -2.3, 6.0, 1]), "scan")


@pytest.mark.parametrize("scalp", [False, True])
def test_a_brain_alone_is_told_from_a_whole_head(scalp):
    assert is_stripped(scan(scalp)) is not scalp


def test_a_brain_without_skull_is_named_instead_of_being_mistrusted():
    inputs = {"planes": ["axial"], "size": [96, 96], "spacing_mm": 2.3}
    ranges = {"foreground_mean": [0.99, 1.0]}
    bundle = SimpleNamespace(metadata={"modality": "MR", "input": inputs, "input_statistics": ranges})
    stripped, whole = (" ".join(assess_fit(scan(scalp), bundle).warnings) for scalp in (False, True))
    assert "without its skull" in stripped and "Mistrust" not in stripped
    assert "without its skull" not in whole and "Mistrust" in whole
