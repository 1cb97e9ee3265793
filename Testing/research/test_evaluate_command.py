"""The whole command on a made-up data folder laid out like the real one, with a network whose map is known."""

import copy
import csv
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

pytest.importorskip("torchcam")
pytest.importorskip("captum")
pytest.importorskip("monai")

from hrcam.bundle.write import save_bundle
from hrcam.cam.model import HRCAM
from hrcam.errors import InputError
from hrcam.networks.registry import ARCHITECTURES
from hrcam_research.evaluate import report
from hrcam_research.evaluate.case import Case
from hrcam_research.evaluate.data import data_folder, held_out, normal_cases, slice_cases
from hrcam_research.evaluate.localization import evaluate_maps
from hrcam_research.evaluate.results_file import write_json
from hrcam_research.evaluate.run import Settings, find_sets
from hrcam_research.evaluate.summary import pick_cases, summarize
from hrcam_research.evaluate.write import evaluate_models

SIZE = 64
CLASSES = ("glioma", "meningioma", "no_tumor")
METHODS = ("hrcam", "level", "layercam/mean", "gradcam/last")


def bright_spot_network():
    """A VGG whose first channel passes on what is brighter than 0.7, and nothing else: evidence for both tumors."""
    arguments = {"num_classes": 3, "width": 2, "stages": 2, "depth": 1, "max_width": 4}
    model = HRCAM(ARCHITECTURES["vgg_small"](**arguments), 3, example=torch.zeros(1, 1, SIZE, SIZE)).eval()
    with torch.no_grad():
        for module in model.cnn.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.zero_()
                module.weight[0, 0, 1, 1] = 1
        next(m for m in model.cnn.modules() if isinstance(m, nn.BatchNorm2d)).bias.fill_(-0.7)
        model.head.weight.zero_()
        model.head.bias.zero_()
        at = 0
        for level in model.levels:
            model.head.weight[0, at], model.head.weight[1, at] = 60.0, 59.0
            at += level.channels
        model.head.bias[2] = 1.0
    return model, arguments


def spot(rng, lesion=True):
    """A gray head with a white spot, and the spot's mask."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    image = np.where((rows - 32) ** 2 + (columns - 32) ** 2 < 28**2, 90, 0) + rng.integers(0, 8, (SIZE, SIZE))
    center, radius = rng.integers(18, 46, 2), rng.integers(4, 8)
    mask = (rows - center[0]) ** 2 + (columns - center[1]) ** 2 < radius**2
    if lesion:
        image[mask] = 250
    return image.astype(np.uint8), mask


def write_slices(folder, rows, rng):
    (folder / "images").mkdir(parents=True)
    for row in rows:
        image, mask = spot(rng, bool(row.get("mask", "")))
        Image.fromarray(image).save(folder / row["image"])
        for key in ("mask", "mask_brisc"):
            if row.get(key):
                path = folder / row[key]
                path.parent.mkdir(exist_ok=True)
                Image.fromarray(mask).save(path)
    with (folder / "slices.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    rows = []
    for n in range(20):
        name, split = f"slice{n:02d}.png", "val" if n < 12 else "train"
        site = "MR" if n % 4 == 0 else "numeric"
        rows.append({
            "image": f"images/{name}", "mask": f"masks/{name}" if split == "val" else "",
            "mask_brisc": f"masks_brisc/{name}" if split == "val" else "", "label": CLASSES[n % 2],
            "plane": ("ax", "co", "sa")[n % 3], "patient": f"{site}{n // 4}{n % 2}", "site": site, "split": split,
        })  # fmt: skip
    write_slices(folder / "t1ce_slices", rows, rng)
    empty = [{"image": f"images/none{n:02d}.png", "plane": "ax"} for n in range(16)]
    write_slices(folder / "no_tumor", empty, rng)
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    model, arguments = bright_spot_network()
    kinds = [
        {"name": name, "pathology": name != "no_tumor", "color": [0.9, 0.2, 0.2], "terminology": None}
        for name in CLASSES
    ]
    metadata = {
        "name": "bright-spot", "version": "1.2.3", "title": "Bright spots", "description": "For tests.",
        "task": "classification", "classes": kinds, "modality": "MR", "dimension": 2,
        "input": {
            "planes": ["axial", "coronal", "sagittal"], "size": [SIZE, SIZE], "spacing_mm": 2.0,
            "intensity": {"kind": "percentile", "low": 1.0, "high": 99.5, "foreground": "otsu", "per": "volume"},
        },
        "architecture": {"name": "vgg_small", "arguments": arguments}, "temperature": 1.0,
        "volume_rule": {"kind": "top_mean", "fraction": 0.1, "temperature": 1.0, "bias": [0.0, 0.0, 0.0]},
        "evidence_levels": [{"name": "possible", "threshold": 1.0, "color": [1.0, 1.0, 0.0]}],
        "input_statistics": {}, "metrics": {}, "intended_use": "Research use only.", "reference": "arXiv:1909.12919",
        "data": [{"name": "made up", "license": "none", "use": "none", "attribution": "none"}],
    }  # fmt: skip
    return save_bundle(tmp_path_factory.mktemp("models") / "bright-spot", model, metadata)


@pytest.fixture(scope="module")
def written(data, bundle, tmp_path_factory):
    out, said = tmp_path_factory.mktemp("docs"), []
    settings = Settings(methods=METHODS, batch_size=5, faithfulness_cases=3)
    evaluate_models([str(bundle.path)], data, out, settings, said.append)
    return out, json.loads((out / "results/bright-spot.json").read_text()), said


def test_the_known_map_finds_the_spot(written):
    _, results, _ = written
    summary = results["localization"]["t1ce_slices"]
    found = summary["metrics"]["hrcam/sum"]
    assert found["ap"]["mean"] > 0.95
    assert found["dice"]["mean"] > 0.85
    assert found["pointing"]["mean"] == found["sensitivity"]["mean"] == 1.0
    assert found["ap"]["cases"] == 12 and found["ap"]["patients"] == summary["patients"]
    assert found["completeness"]["mean"] < 1e-4
    assert found["ap_masks_brisc"] == found["ap"]
    assert summary["normals"]["hrcam/sum"]["cases"] == results["data"]["t1ce_slices, without lesion"]["cases"] > 0


def test_every_number_can_be_traced(written, bundle):
    _, results, said = written
    assert results["model"]["sha256"] == bundle.sha256
    assert results["versions"]["torch"] == torch.__version__
    assert re.fullmatch(r"[0-9a-f]{12}\+?|unknown", results["commit"])
    assert results["data"]["t1ce_slices"]["labels"] == {"glioma": 6, "meningioma": 6}
    assert any("bright-spot" in line for line in said)
    assert set(results["localization"]["t1ce_slices"]["evidence_levels"]["possible"]) == {"dice", "area", "empty"}
    # The default beside each rival, the best of them named, and the break-downs that add up.
    summary = results["localization"]["t1ce_slices"]
    assert summary["best_rival"]["ap"] in ("layercam/mean", "gradcam/last")
    assert set(summary["difference"]["ap"]) == {"layercam/mean", "gradcam/last"}
    for by in ("label", "size", "plane"):
        numbers = [each["hrcam/sum"]["ap"]["cases"] for each in summary["breakdown"][by].values()]
        assert len(numbers) == {"label": 2, "size": 3, "plane": 3}[by] and sum(numbers) == 12
    # Dice at one threshold is of maps scaled within each image, the default's beside the rivals'.
    assert set(summary["sizes"]) == {*summary["shown"], f"{summary['default']} 0–1"}


def test_other_sections_are_there(written):
    _, results, _ = written
    figures = results["classification"]["figures"]
    recalls = [figures[f"recall of {name}"] for name in CLASSES]
    assert recalls[1] == 0.0 and figures["balanced accuracy, by image"] == pytest.approx(np.mean(recalls), abs=1e-5)
    assert "AUC glioma / meningioma, same site" in figures
    assert (
        results["faithfulness"]["hrcam/sum"]["deletion"]["mean"]
        < results["faithfulness"]["random order"]["deletion"]["mean"]
    )
    assert set(results["randomization"]["hrcam/sum"]) == {"0%", "25%", "50%", "75%", "100%"}
    assert results["cost"]["methods"]["hrcam/sum"]["memory"] > 0


def test_report_is_made_from_the_file_alone(written):
    out, results, _ = written
    text = (out / "RESULTS.md").read_text()
    assert "## bright-spot 1.2.3" in text
    mean = results["localization"]["t1ce_slices"]["metrics"]["layercam/mean"]["ap"]["mean"]
    assert f"{mean:.3f}" in text
    by_patient = results["localization"]["t1ce_slices"]["metrics"]["hrcam/sum"]["ap"]["patient_mean"]
    assert "By patient, the mean over patients" in text and f"| patients | {by_patient:.3f} (" in text
    linked = re.findall(r"\]\((figures/[^)]+)\)", text)
    assert sorted(linked) == sorted(f"figures/{path.name}" for path in (out / "figures").glob("*.png"))
    for figure in linked:
        picture = Image.open(out / figure)
        assert picture.width > 300 and len(np.unique(np.asarray(picture.convert("L")))) > 10
        assert (out / figure).stat().st_size < 400_000
    (out / "RESULTS.md").unlink()
    assert report.write_report(out).read_text() == text
    kept = (out / linked[0]).rename(out / "elsewhere.png")
    assert linked[0] not in report.write_report(out).read_text(), "a figure that is not kept has no link"
    kept.rename(out / linked[0])
    report.write_report(out)
    tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    assert len(tables) >= 8
    assert all(len({line.count("|") for line in table}) == 1 for table in tables)


def test_the_command_says_what_it_did_and_nothing_else(data, bundle, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "hrcam", "evaluate", "--model", bundle.path, "--data", data, "--out", tmp_path,
         "--methods", "hrcam/sum", "--cases", "4", "--faithfulness-cases", "0"],
        capture_output=True, text=True, check=True, timeout=400,
    )  # fmt: skip
    assert (tmp_path / "RESULTS.md").is_file()
    assert done.stdout.startswith("bright-spot 1.2.3") and "USDT" not in done.stdout + done.stderr


def test_a_second_run_gives_the_same_numbers(written, data, bundle, tmp_path):
    _, first, _ = written
    settings = Settings(methods=("hrcam/sum", "layercam/mean"), batch_size=3, faithfulness_cases=0)
    evaluate_models([str(bundle.path)], data, tmp_path, settings, lambda _: None)
    second = json.loads((tmp_path / "results/bright-spot.json").read_text())
    for method in settings.methods:
        one, two = (each["localization"]["t1ce_slices"]["metrics"][method] for each in (first, second))
        assert {key: each["mean"] for key, each in one.items()} == pytest.approx(
            {key: each["mean"] for key, each in two.items()}, rel=1e-4, abs=1e-4
        )


def test_slices_are_read_by_split_and_as_the_bundle_prepares_them(data, bundle):
    cases = slice_cases(data / "t1ce_slices", bundle)
    assert len(cases) == 12 and len(slice_cases(data / "t1ce_slices", bundle, "train")) == 8
    pixels = cases[0].read()
    assert pixels.image.shape == (1, SIZE, SIZE) and pixels.image.dtype == np.float32
    assert set(pixels.masks) == {"masks", "masks_brisc"} and pixels.masks["masks"].any()
    assert pixels.image[0][pixels.masks["masks"]].min() > 0.9
    assert cases[0].spacing == (2.0, 2.0)


def test_normal_images_are_held_out_by_name(data, bundle):
    names = [f"images/none{n:02d}.png" for n in range(16)]
    assert [case.name for case in normal_cases(data / "no_tumor", bundle)] == [name for name in names if held_out(name)]
    assert 0.15 < np.mean([held_out(f"a{n}.jpg") for n in range(2000)]) < 0.25


def test_a_folder_with_its_own_table_is_one_set(data, bundle):
    (only,) = find_sets(bundle, data / "t1ce_slices")
    assert only.name == "t1ce_slices" and len(only.cases) == 12 and only.normals == []
    assert [one.name for one in find_sets(bundle, data)] == ["t1ce_slices"]


def test_missing_data_are_named(tmp_path, bundle):
    with pytest.raises(InputError, match="no data folder"):
        data_folder(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no image of a class that bright-spot knows"):
        evaluate_models([str(bundle.path)], tmp_path, tmp_path, Settings(), lambda _: None)
    (tmp_path / "results").mkdir()
    (tmp_path / "results/x.json").write_text("{}")
    with pytest.raises(InputError, match=r"x\.json is no result"):
        report.write_report(tmp_path)


def case(name, label="glioma", lesion=True, patient="p"):
    image, mask = spot(np.random.default_rng(len(name)))
    return Case.of(name, patient, label, image[None] / 200, mask if lesion else None)


def test_python_function_takes_any_wrapped_network_and_cases():
    model, _ = bright_spot_network()
    cases = [case("a" * n, CLASSES[n % 2], patient=str(n)) for n in range(1, 7)]
    model.train()
    dark, bright = (
        Case.of(name, name, "no_tumor", np.full((1, SIZE, SIZE), gray)) for name, gray in (("d", 0.6), ("b", 1.25))
    )
    table = evaluate_maps(model, cases, CLASSES, ["hrcam", "layercam"], normals=[dark, bright])
    assert model.training
    area = table.normals[table.normals["method"] == "hrcam/sum"].set_index("case")["area"]
    assert area["d"] == 0 and area["b"] > 0.9
    assert len(table.rows) == 6 * len(table.methods)
    summary = summarize(table)
    assert summary["default"] == "hrcam/sum" and summary["metrics"]["hrcam/sum"]["ap"]["mean"] > 0.9
    chosen = pick_cases(table.rows, "hrcam/sum", 2)
    order = table.rows[table.rows["method"] == "hrcam/sum"].set_index("case")["ap"]
    assert order[chosen["best"][0]] == order.max() and order[chosen["worst"][0]] == order.min()


def test_cases_that_cannot_be_judged_are_refused():
    model, _ = bright_spot_network()
    with pytest.raises(InputError, match="no case"):
        evaluate_maps(model, [], CLASSES)
    with pytest.raises(InputError, match="does not know the class 'sarcoma'"):
        evaluate_maps(model, [case("a", "sarcoma")], CLASSES)
    with pytest.raises(InputError, match="a has no lesion mask"):
        evaluate_maps(model, [case("a", lesion=False)], CLASSES, ["hrcam/sum"])


def test_a_simulated_set_is_read_with_all_its_rows_and_controls_without_mask(data, bundle, tmp_path):
    folder = tmp_path / "simulated"
    folder.mkdir()
    source = data / "t1ce_slices"
    known = [(0, "glioma", "train", 50), (1, "glioma", "validation", 50), (2, "no_tumor", "validation", 0)]
    rows = [
        {"path": source / f"images/slice{n:02d}.png", "label": label, "patient": str(n), "split": split,
         "mask": source / f"masks/slice{n:02d}.png", "mask_voxels": voxels}
        for n, label, split, voxels in known
    ]  # fmt: skip
    with (folder / "cases.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (held,) = find_sets(bundle, folder)
    assert ([case.patient for case in held.cases], [case.patient for case in held.normals]) == (["1"], ["2"])
    (whole,) = find_sets(bundle, folder, split=None)
    assert [case.patient for case in whole.cases] == ["0", "1"]


def test_volumes_are_measured_as_slices_are():
    torch.manual_seed(0)
    cnn = nn.Sequential(
        nn.Conv3d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(2, 3, 3, padding=1), nn.ReLU()
    )
    model = HRCAM(cnn, 2, levels=["1", "4"], example=torch.zeros(1, 1, 16, 16, 16)).eval()
    grid = np.mgrid[:16, :16, :16]
    cases = []
    for n in range(4):
        mask = ((grid - np.array([6 + n, 8, 7])[:, None, None, None]) ** 2).sum(0) < 12
        cases.append(Case.of(f"v{n}", f"p{n}", "glioma", mask[None] + 0.1, mask))
    table = evaluate_maps(
        model, cases, ("glioma", "none"), ["hrcam/sum", "layercam", "monai-gradcam/mean"], batch_size=2
    )
    assert table.rows.groupby("method")["ap"].count().eq(4).all()
    assert table.rows["hd95_mm"].between(0, 16 * np.sqrt(3)).all()
    assert table.rows.set_index("method").loc["hrcam/sum", "completeness"].max() < 1e-4


def test_a_report_says_whose_maps_show_nothing(written, tmp_path):
    _, results, _ = written
    assert results["localization"]["t1ce_slices"]["metrics"]["hrcam/sum"]["flat"]["mean"] == 0
    for share, expected in ((0.0, False), (0.25, True)):
        changed = copy.deepcopy(results)
        changed["localization"]["t1ce_slices"]["metrics"]["gradcam/last"]["flat"]["mean"] = share
        write_json(changed, tmp_path / "results" / "bright-spot.json")
        report.write_report(tmp_path)
        assert ("shows nothing: `gradcam/last` 25%." in (tmp_path / "RESULTS.md").read_text()) is expected


def test_a_flat_map_is_told():
    cases = [Case.of("a", "p", "glioma", np.zeros((1, 16, 16)), np.eye(16) > 0)]
    cases += [Case.of("b", "q", "glioma", np.random.default_rng(0).random((1, 16, 16)), np.eye(16) > 0)]
    cnn = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, bias=False, padding_mode="circular"), nn.ReLU())
    model = HRCAM(cnn, 2, levels=["1"], example=torch.zeros(1, 1, 16, 16)).eval()
    rows = evaluate_maps(model, cases, ("glioma", "none"), ["hrcam/sum"]).rows.set_index("case")
    assert rows["flat"].to_dict() == {"a": 1.0, "b": 0.0}
