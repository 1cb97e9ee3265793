"""Testing/research/recalibrate.py: what calibration measures is measured anew, all else of the bundle kept."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hrcam.bundle.bundle import load_bundle
from PIL import Image

pytest.importorskip("lightning")

from head_data import write_t1_head
from hrcam_research.simulate.head import phantom_head

SCRIPT = Path(__file__).parents[1] / "research" / "recalibrate.py"
PAIRS = 4


@pytest.fixture
def bundle(tmp_path, request):
    """A copy of a bundled model, whose levels are of no use."""
    folder = tmp_path / "bundle"
    shutil.copytree(load_bundle(getattr(request, "param", "simulated-lesion")).path, folder)
    metadata = json.loads((folder / "metadata.json").read_text())
    for number, level in enumerate(metadata["evidence_levels"]):
        level["threshold"] = 1e5 + number
    if "agreement" in metadata:
        metadata["agreement"]["limit"] = 1e5
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


@pytest.mark.parametrize("bundle", ["brain-lesion"], indirect=True)
def test_levels_alone_are_measured_for_another_fusion(bundle, tmp_path):
    head = phantom_head(np.random.default_rng(0), 224)
    center, extent = (np.divide(mm, head.spacing_mm) for mm in (head.center_mm, head.extent_mm))
    np.savez(tmp_path / "heads.npz", tissues=[head.values] * 2, center=[center] * 2, extent=[extent] * 2)
    images = tmp_path / "data" / "no_tumor" / "images"
    images.mkdir(parents=True)
    names = [f"{n}.png" for n in range(12)]  # a fifth of any is held out
    gray = np.pad(np.random.default_rng(0).integers(80, 250, (90, 70)), 20).astype(np.uint8)
    for name in names:
        Image.fromarray(gray).save(images / name)
    rows = "".join(f"images/{name},\n" for name in names)
    (images.parent / "slices.csv").write_text("image,split\n" + rows)
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), str(bundle.path), "--version", "9.8.7", "--data", str(tmp_path / "data"),
         "--pairs", str(PAIRS), "--levels", str(tmp_path / "heads.npz"), "--fusion", "sum"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    after = load_bundle(bundle.path)
    assert after.fusion == "sum" != bundle.fusion and after.evidence_levels[-1].threshold < 1e5
    changed = {key for key in after.metadata if after.metadata[key] != bundle.metadata[key]}
    assert changed == {"version", "fusion", "evidence_levels", "metrics"}
