"""Two dates of one head: each region's change is called as it was made; files, dates and doubts."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its customary name
from hrcam.align.transforms import carried
from hrcam.bundle.bundle import load_bundle
from hrcam.compare.acquisition import Acquisition
from hrcam.compare.calls import spelled_call
from hrcam.compare.changes import Dates, call_changes, call_of
from hrcam.compare.comparison import validate_comparison
from hrcam.compare.matching import Match, match_regions
from hrcam.compare.repeatability import Repeatability, copy_of, from_differences, noise_of, usual_deviations
from hrcam.compare.run import compare
from hrcam.compare.write import write_comparison
from hrcam.errors import Cancelled, InputError, OutputError
from hrcam.localize import Options, localize
from hrcam.run.result import Place, Region
from hrcam.run.units import spell_units
from hrcam.scan.checks import Fit
from hrcam.scan.geometry import Geometry
from hrcam.scan.volume import to_sitk

PLACES = {"left": (-9.0, 6.0, 0.0), "right": (9.0, 6.0, 0.0), "back": (0.0, -10.0, 4.0)}
CPU = Options(device="cpu")


@pytest.fixture(scope="session")
def scan_of(blob_volume):
    """A head with bright balls: ``scan_of("name", left=4, back=3)``, radii in mm."""

    def make(name, **radii):
        scan = blob_volume(lesion_ras=None, name=name)
        shape = scan.geometry.shape_kji
        ras = scan.geometry.points_to_ras(np.stack(np.indices(shape)[::-1], axis=-1))
        array = scan.array.copy()
        for place, radius in radii.items():
            distance = np.linalg.norm(ras - np.asarray(PLACES[place]), axis=-1) / radius
            array += (400 / (1 + np.exp(6 * radius * (distance - 1)))).astype(np.float32)  # a ball, soft at its edge
        return replace(scan, array=array)

    return make


@pytest.fixture(scope="session")
def found(scan_of, bright_blob_bundle):
    earlier, later = scan_of("may", left=4, right=3), scan_of("july", left=4, right=6, back=4)
    return compare(earlier, later, load_bundle(bright_blob_bundle.path), CPU, aligned=True)


def at(found, place):
    return min(found.changes, key=lambda one: np.linalg.norm(np.subtract(one.peak_ras, PLACES[place])))


def test_regions_are_called_as_they_changed(found):
    assert {place: at(found, place).call for place in PLACES} == {"left": "stable", "right": "growing", "back": "new"}
    assert at(found, "back").volume_earlier_ml == 0 < at(found, "back").volume_later_ml
    assert at(found, "right").evidence_change > 0 and len(found.changes) == 3


def test_a_region_that_the_later_scan_does_not_reach_has_a_call_and_no_voxel(scan_of, bright_blob_bundle):
    earlier, whole = scan_of("may", left=5, back=3), scan_of("july", left=5)
    j = PLACES["back"][1], PLACES["left"][1]
    rows = whole.geometry.points_to_ras(np.stack([[0, n, 0] for n in range(whole.array.shape[1])]).astype(float))[:, 1]
    kept = np.flatnonzero(np.abs(rows - j[0]) > 8)
    kept = kept[rows[kept] > j[0]] if j[1] > j[0] else kept[rows[kept] < j[0]]
    later = cropped_rows(whole, int(kept.min()), int(kept.max()) + 1)
    again = compare(earlier, later, load_bundle(bright_blob_bundle.path), CPU, aligned=True, copies=0)
    assert len(again.changes) == 2 and at(again, "back").call in ("not covered", "resolved")
    assert len(np.unique(again.change_labels)) == 2


def cropped_rows(scan, start, stop):
    image = to_sitk(scan.array, scan.geometry)[:, start:stop]
    return replace(scan, array=sitk.GetArrayFromImage(image), geometry=replace(
        scan.geometry, size_ijk=image.GetSize(), origin_lps=image.GetOrigin()))


def test_backwards_in_time_the_calls_are_reversed(scan_of, bright_blob_bundle):
    earlier, later = scan_of("july", left=4, right=6, back=4), scan_of("september", left=4, right=3)
    again = compare(earlier, later, load_bundle(bright_blob_bundle.path), CPU, aligned=True)
    assert {place: at(again, place).call for place in PLACES} == {
        "left": "stable", "right": "shrinking", "back": "resolved"}


def test_the_change_map_is_the_difference_on_the_later_grid(found):
    assert found.change.shape == found.later.map.shape and found.change.dtype == np.float32
    np.testing.assert_allclose(found.change, found.later.map - found.earlier_map, atol=1e-3)


def test_what_speaks_against_a_class_is_no_loss_of_evidence_for_it(scan_of, bright_blob_bundle, monkeypatch):
    def less_in_july(volume, *others, **named):
        result = localize(volume, *others, **named)
        return replace(result, map=result.map - np.float32(5)) if volume.name == "july" else result

    monkeypatch.setattr("hrcam.compare.run.localize", less_in_july)
    dates = scan_of("may", left=4), scan_of("july", left=4)
    found = compare(*dates, load_bundle(bright_blob_bundle.path), CPU, aligned=True, copies=0)
    assert found.later.map.min() < -1, "where there is nothing"
    assert not found.change[found.earlier_map < 1e-3].any()


def test_files_are_whole_and_say_the_same(found, tmp_path):
    pytest.importorskip("matplotlib")
    files = write_comparison(found, tmp_path)
    document = json.loads(files["result"].read_text())
    validate_comparison(document)
    assert document["evidence_levels"][0]["threshold"] == found.later.evidence_levels[0].threshold
    assert document["changes"][0]["peak_later"] == pytest.approx(found.changes[0].peak_later), "files keep logits"
    assert document["calls"]["new"] == 1 and document["files"]["picture"] == "july_comparison.png"
    rows = list(csv.DictReader(files["table"].open()))
    assert [row["call"] for row in rows] == [change.call for change in found.changes]
    labels = sitk.ReadImage(str(files["segmentation"]))
    assert labels.GetMetaData("Segment0_ID") == "new" and (sitk.GetArrayFromImage(labels) == 1).any()
    assert files["picture"].read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(OutputError, match="exists already"):
        write_comparison(found, tmp_path, overwrite=False)


def test_the_picture_has_no_empty_column(scan_of, bright_blob_bundle):
    pytest.importorskip("matplotlib")
    from hrcam.compare.picture import COLUMNS, draw_comparison

    scan = scan_of("july", left=4)
    again = compare(scan, scan, load_bundle(bright_blob_bundle.path), CPU, aligned=True, copies=0)
    assert len(again.changes) == 1
    axes = draw_comparison(again).axes
    assert len([one for one in axes if one.images]) == 3 * COLUMNS
    said = " ".join(text.get_text() for one in axes for text in one.texts)
    assert all(plane in said for plane in ("axial", "coronal", "sagittal"))


def test_places_stand_in_the_files_of_both_dates(scan_of, bright_blob_bundle, monkeypatch, tmp_path):
    """One registration to the template names the places of regions of either date."""
    from hrcam.align.affine import TemplateAlignment

    asked = []
    monkeypatch.setattr("hrcam.compare.run.to_template",
                        lambda volume: asked.append(volume.name) or TemplateAlignment(np.eye(4), 0.1, 1.0, (1, 1, 1)))
    again = compare(scan_of("may", left=4), scan_of("july", right=4), load_bundle(bright_blob_bundle.path),
                    replace(CPU, place=True), aligned=True, copies=0)
    assert asked == ["july"] and all(isinstance(one.place, Place) for one in again.changes)
    gone = at(again, "left")
    assert gone.call == "resolved" and np.allclose(gone.place.mni_ras, PLACES["left"], atol=2)
    files = write_comparison(again, tmp_path, picture=False)
    rows = list(csv.DictReader(files["table"].open()))
    assert [row["place"] for row in rows] == [one.place.words for one in again.changes]


def test_a_scan_that_is_no_brain_is_compared_without_places(scan_of, bright_blob_bundle):
    again = compare(scan_of("may", left=4), scan_of("july", left=4), load_bundle(bright_blob_bundle.path),
                    replace(CPU, place=True), aligned=True, copies=0)
    assert again.changes[0].place is None and "Places are not named" in again.warnings[-1]


def test_a_comparison_that_breaks_its_schema_is_named():
    with pytest.raises(InputError, match="not an HR-CAM comparison"):
        validate_comparison({"format": "hrcam-comparison"})


def test_dates_of_dicom_put_the_scans_in_order(scan_of, bright_blob_bundle, monkeypatch):
    dates = {"may": Acquisition("20260501"), "july": Acquisition("20260701")}
    monkeypatch.setattr("hrcam.compare.run.acquisition_of", lambda volume: dates[volume.name])
    again = compare(scan_of("july", left=4), scan_of("may", left=4), load_bundle(bright_blob_bundle.path), CPU,
                    aligned=True, copies=0)
    assert again.later.case == "july" and "wrong order" in again.warnings[0]
    assert again.to_json()["later"]["date"] == "2026-07-01"


def test_scans_said_to_be_aligned_but_not_so_are_warned_of(scan_of, bright_blob_bundle):
    earlier = scan_of("may", left=4, back=5)
    later = replace(scan_of("july", left=4, back=5), array=np.roll(scan_of("july", left=4, back=5).array, 6, axis=1))
    again = compare(earlier, later, load_bundle(bright_blob_bundle.path), CPU, aligned=True, copies=0)
    assert "said to be aligned" in again.warnings[0]


def test_aligning_tells_how_far_it_is_and_can_be_cancelled(scan_of, bright_blob_bundle):
    told = []

    def cancelled():
        return len(told) >= 3

    with pytest.raises(Cancelled):
        compare(scan_of("may", left=4, back=5), scan_of("july", left=4, back=5), load_bundle(bright_blob_bundle.path),
                CPU, progress=lambda stage, done: told.append((stage, done)), cancelled=cancelled)
    assert [stage for stage, _ in told] == ["Aligning"] * 3 and told == sorted(told) and told[0][1] < told[2][1]


def test_pictures_are_refused(blob_volume, bright_blob_bundle):
    one = blob_volume(size_ijk=(48, 52, 1))
    with pytest.raises(InputError, match="single slice"):
        compare(one, one, load_bundle(bright_blob_bundle.path), CPU)


def grid(*boxes):
    numbers = np.zeros((1, 20, 20), np.uint16)
    for label, (rows, columns) in enumerate(boxes, start=1):
        numbers[0, slice(*rows), slice(*columns)] = label
    return numbers


MM = Geometry((20, 20, 1), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), np.eye(3))


def test_matching_prefers_overlap_then_nearness():
    earlier = grid(((0, 4), (0, 4)), ((10, 14), (10, 14)))
    later = grid(((10, 15), (11, 15)), ((1, 4), (6, 9)))
    assert {(m.earlier, m.later) for m in match_regions(earlier, later, MM)} == {((1,), (2,)), ((2,), (1,))}


def test_specks_do_not_part_two_regions_that_overlap():
    """A speck inside of the later region and one inside of the earlier: two pairs, but hardly any overlap."""
    earlier = grid(((2, 12), (2, 12)), ((16, 17), (2, 3)))
    later = grid(((5, 18), (2, 12)), ((2, 4), (2, 4)))
    assert [(m.earlier, m.later) for m in match_regions(earlier, later, MM)] == [((1, 2), (1, 2))]


def test_what_merged_is_part_of_the_whole():
    earlier = grid(((0, 4), (0, 4)), ((0, 4), (6, 9)))
    later = grid(((0, 4), (0, 9)))
    assert [(m.earlier, m.later) for m in match_regions(earlier, later, MM)] == [((1, 2), (1,))]


def test_far_regions_are_not_the_same():
    found = match_regions(grid(((0, 3), (0, 3))), grid(((15, 18), (15, 18))), MM)
    assert {(m.earlier, m.later) for m in found} == {((), (1,)), ((1,), ())}


def region(label, peak):
    return Region(label, "strong", 0.5, peak, peak / 2, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), "axial", 0)


@pytest.mark.parametrize(("peak_before", "covered", "call"), [
    (1.0, True, "new"), (-1.0, True, "new"), (4.8, True, "stable"), (3.0, True, "growing"),
    (1.0, False, "not covered")])
def test_a_region_without_counterpart(peak_before, covered, call):
    """New only where the earlier map was below the lowest level, 2.0: what was above it was part of another region."""
    later = grid(((0, 4), (0, 4)))
    before = np.where(later > 0, peak_before, 0).astype(np.float32)
    dates = Dates(before, 5 * (later > 0).astype(np.float32), np.zeros_like(later), later,
                  np.full(later.shape, covered), [], [region(1, 5.0)])
    assert call_changes(dates, [Match((), (1,))], Repeatability(2.0, 0.2), 2.0)[0].call == call


@pytest.mark.parametrize(("peak_after", "call"), [(1.0, "resolved"), (3.0, "shrinking"), (4.8, "stable")])
def test_a_lost_region_is_resolved_only_below_the_lowest_level(peak_after, call):
    earlier = grid(((0, 4), (0, 4)))
    after = np.where(earlier > 0, peak_after, 0).astype(np.float32)
    dates = Dates(5 * (earlier > 0).astype(np.float32), after, earlier, np.zeros_like(earlier),
                  np.ones(earlier.shape, bool), [region(1, 5.0)], [])
    assert call_changes(dates, [Match((1,), ())], Repeatability(2.0, 0.2), 2.0)[0].call == call


def test_what_was_just_missed_on_one_date_is_not_new():
    """Evidence below the lowest level, 2.0, by less than two runs differ: the lesion was there and has grown."""
    limits = Repeatability(2.0, 0.4)
    assert call_of(False, True, 20.0, 1.4, 5.0, True, limits, 2.0) == ("growing", True)
    assert call_of(False, True, 20.0, 1.3, 5.0, True, limits, 2.0) == ("new", True)
    assert call_of(True, False, -9.0, 2.1, 1.8, True, limits, 2.0) == ("stable", False)


@pytest.mark.parametrize(("growth", "call"), [
    (1.0, ("stable", False)), (1.1, ("growing", False)), (-2.1, ("shrinking", True))])
def test_a_change_is_called_from_one_deviation_on_and_sure_beyond_repeatability(growth, call):
    assert call_of(True, True, growth, 5.0, 5.0, True, Repeatability(2.0, 0.4), 2.0) == call


def test_a_change_that_may_be_chance_has_a_question_mark():
    assert spelled_call("growing", False) == "growing?" and spelled_call("growing", True) == "growing"
    assert spelled_call("stable", False) == "stable"


def test_each_date_is_seen_once_more_in_the_slices_of_the_other(scan_of, bright_blob_bundle, monkeypatch):
    from hrcam.compare import run

    maps, grids, scans = [], [], []

    def kept(volume, *arguments, **more):
        result = localize(volume, *arguments, **more)
        scans.append((more.get("options") or arguments[1]).scans)
        maps.append(result.map)
        grids.append(volume.geometry.origin_lps)
        return result

    monkeypatch.setattr(run, "localize", kept)
    earlier, later = scan_of("may", left=4), scan_of("july", left=5)
    x, y, z = earlier.geometry.origin_lps
    earlier = replace(earlier, geometry=replace(earlier.geometry, origin_lps=(x, y, z + 0.4)))
    again = compare(earlier, later, load_bundle(bright_blob_bundle.path), CPU, aligned=True)
    before, after = earlier.geometry.origin_lps, later.geometry.origin_lps
    assert grids == [before, after, after, before]
    assert scans == [4] * 4  # the engine is chosen for all of them
    there = carried(maps[3], earlier.geometry, later.geometry, np.eye(4))
    np.testing.assert_allclose(again.later.map[1:-1], ((maps[1] + there) / 2)[1:-1], atol=1e-3)
    assert again.repeatability.regions == len(again.differences) == 2


def test_how_a_scan_fits_the_model_is_assessed_once(scan_of, bright_blob_bundle, monkeypatch):
    assessed = []
    monkeypatch.setattr("hrcam.localize.assess_fit", lambda volume, *others: assessed.append(volume) or Fit((), None))
    dates = scan_of("may", left=4), scan_of("july", left=5)
    compare(*dates, load_bundle(bright_blob_bundle.path), CPU, aligned=True)
    assert assessed == list(dates), "and not of the copies"


def test_repeatability_pools_the_scan_with_what_is_usual():
    assert from_differences([]).diameter_mm == pytest.approx(2.772 * usual_deviations()[0], rel=1e-3)
    assert from_differences([(0.0, 0.0)] * 50).diameter_mm < from_differences([]).diameter_mm
    assert from_differences([(9.0, 1.0)] * 5).diameter_mm > from_differences([]).diameter_mm


def test_a_copy_moves_by_parts_of_a_slice_and_carries_noise_once_more(blob_volume):
    scan = blob_volume(size_ijk=(64, 64, 12), spacing=(1.0, 1.0, 5.0))
    copy, there = copy_of(scan, 3)
    middle = scan.geometry.points_to_lps((31.5, 31.5, 5.5))
    assert abs((there[:3, :3] @ middle + there[:3, 3] - middle)[2]) <= 2.5
    assert copy.geometry == scan.geometry and np.isfinite(copy.array).all()
    noise = noise_of(np.random.default_rng(0).normal(100, 4, (8, 64, 64)).astype(np.float32))
    assert noise == pytest.approx(4, rel=0.1)


def test_the_command_compares_two_files(scan_of, bright_blob_bundle, tmp_path, capsys):
    pytest.importorskip("typer")
    from hrcam.cli.app import main
    from hrcam.scan.volume import to_sitk

    for name, radii in (("may", {"left": 4}), ("july", {"left": 4, "right": 4})):
        scan = scan_of(name, **radii)
        sitk.WriteImage(to_sitk(scan.array, scan.geometry), str(tmp_path / f"{name}.nrrd"))
    arguments = ["compare", str(tmp_path / "may.nrrd"), str(tmp_path / "july.nrrd"), "--aligned", "--device", "cpu",
                 "--model", str(bright_blob_bundle.path), "--out", str(tmp_path / "out"), "--no-overview"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "1 new, 1 stable" in said and "in units of the weakest level: possible 1.0" in said
    document = json.loads((tmp_path / "out" / "july_comparison.json").read_text())
    unit, peak = document["evidence_levels"][0]["threshold"], document["changes"][0]["peak_later"]
    assert f"to {spell_units(peak / unit)}" in said
    assert main(arguments) == 1 and "--overwrite" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "out")
