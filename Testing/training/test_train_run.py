"""Whole trainings on tiny generated scans: the model comes out, finds the blob, and an interrupted run goes on."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hrcam.bundle.bundle import list_bundles, load_bundle
from hrcam.cli.app import main
from hrcam.errors import InputError, OutputError
from hrcam.localize import localize
from hrcam.scan.volume import read_volume
from hrcam_train.calibrate import calibrate
from hrcam_train.config import parse_config
from hrcam_train.predict import Prediction
from hrcam_train.prepare_cases import PreparedCase
from hrcam_train.report import Probabilities, join, summarize
from hrcam_train.run import run_training
from safetensors.torch import load_file, save_file
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from train_data import disc, make_folder, settings, with_blob, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("data"), slices=4)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A new scan with a blob, its mask, and one without."""
    rng = np.random.default_rng(77)
    place = tmp_path_factory.mktemp("scans")
    image, mask = with_blob(rng, disc(rng, slices=4)[0])
    normal = write(place / "normal.nii.gz", disc(rng, slices=4)[0])
    return read_volume(write(place / "blob.nii.gz", image)), mask, read_volume(normal)


@pytest.fixture(scope="module")
def joint(folder, tmp_path_factory):
    """A run in mode joint: (folder, bundle)."""
    out = tmp_path_factory.mktemp("joint") / "run"
    config = parse_config(settings(mode="joint", data__path=str(folder), train__epochs=12))
    return out, run_training(config, out, say=lambda _: None)


def environment():
    """For a process of its own that finds the package."""
    source = str(Path(__file__).parents[2] / "HRCAMExtension")
    path = os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def logged(out):
    """(epoch, step) of every validation that was logged."""
    rows = []
    for file in sorted(out.glob("final/csv/version_*/metrics.csv")):
        with file.open(newline="") as stream:
            rows += [(int(r["epoch"]), int(r["step"])) for r in csv.DictReader(stream) if r["validation_loss"]]
    return rows


def test_the_bundle_finds_the_blob_and_next_to_nothing_in_a_normal_scan(joint, scan):
    blob, mask, normal = scan
    _, bundle = joint
    result = localize(blob, bundle)
    assert result.predicted == "blob"
    assert mask[np.unravel_index(result.map.argmax(), result.map.shape)]
    strong, marked = result.labels == len(bundle.evidence_levels), result.labels > 0
    assert strong.any() and mask[strong].all(), "the core of the blob"
    assert 2 * (marked & mask).sum() / (marked.sum() + mask.sum()) > 0.5
    assert result.map[mask].min() > np.quantile(result.map[~mask], 0.8)
    healthy = localize(normal, bundle)
    assert healthy.predicted == "none" and healthy.labels.max() <= 1  # a few voxels may be "possible", see LEVEL_RULES
    assert (healthy.labels > 0).mean() < 0.005
    assert not result.warnings


def test_report_curves_and_card_are_written(joint):
    out, bundle = joint
    report = json.loads((out / "report.json").read_text())
    assert report["data"]["training"]["blob"] == {"scans": 6, "images": 24, "patients": 6}
    assert report["data"]["validation"]["none"]["patients"] == 2
    assert report["validation"]["patients"]["balanced_accuracy"]["value"] > 0.9
    text = (out / "report.md").read_text()
    assert "Confusion" not in text and "| none | 0 | 2 |" in text and "Validation patients" in text
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert list(out.glob("final/tensorboard/**/events.*")) and logged(out)[-1] == (11, 72 - 1)
    assert bundle.card.startswith("# Blob") and bundle.metrics["validation"] == report["validation"]
    assert set(bundle.input_statistics) and bundle.volume_rule["kind"] == "top_mean"


def test_two_stages_and_the_head_alone_fit_a_cnn_of_ones_own(folder, scan, tmp_path, monkeypatch):
    two = parse_config(
        settings(
            data__path=str(folder), train__epochs=8,
            network={"name": "train_networks:build", "arguments": {"width": 8}},
            head__inverse_penalties=[0.1, 1.0],
        )
    )  # fmt: skip
    trained = run_training(two, tmp_path / "two", say=lambda _: None)
    assert trained.metadata["architecture"] == {
        "name": "import:train_networks:build", "arguments": {"num_classes": 2, "width": 8},
    }  # fmt: skip
    weights = tmp_path / "cnn.safetensors"
    # Stage one's own weights: the bundle's are rounded to 16 bits, and a head fitted to those is another.
    tensors = load_file(tmp_path / "two" / "final" / "stage-one.safetensors")
    save_file({k.removeprefix("cnn."): v for k, v in tensors.items() if k.startswith("cnn.")}, weights)
    head = two.model_copy(
        update={"mode": "head_only", "network": two.network.model_copy(update={"weights": str(weights)})}
    )
    alone = run_training(head, tmp_path / "head", say=lambda _: None)
    assert not (tmp_path / "head" / "final").exists() and not (tmp_path / "head" / "curves.png").exists()
    for bundle in (trained, alone):
        assert localize(scan[0], bundle).predicted == "blob" and localize(scan[2], bundle).predicted == "none"
    maps = [localize(scan[0], bundle).map for bundle in (alone, trained)]
    np.testing.assert_allclose(*maps, rtol=0, atol=1e-4 * np.abs(maps[0]).max())

    # Found by its name everywhere, once the user has allowed its module.
    monkeypatch.setenv("HRCAM_MODELS", str(tmp_path / "two"))
    assert "blob" not in [bundle.name for bundle in list_bundles(lambda *_: None)]
    monkeypatch.setenv("HRCAM_ALLOW_IMPORT", "other, train_networks")
    assert "blob" in [bundle.name for bundle in list_bundles()]
    assert load_bundle("blob").build().num_classes == 2


def test_folds_answer_for_every_patient_once(tmp_path):
    data = make_folder(tmp_path / "data", patients=6, slices=2)
    config = parse_config(
        settings(mode="joint", data__path=str(data), folds=2, train__epochs=2, data__validation_fraction=0.33)
    )
    run_training(config, tmp_path / "run", say=lambda _: None)
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["cross_validation"]["images"]["count"] == 24
    assert report["cross_validation"]["patients"]["patients"] == 12
    assert "Cross-validation" in (tmp_path / "run" / "report.md").read_text()
    again = []
    (tmp_path / "run" / "report.json").unlink()
    run_training(config, tmp_path / "run", resume=True, say=again.append)
    assert json.loads((tmp_path / "run" / "report.json").read_text()) == report
    with np.load(tmp_path / "run" / "fold-1" / "probabilities.npz") as first:
        assert len(first["cases_patients"]) == 6


def test_3d_volumes_are_seen_whole(tmp_path):
    data = make_folder(tmp_path / "data", patients=4, size=16, slices=16, spacing=(2.0, 2.0, 2.0))
    config = parse_config(
        settings(
            mode="joint", dimension=3, input__size=[16, 16, 16], data__path=str(data), train__epochs=15,
            train__batch_size=3, train__learning_rate=0.02,
            network={"name": "vgg_small", "arguments": {"width": 4, "stages": 2, "depth": 1}},
        )
    )  # fmt: skip
    bundle = run_training(config, tmp_path / "run", say=lambda _: None)
    assert bundle.dimension == 3 and not bundle.volume_rule
    rng = np.random.default_rng(5)
    image, mask = with_blob(rng, disc(rng, 16, 16)[0])
    result = localize(write(tmp_path / "new.nii.gz", image, (2.0, 2.0, 2.0)), bundle)
    assert result.map.shape == (16, 16, 16) and result.predicted == "blob"
    assert result.map[mask].mean() > result.map[~mask].mean()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_run_goes_on_to_the_same_steps(folder, tmp_path):
    config = tmp_path / "blob.yaml"
    raw = settings(mode="joint", train__epochs=12)
    config.write_text(yaml.safe_dump(raw))
    out = tmp_path / "run"
    arguments = ["train", "--config", str(config), "--data", str(folder), "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "hrcam", *arguments], env=environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    checkpoint = out / "final" / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 400
    while not checkpoint.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "blob").exists()
    with pytest.raises(OutputError, match="--resume"):
        run_training(parse_config(raw | {"data": raw["data"] | {"path": str(folder)}}), out)
    assert main([*arguments, "--resume"]) == 0
    assert load_bundle(out / "blob").name == "blob"
    steps = dict(logged(out))
    assert steps[11] == 12 * 6 - 1  # 48 slices in batches of 8, as without the interruption


def test_an_epoch_that_does_not_improve_is_kept_too(folder, tmp_path, monkeypatch):
    """A killed run goes on from the last epoch, and still knows the best one."""

    def worse(classifier, batch, _):
        classifier.log("validation_loss", float(classifier.current_epoch), batch_size=len(batch[0]))

    monkeypatch.setattr("hrcam_train.module.Classifier.validation_step", worse)
    run_training(parse_config(settings(mode="joint", data__path=str(folder), train__epochs=3)), tmp_path / "run")
    checkpoints = tmp_path / "run" / "final" / "checkpoints"
    assert sorted(path.name for path in checkpoints.iterdir()) == ["best.ckpt", "last.ckpt"]
    best, last = (torch.load(checkpoints / name, weights_only=True) for name in ("best.ckpt", "last.ckpt"))
    assert (best["epoch"], last["epoch"]) == (0, 2)
    states = [state for state in last["callbacks"].values() if "best_model_score" in state]
    assert 0.0 in [float(state["best_model_score"]) for state in states if state["best_model_score"] is not None]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_train_one_model(folder, tmp_path):
    config = tmp_path / "blob.yaml"
    config.write_text(yaml.safe_dump(settings(mode="joint", train__epochs=2)))
    out = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-m", "hrcam", "train", "--config", config, "--data", folder, "--out", out, "--devices", "2",
         "--strategy", "ddp"],
        env=environment(), capture_output=True, text=True, check=True, timeout=800,
    )  # fmt: skip
    assert "Calibrating" in done.stdout
    assert "LeafSpec" not in done.stderr  # what Lightning tells its own developers
    assert load_bundle(out / "blob").build().num_classes == 2
    assert logged(out) == [(0, 2), (1, 5)]  # 6 batches an epoch, 3 for each process


def test_a_run_is_not_mixed_with_another(joint, folder, tmp_path):
    out, _ = joint
    other = parse_config(settings(mode="joint", data__path=str(folder), train__epochs=12, seed=5))
    with pytest.raises(OutputError, match="other settings of seed"):
        run_training(other, out, resume=True)
    (tmp_path / "something").touch()
    with pytest.raises(OutputError, match="not empty"):
        run_training(other, tmp_path)
    with pytest.raises(InputError, match="No data are named"):
        run_training(parse_config(settings()), tmp_path / "new", say=lambda _: None)


def test_a_run_that_failed_before_it_prepared_anything_may_be_corrected(tmp_path):
    def run():
        run_training(parse_config(settings(data__path=str(tmp_path / "nowhere"))), tmp_path / "new", say=lambda _: None)

    for _ in range(2):
        with pytest.raises(InputError, match="nowhere"):
            run()
    held = tmp_path / "new" / "config.json"
    held.write_text('{"mine": 1}')
    with pytest.raises(OutputError, match="holds a run already"):
        run()
    assert held.read_text() == '{"mine": 1}'


def test_metrics_equal_scikit_learns():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    scores = rng.random((60, 3)).round(1) + 0.4 * np.eye(3)[labels]
    patients = np.array([f"p{n // 4}" for n in range(60)])
    rows = Probabilities(scores / scores.sum(1, keepdims=True), labels, patients)
    found = summarize(rows, rows, ["a", "b", "c"])["images"]
    assert found["auc"]["value"] == pytest.approx(
        roc_auc_score(labels, rows.probabilities, multi_class="ovr", average="macro")
    )
    assert found["balanced_accuracy"]["value"] == pytest.approx(
        balanced_accuracy_score(labels, rows.probabilities.argmax(1))
    )
    assert found["auc"]["low"] < found["auc"]["value"] < found["auc"]["high"]
    missing = summarize(join([Probabilities(rows.probabilities[labels < 2], labels[labels < 2], patients[labels < 2])]),
                        rows, ["a", "b", "c"])  # fmt: skip
    assert missing["images"]["auc"]["value"] is None


class _Constant:
    """A stand-in network whose map is the image itself times ten."""

    cnn = torch.nn.Identity()

    def evidence(self, images, classes):
        from hrcam.cam.model import Evidence

        return Evidence(images.new_zeros(len(images), 2), 10 * images)


def test_evidence_levels_come_from_scans_without_the_class():
    def case(label, peak):
        images = np.full((1, 16, 16), 0.2, np.float16)
        images[0, 0, 0] = peak
        return PreparedCase("c", f"p{label}{peak}", label, images, np.array([label]))

    cases = [case(0, 1.4), case(1, 0.5), case(1, 0.75)]
    said = [Prediction("c", c.patient, c.label, c.labels, np.array([[2.0 - 4 * c.label, 0.0]])) for c in cases]
    found = calibrate(_Constant(), cases, said, [True, False], "cpu", 4)
    assert found.levels[-1].threshold == pytest.approx(7.5, abs=0.01)  # the strongest of a normal scan, not the blob's
    faint = [replace(c, images=c.images * np.float16(0.01)) if c.label else c for c in cases]
    raised = calibrate(_Constant(), faint, said, [True, False], "cpu", 4).levels
    assert [level.threshold for level in raised] == pytest.approx([1.4, 3.5, 7.0], abs=0.01)  # of the blob's peak, 14
    strong = [case(0, peak) for peak in (140.0, 1400.0)]  # where peaks spread widely, faint ones are still shown
    wide = [replace(c, patient=f"{n}") for n, c in enumerate([faint[0], *strong, *faint[1:]])]
    said_wide = [Prediction("c", c.patient, c.label, c.labels, np.array([[2.0 - 4 * c.label, 0.0]])) for c in wide]
    assert calibrate(_Constant(), wide, said_wide, [True, False], "cpu", 4).levels[0].threshold < 5
    both = calibrate(_Constant(), cases, said, [True, True], "cpu", 4)
    assert both.levels[-1].threshold == pytest.approx(
        14.0, abs=0.01
    )  # evidence for the class that a scan does not have
    assert 0.1 < found.temperature < 3  # three right answers do not make certainty
