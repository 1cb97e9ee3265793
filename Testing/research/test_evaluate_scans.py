"""Whole scans as a user reads them, single images as shown, baselines, and the report's first page."""

import csv
import dataclasses
import json
import math

import numpy as np
import pytest
import SimpleITK
import torch

pytest.importorskip("torchcam")
pytest.importorskip("captum")
pytest.importorskip("monai")

from hrcam.bundle.evidence_level import EvidenceLevel
from hrcam.bundle.write import save_bundle
from hrcam.errors import InputError
from hrcam.localize import Options, localize
from hrcam.run.borders import Borders
from hrcam.run.marking import mark
from hrcam.scan.geometry import Geometry
from hrcam.scan.intensity import Scale
from hrcam.scan.volume import to_sitk
from hrcam_research.evaluate import run, scan_report, scans, write
from hrcam_research.evaluate.baselines import Baselines, baseline_maps
from hrcam_research.evaluate.case import Case
from hrcam_research.evaluate.data import known_cases, scan_slices
from hrcam_research.evaluate.localization import evaluate_maps
from hrcam_research.evaluate.own_levels import Own
from hrcam_research.evaluate.report import write_report
from hrcam_research.evaluate.run import Settings
from hrcam_research.evaluate.scans import convex_hull, evaluate_scan, find_scan_sets
from hrcam_research.evaluate.shown import evaluate_shown
from hrcam_research.evaluate.summary import summarize
from hrcam_research.evaluate.write import evaluate_models


def head_with_a_spot(bright=1.0):
    image = np.zeros((96, 96))
    rows, columns = np.mgrid[:96, :96]
    image[(rows - 48) ** 2 + (columns - 44) ** 2 < 40**2] = 0.5
    image[(rows - 48) ** 2 + (columns - 58) ** 2 < 16] = bright
    return image


def test_baselines_find_what_is_bright_dark_or_unlike_its_mirror_image():
    found = baseline_maps(head_with_a_spot())
    for name in ("brightness", "brighter-than-mirror"):
        assert np.unravel_index(found[name].argmax(), (96, 96)) == pytest.approx((48, 58), abs=1)
    assert found["darker-than-mirror"][48, 58] == 0 and found["brighter-than-mirror"][48, 20] == 0
    dark = baseline_maps(head_with_a_spot(0.1))
    for name in ("darkness", "darker-than-mirror"):
        assert np.unravel_index(dark[name].argmax(), (96, 96)) == pytest.approx((48, 58), abs=1)


def test_baselines_are_methods_that_no_class_and_no_network_change():
    x = torch.from_numpy(np.stack([head_with_a_spot(), head_with_a_spot(0.1)])[:, None]).float()
    family = Baselines()
    maps = family.maps(x, torch.tensor([0, 1]), [method.name for method in family.methods])
    assert list(maps) == ["baseline/brightness", "baseline/darkness", "baseline/brighter-than-mirror",
                          "baseline/darker-than-mirror"]
    assert all(one.shape == (2, 96, 96) and one.min() >= 0 for one in maps.values())
    assert not any(method.is_hrcam for method in family.methods), "they count among the rivals"


def test_a_rim_is_filled_by_its_hull_and_two_rims_stay_two():
    rows, columns = np.mgrid[:40, :80]
    rims = np.zeros((40, 80), bool)
    for center in (20, 60):
        far = np.hypot(rows - 20, columns - center)
        rims |= (far < 12) & (far > 9)
    hull = convex_hull(rims)
    assert hull[20, 20] and hull[20, 60] and not hull[20, 40]


@pytest.fixture
def folder(tmp_path, blob_volume):
    """Two patients of two hospitals with one sequence, and a healthy head."""
    (tmp_path / "lgg").mkdir()
    (tmp_path / "healthy_t1").mkdir()
    with (tmp_path / "lgg" / "patients.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["patient", "site", "sequences"])
        for patient, site in (("A", "DU"), ("B", "CS")):
            table.writerow([patient, site, "flair"])
            scan = blob_volume(size_ijk=(48, 52, 12), spacing=(1.0, 1.0, 4.0), radius_mm=8.0)
            SimpleITK.WriteImage(to_sitk(scan.array, scan.geometry), str(tmp_path / "lgg" / f"{patient}_flair.nii.gz"))
            mask = (scan.array > 1.15 * np.median(scan.array[scan.array > 300])).astype(np.uint8)
            SimpleITK.WriteImage(to_sitk(mask, scan.geometry), str(tmp_path / "lgg" / f"{patient}_mask.nii.gz"))
    healthy = blob_volume(lesion_ras=None)
    SimpleITK.WriteImage(to_sitk(healthy.array, healthy.geometry), str(tmp_path / "healthy_t1" / "1_SS.nii.gz"))
    return tmp_path


def test_a_scan_is_measured_by_what_the_user_sees(folder, bright_blob_bundle):
    flair, healthy = find_scan_sets(folder)
    assert (flair.name, healthy.name) == ("lgg FLAIR", "healthy_t1")
    row = evaluate_scan(flair.scans[0], bright_blob_bundle)
    assert row["called"] and row["marked"] and not row["withheld"] and row["plane"] == "axial"
    assert row["dice"] > 0.1 and row["maps"]["map"]["ap"] > 0.1, "the network is coarse"
    assert row["slice_auc"] > 0.5 and row["slices_unmarked"] < 1
    assert set(row["maps"]) == {"map", "brightness", "darkness", "brighter-than-mirror", "darker-than-mirror"}
    assert "hull_dice" not in row and "hull_ap" not in row["maps"]["map"]
    rim = evaluate_scan(dataclasses.replace(flair.scans[0], hull=True), bright_blob_bundle)
    assert rim["dice"] == row["dice"] and abs(rim["hull_dice"] - rim["dice"]) < 0.1, "a ball is nearly its own hull"
    assert "hull_ap" in rim["maps"]["map"]
    row = evaluate_scan(healthy.scans[0], bright_blob_bundle)
    assert not row["called"] and not row["marked"] and "dice" not in row


def test_a_warning_on_the_sequence_counts_and_the_name_tells_nothing(folder, bright_blob_bundle, monkeypatch):
    asked = []

    def check(volume, bundle):
        asked.append(volume.name)
        return "Looks like a FLAIR scan."

    flair = find_scan_sets(folder)[0].scans[0]
    assert not evaluate_scan(flair, bright_blob_bundle)["warned"]
    monkeypatch.setattr(scans, "check_sequence", check)
    assert evaluate_scan(flair, bright_blob_bundle)["warned"] and asked == ["scan"]


def test_a_stopped_evaluation_keeps_its_scans_and_goes_on(folder, bright_blob_bundle, tmp_path, monkeypatch):
    out, measured = tmp_path / "out", []

    def second_fails(scan, bundle, device):
        measured.append(scan.patient)
        if len(measured) == 2:
            raise KeyboardInterrupt
        return evaluate_scan(scan, bundle, device)

    monkeypatch.setattr(scan_report, "evaluate_scan", second_fails)
    arguments = bright_blob_bundle, find_scan_sets(folder)[:1], out, "abc", "cpu", None, None
    with pytest.raises(KeyboardInterrupt):
        scan_report.evaluate_scans(*arguments)
    path, = (out / "results" / "scans").glob("*.json")
    assert [row["patient"] for row in json.loads(path.read_text())["rows"]] == ["A"]
    scan_report.evaluate_scans(*arguments)
    assert measured == ["A", "B", "B"]


def test_the_first_page_shows_sites_baselines_and_healthy_heads(folder, bright_blob_bundle, tmp_path):
    said = []
    settings = Settings(sets=("lgg", "healthy_t1"))
    report = evaluate_models([str(bright_blob_bundle.path)], folder, tmp_path / "out", settings, said.append)
    text = report.read_text()
    assert text.index("whole scans") < text.index("Maps beside other methods")
    page = text[: text.index("## Beside other methods")]
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| lgg FLAIR")]
    assert {row[1] for row in rows} == {"all", "CS", "DU"}
    assert sum("*brightness*" in row for row in rows) == 3
    assert any(line.startswith("| healthy_t1 | all | `bright-blob`") for line in text.splitlines())
    # The same scans' slices, on which every method of the network and the baselines are measured beside each other.
    assert text.index("## Beside other methods and baselines") < text.index("Maps beside other methods")
    assert "### Localization: lgg FLAIR" in text and "`level/" in text and "`baseline/brightness`" in text
    assert any(line.startswith("| lgg FLAIR | `bright-blob` 1.0.0 | Dice |") for line in text.splitlines())
    drawn = [path.name for path in (tmp_path / "out" / "figures").iterdir()]
    assert "bright-blob-lgg-FLAIR-size.png" in drawn and not any("lgg" in one and "cases" in one for one in drawn)


def test_a_set_is_named_exactly_or_by_its_folder():
    settings = Settings(sets=("healthy_t1", "lgg"))
    assert settings.wants("healthy_t1") and settings.wants("lgg T1-CE") and settings.wants("lgg FLAIR")
    assert not settings.wants("healthy_t1, simulated lesions") and not settings.wants("ms, FLAIR")
    assert Settings(sets=("lgg T1",)).wants("lgg T1") and not Settings(sets=("lgg T1",)).wants("lgg T1-CE")


def test_slices_of_scans_are_traced_ones_large_enough_and_those_without(folder, bright_blob_bundle):
    scans = find_scan_sets(folder)[0].scans
    every, half = (scan_slices(scans, bright_blob_bundle, "lesion", "no_lesion", 20, n) for n in (1, 2))
    pixels = [case.read() for case in every]
    assert {case.label for case in every} == {"lesion", "no_lesion"} and {case.site for case in every} == {"CS", "DU"}
    assert [case.traced for case in every] == [case.label == "lesion" for case in every]
    assert [case.traced for case in every] == [bool(one.masks) for one in pixels]
    assert min(one.masks["masks"].sum() for one in pixels if one.masks) >= 20
    small = scan_slices(scans, bright_blob_bundle, "lesion", "no_lesion", 10_000)
    assert {case.label for case in small} == {"no_lesion"}, "neither measured nor taken for healthy"
    assert len(every) / 2 <= len(half) <= len(every) / 2 + 4


@pytest.fixture
def sharing_bundle(bright_blob_bundle, tmp_path):
    """The same network, whose slices share evidence with their neighbors."""
    metadata = {**bright_blob_bundle.metadata, "name": "sharing", "neighbor_weight": 0.5}
    return save_bundle(tmp_path / "sharing", bright_blob_bundle.build(), metadata)


def test_slices_bring_the_map_that_the_user_sees_in_their_scan(folder, sharing_bundle):
    scan = find_scan_sets(folder)[0].scans[0]
    cases = scan_slices([scan], sharing_bundle, "lesion", "no_lesion", 20)
    case, pixels = next((one, one.read()) for one in cases if one.traced)
    result = localize(scan.path, sharing_bundle, Options(class_name="lesion", plane="axial", device="cpu"))
    seen = result.map[int(case.name.partition("#")[2])]
    assert pixels.in_scan.shape == pixels.image.shape[1:] and pixels.in_scan.max() == pytest.approx(seen.max(), rel=0.1)
    traced, rest = ([one for one in cases if one.traced is kind] for kind in (True, False))
    table = evaluate_maps(sharing_bundle.build(), traced, sharing_bundle.class_names, ["hrcam/sum", "baseline"],
                          normals=rest, pathologies=["lesion"])  # fmt: skip
    assert {"hrcam/in its scan", "hrcam/in its scan 0–1"} <= set(table.rows["method"]) & set(table.normals["method"])
    summary = summarize(table)
    shared, alone = (summary[key]["ap"]["baseline/darkness"]["mean"] for key in ("in_scan", "difference"))
    assert shared != alone and shared > 0


def test_slices_of_a_model_that_shares_nothing_bring_no_map(folder, bright_blob_bundle):
    scans = find_scan_sets(folder)[0].scans
    assert all(case.read().in_scan is None for case in scan_slices(scans, bright_blob_bundle, "lesion", "no_lesion"))


@pytest.mark.parametrize(("source", "again"), [("0123456789ab", 0), ("0123456789ab+", 1)])
def test_a_stopped_evaluation_keeps_its_images(folder, bright_blob_bundle, tmp_path, monkeypatch, source, again):
    arguments = [str(bright_blob_bundle.path)], folder, tmp_path / "out"
    chosen = Settings(sets=("lgg FLAIR",), cases=2, methods=("hrcam/sum", "baseline"))
    monkeypatch.setattr(run, "commit", lambda: source)
    evaluate_models(*arguments, chosen, print)
    path = tmp_path / "out" / "results" / "bright-blob.json"
    first, measured = json.loads(path.read_text()), []
    measure = run._localize
    monkeypatch.setattr(run, "_localize", lambda *given: (measured.append(given), measure(*given)))
    evaluate_models(*arguments, chosen, print)
    assert len(measured) == again and json.loads(path.read_text()) == first
    evaluate_models(*arguments, dataclasses.replace(chosen, cases=3), print)
    assert len(measured) == again + 1, "other settings measure again"


def test_a_set_that_is_not_there_is_an_error(folder, bright_blob_bundle, tmp_path):
    with pytest.raises(InputError, match="no set of the name that was given"):
        evaluate_models([str(bright_blob_bundle.path)], folder, tmp_path, Settings(sets=("lggg",)), print)


def test_single_images_as_shown(bright_blob_bundle):
    image = np.zeros((1, 64, 64), np.float32)
    image[0, 10:54, 10:54] = 0.9
    with_spot, mask = image.copy(), np.zeros((64, 64), bool)
    with_spot[0, 30:40, 30:40], mask[30:40, 30:40] = 1.5, True
    cases = [Case.of("a", "p", "lesion", with_spot, mask), Case.of("b", "q", "lesion", image, mask)]
    normals = [Case.of("c", "r", "no_lesion", image)]
    found = evaluate_shown(bright_blob_bundle, bright_blob_bundle.build(), cases, normals)
    assert found["unmarked"]["mean"] == 0.5 and found["marked"]["mean"] == 0 and 0.3 < found["dice"]["mean"] <= 0.5


def test_levels_of_single_images_follow_them_as_those_of_scans_do():
    far = np.hypot(*(axis - 32 for axis in np.mgrid[:64, :64]))
    evidence, image = (50 * np.exp(-(far**2) / 60)).astype(np.float32), np.where(far < 7, 0.9, 0.5).astype(np.float32)
    levels, rule = (EvidenceLevel("possible", 1.0, (1, 1, 0), 0.04),), {"weight": 0.2, "power": 2}
    plain, drawn = (Own("map", levels, one).labels(evidence, image, (1.0, 1.0)) for one in (None, rule))
    borders = Borders(image[None], Scale(0.0, 1.0), (math.inf, 1.0, 1.0), rule)
    geometry = Geometry((64, 64, 1), (0, 0, 0), (1.0, 1.0, 1.0), np.eye(3))
    assert np.array_equal(drawn, mark(evidence[None], geometry, levels, borders=borders)[0])
    assert 0 < drawn.sum() < plain.sum()
    assert np.array_equal(Own("map", levels, rule).overlays("map", evidence, image, (1, 1))["possible"], drawn > 0)
    assert Own("map", levels, rule).overlays("other", evidence, image, (1, 1)) == {}


def test_labels_that_a_model_does_not_know_are_an_error_and_healthy_is_its_normal_class(bright_blob_bundle):
    def case(label):
        return Case.of("a", "p", label, np.zeros((1, 8, 8)))

    named = known_cases([case("healthy"), case("lesion")], bright_blob_bundle)
    assert [one.label for one in named] == ["no_lesion", "lesion"]
    with pytest.raises(InputError, match="'glioma'"):
        known_cases([case("glioma")], bright_blob_bundle)


def test_results_of_parts_are_added_to_those_of_the_same_weights(bright_blob_bundle, tmp_path):
    document = {"format": "hrcam-evaluation", "format_version": 1, "model": {
        "version": bright_blob_bundle.version, "sha256": bright_blob_bundle.sha256}}
    path = tmp_path / "one.json"
    path.write_text(json.dumps(document))
    assert write._earlier(path, bright_blob_bundle) == document
    other = dataclasses.replace(bright_blob_bundle, metadata={**bright_blob_bundle.metadata, "version": "9.9.9"})
    assert write._earlier(path, other) is None
    assert write_report(tmp_path).is_file()
