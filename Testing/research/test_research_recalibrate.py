"""Testing/research/recalibrate.py: what calibration measures is measured anew, all else of the bundle kept."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hrcam.bundle.bundle import load_bundle

pytest.importorskip("lightning")

from head_data import write_t1_head

SCRIPT = Path(__file__).parents[1] / "research" / "recalibrate.py"
PAIRS = 4


@pytest.fixture
def bundle(tmp_path):
    """A copy of a bundled model, whose levels are of no use."""
    folder = tmp_path / "bundle"
    shutil.copytree(load_bundle("simulated-lesion").path, folder)
    metadata = json.loads((folder / "metadata.json").read_text())
    for number, level in enumerate(metadata["evidence_levels"]):
        level["threshold"] = 1e5 + number
    (folder / "metadata.json").write_text(json.dumps(metadata))
    return load_bundle(folder)


def test_levels_version_and_card_change_and_nothing_else(bundle, tmp_path):
    for number, name in enumerate("abc"):
        write_t1_head(tmp_path / "data" / "head_labels" / f"{name}.nii.gz", number)
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), str(bundle.path), "--version", "9.8.7", "--data", str(tmp_path / "data"),
         "--pairs", str(PAIRS)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    after = load_bundle(bundle.path)
    assert after.version == "9.8.7"
    thresholds = [level["threshold"] for level in after.metadata["evidence_levels"]]
    assert thresholds == sorted(thresholds) and thresholds[0] > 0 and thresholds[-1] < 1e5
    changed = {key for key in after.metadata if after.metadata[key] != bundle.metadata[key]}
    assert changed <= {"version", "evidence_levels", "metrics", "volume_rule", "withholding"}
    assert after.volume_rule["bias"] != [0, 0] and after.withholding["above"] == 0.5
    same = ("name", "color", "of_peak")
    for before, level in zip(bundle.metadata["evidence_levels"], after.metadata["evidence_levels"], strict=True):
        assert [before[key] for key in same] == [level[key] for key in same]
    card = (after.path / "MODEL_CARD.md").read_text()
    for level in after.metadata["evidence_levels"]:
        row = next(line for line in card.splitlines() if line.startswith(f"| {level['name']} |"))
        threshold, shown = (float(cell.strip(" %")) for cell in row.split("|")[2:4])
        assert threshold == pytest.approx(level["threshold"], rel=0.01)
        assert shown in [pytest.approx(100 * count / PAIRS, abs=0.1) for count in range(PAIRS + 1)]
