"""Testing/research/lesions.py: weights for simulated lesions compared on heads that no training saw."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torchcam")
pytest.importorskip("lightning")

from head_data import write_t1_head

SCRIPT = Path(__file__).parents[1] / "research" / "lesions.py"


@pytest.fixture
def data(tmp_path):
    """Two heads to draw from, and one of each source to look at."""
    for number, name in enumerate(("head_labels/a", "head_labels/b", "templates/mean", "healthy_t1/c_SS")):
        write_t1_head(tmp_path / f"{name}.nii.gz", number)
    return tmp_path


def run(*arguments):
    return subprocess.run([sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True)


def test_each_set_has_a_row_of_its_own_and_rows_by_third(data):
    ran = run("simulated-lesion", "--data", data, "--pairs", 3, "--real")
    assert ran.returncode == 0, ran.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in ran.stdout.splitlines() if line[:1] == "|"]
    whole = [row for row in rows if row[0] == "simulated-lesion"]
    assert len(whole) == 3 and all(row[-1] == "3" for row in whole)
    assert all(0 <= float(cell) <= 1 for row in whole for cell in row[1:-1])
    thirds = [row for row in rows if "third of pixels" in row[0]]
    assert len(thirds) == 9
    # The whole's mean is the mean of its thirds, which are of one pair each.
    for start, row in zip((0, 3, 6), whole, strict=True):
        parts = [float(third[1]) for third in thirds[start : start + 3]]
        assert float(row[1]) == pytest.approx(np.mean(parts), abs=2e-3)


def test_bundles_of_other_recipes_are_refused(data):
    ran = run("simulated-lesion", "t1ce-tumor", "--data", data)
    assert ran.returncode == 2 and "one recipe" in ran.stderr
