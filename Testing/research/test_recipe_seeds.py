"""What weights that are not bundled show: of several seeds of the last stage, and read patient by patient."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hrcam.bundle.bundle import load_bundle
from hrcam_research.brain_lesion import real_scans, seeds
from hrcam_research.evaluate.results_file import read_json
from hrcam_research.evaluate.scan_report import FORMAT, FORMAT_VERSION
from hrcam_research.evaluate.scans import Scan, ScanSet


def test_weights_of_a_bundle_go_on_with_their_class_evidence_scaled():
    bundled = load_bundle("brain-lesion").build()
    begun = seeds.weights_of(load_bundle("brain-lesion").path, 0.5)
    assert torch.equal(begun.head.weight, bundled.head.weight * 0.5)
    assert torch.equal(begun.head.bias, bundled.head.bias)
    assert all(torch.equal(value, begun.cnn.state_dict()[name]) for name, value in bundled.cnn.state_dict().items())
    with pytest.raises(RuntimeError, match=r"size mismatch|Missing key"):
        seeds.weights_of(load_bundle("simulated-lesion").path, 1.0)


def test_each_seed_goes_on_from_the_same_weights_and_their_mean_is_measured_too(monkeypatch, tmp_path):
    begun, measured = [], {}

    def one_step(hrcam, stage, material, out, seed):
        begun.append(hrcam.head.weight.clone())
        with torch.no_grad():
            hrcam.head.weight += seed
        return hrcam

    fake = SimpleNamespace(material=None, held_heads=(), pixels=None)
    for name in ("load_sources", "volume_images", "with_volumes", "draw_examples", "normal_slices"):
        monkeypatch.setattr(seeds, name, lambda *_, **__: fake)
    monkeypatch.setattr(seeds, "train", one_step)
    monkeypatch.setattr(seeds, "write_bundle", lambda folder, hrcam, *_: hrcam)
    monkeypatch.setattr(seeds, "choose_limit", lambda bundle, data: bundle)
    sets = [ScanSet("lgg FLAIR", (Scan(tmp_path, "a"), Scan(tmp_path, "b"))), ScanSet("ms", ())]
    monkeypatch.setattr(seeds, "find_scan_sets", lambda data: sets)
    monkeypatch.setattr(seeds, "measure", lambda label, scans, by, out: measured.update({(label, scans.name): by}))
    seeds.main(load_bundle("brain-lesion").path, tmp_path, tmp_path / "out", [1, 3], 1.0)
    assert torch.equal(begun[0], begun[1]), "none goes on from another's"
    assert list(measured) == [("seed 1", "lgg FLAIR"), ("seed 3", "lgg FLAIR"), ("mean", "lgg FLAIR")]
    read = {label: readers["b"].head.weight - begun[0] for (label, _), readers in measured.items()}
    assert [round(float(change.detach().mean()), 3) for change in read.values()] == [1, 3, 2]


def test_scans_are_measured_by_the_bundle_of_their_patient(monkeypatch, tmp_path):
    monkeypatch.setattr(real_scans, "evaluate_scan", lambda scan, by: {"scan": scan.path.name, "by": by.version})
    scans = ScanSet("lgg FLAIR", (Scan(Path("1.nii"), "a"), Scan(Path("2.nii"), "b")))
    bundles = {"a": SimpleNamespace(name="m", version="1"), "b": SimpleNamespace(name="m", version="2")}
    real_scans.measure("seed 2", scans, bundles, tmp_path)
    document = read_json(tmp_path / "results" / "scans" / "m-seed-2--lgg-FLAIR.json", FORMAT, FORMAT_VERSION)
    assert document["model"]["version"] == "seed 2"
    assert document["rows"] == [{"scan": "1.nii", "by": "1"}, {"scan": "2.nii", "by": "2"}]
