"""Groups of results summed up: the map lies where the groups differ; what cannot be added is refused in words."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its customary name
from hrcam.bundle.bundle import load_bundle
from hrcam.cohort.cases import read_groups
from hrcam.cohort.maps import MNI, OWN, GroupMaps, common_grid, welch_t
from hrcam.cohort.picture import anatomy
from hrcam.cohort.run import summarize_cohort
from hrcam.cohort.statistics import separation
from hrcam.errors import InputError
from hrcam.localize import Options, localize
from hrcam.output.writers import write_result
from scipy import stats

PLACE = (6.0, -5.0, 4.0)


@pytest.fixture(scope="module")
def results(tmp_path_factory, blob_volume, bright_blob_bundle):
    """Six sick and six healthy heads, localized for the class lesion, and the table of their groups."""
    folder = tmp_path_factory.mktemp("cohort")
    bundle, rows = load_bundle(bright_blob_bundle.path), []
    for number in range(12):
        sick = number < 6
        shifted = tuple(np.add(PLACE, (number % 3 - 1, 0, 0)))
        scan = blob_volume(size_ijk=(40, 44, 40), lesion_ras=shifted if sick else None, radius_mm=3 + 0.2 * number,
                           name=f"case{number:02d}", noise=0.01 + 0.001 * number)
        found = localize(scan, bundle, Options(class_name="lesion", device="cpu"))
        write_result(found, scan, folder, ["map"])
        rows.append({"case": scan.name, "group": "sick" if sick else "well"})
    table = folder / "groups.csv"
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["case", "group"])
        writer.writeheader()
        writer.writerows(rows)
    return folder, table


def test_groups_differ_where_the_lesion_is(results):
    pytest.importorskip("nilearn")
    found = summarize_cohort(*results, space="own", permutations=100)
    one = found.differences[0]
    assert found.sizes() == {"sick": 6, "well": 6} and one.groups == ("sick", "well")
    assert np.linalg.norm(np.subtract(one.peak_ras, PLACE)) < 6 and one.least_p < 0.05
    assert one.separation.auc > 0.9 and found.prevalence["sick"]["possible"] > found.prevalence["well"]["possible"]
    assert int(found.maps["sick"].count.min()) == 6


def test_the_command_writes_maps_report_and_provenance(results, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    from hrcam.cli.app import main

    folder, table = results
    out = tmp_path / "out"
    arguments = ["cohort", str(folder), "--groups", str(table), "--space", "own", "--permutations", "0", "--out",
                 str(out)]
    assert main(arguments) == 0 and "sick: 6 cases" in capsys.readouterr().out
    document = json.loads((out / "cohort.json").read_text())
    assert set(document["files"].values()) <= {path.name for path in out.iterdir()}
    assert len(document["provenance"]["cases"]) == 12
    text = (out / "cohort_report.html").read_text()
    assert "data:image/png;base64," in text and "Research use only" in text
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(out / "cohort_sick_n.nii.gz"))).max() == 6
    assert main(arguments) == 1 and "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "words"), [
    ("case;group\na;b\n", "no columns"), ("case,group\na,x\na,y\n", "two groups"), (None, "cannot be read")])
def test_a_bad_table_is_refused(tmp_path, text, words):
    table = tmp_path / "groups.csv"
    if text is not None:
        table.write_text(text)
    with pytest.raises(InputError, match=words):
        read_groups(table)


def test_cases_without_places_are_refused_in_mni_space(results):
    with pytest.raises(InputError, match="no map can be brought to the template"):
        summarize_cohort(*results, space="mni", permutations=0)


def test_unknown_cases_are_refused(results, tmp_path):
    table = tmp_path / "groups.csv"
    table.write_text("case,group\nnobody,sick\n")
    with pytest.raises(InputError, match="no result of a case"):
        summarize_cohort(results[0], table)


def test_the_picture_outlines_brain_and_ventricles_in_the_templates_space_alone():
    grid = common_grid([], MNI)
    brain, ventricles = anatomy(SimpleNamespace(space=MNI, grid=grid))
    for part, inside, outside in ((brain, (20, -20, 30), (0, 0, -70)), (ventricles, (10, 0, 22), (40, 0, 22))):
        (i, j, k), (x, y, z) = (np.rint(grid.points_from_ras(ras)).astype(int) for ras in (inside, outside))
        assert part[k, j, i] > 0.5 > part[z, y, x]
    assert anatomy(SimpleNamespace(space=OWN, grid=grid)) == []


def test_running_sums_agree_with_scipy():
    rng = np.random.default_rng(0)
    samples = [rng.normal(1, 1, (7, 1, 2, 3)), rng.normal(0, 2, (9, 1, 2, 3))]
    groups = []
    for values in samples:
        maps = GroupMaps.empty((1, 2, 3))
        for one in values:
            maps.add(one.astype(np.float32), np.ones(one.shape, bool), 1.0)
        groups.append(maps)
    np.testing.assert_allclose(groups[0].t, stats.ttest_1samp(samples[0], 0).statistic, rtol=1e-4)
    np.testing.assert_allclose(welch_t(*groups), stats.ttest_ind(*samples, equal_var=False).statistic, rtol=1e-4)


def test_separation_counts_ties_half_and_is_never_certain_of_few():
    assert separation([0.9, 0.8, 0.7], [0.1, 0.2, 0.3]).auc == 1 > separation([0.9, 0.8, 0.7], [0.1, 0.2]).low
    found = separation([1, 2, 3, 4], [2, 3, 4, 5])
    pairs = [(a > b) + 0.5 * (a == b) for a in (1, 2, 3, 4) for b in (2, 3, 4, 5)]
    assert found.auc == pytest.approx(np.mean(pairs)) and found.low <= found.auc <= found.high
