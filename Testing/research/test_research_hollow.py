"""Testing/research/hollow.py: peaks in the hollow of a lesion's outline."""

import csv
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torchcam")
pytest.importorskip("captum")

SCRIPT = Path(__file__).parents[1] / "research" / "hollow.py"


def ring(center=(40, 40), gap=0):
    rows, columns = np.mgrid[:96, :96]
    distance = np.hypot(rows - center[0], columns - center[1])
    mask = (distance > 10) & (distance < 16)
    mask[center[0] - gap // 2 : center[0] + gap - gap // 2, center[1] :] = False
    return mask


@pytest.mark.parametrize("center", [(40, 40), (16, 16)])  # one at the image's border
def test_a_ring_encloses_its_hollow_even_through_a_gap(center):
    regions = runpy.run_path(str(SCRIPT))["regions"]
    outline, filled, closed = regions(ring(center))
    assert not outline[center] and filled[center] and closed[center]
    outline, filled, closed = regions(ring(center, gap=6))
    assert not filled[center] and closed[center]
    assert (outline <= filled).all() and (outline <= closed).all()


def test_shares_are_printed_for_each_method(tmp_path):
    rng = np.random.default_rng(0)
    with (tmp_path / "slices.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ("image", "mask", "label", "plane", "patient", "site", "split"))
        writer.writeheader()
        for number in range(2):
            mask = ring((40, 40 + 8 * number))
            image = (rng.integers(60, 90, mask.shape) + 150 * mask).astype(np.uint8)
            for kind, pixels in (("image", image), ("mask", mask)):
                Image.fromarray(pixels).save(tmp_path / f"{kind}{number}.png")
            writer.writerow({"image": f"image{number}.png", "mask": f"mask{number}.png", "label": "glioma",
                             "plane": "ax", "patient": f"p{number}", "site": "", "split": "val"})  # fmt: skip
    asked = [sys.executable, str(SCRIPT), "--data", str(tmp_path), "--methods", "hrcam/sum", "gradcam/last"]
    ran = subprocess.run(asked, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in ran.stdout.splitlines() if "/" in line[:12]]
    assert [row[0] for row in rows] == ["hrcam/sum", "gradcam/last"]
    for _, *shares in rows:
        outline, filled, closed = map(float, shares)
        assert 0 <= outline <= filled <= closed <= 1
