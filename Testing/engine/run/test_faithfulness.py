"""The deletion test of one case: a map that shows what the network used earns a large drop, other places none."""

import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK
from hrcam.cli import app as cli
from hrcam.errors import Cancelled
from hrcam.localize import Options, localize
from hrcam.run import faithfulness
from hrcam.run.faithfulness import deletion_test, fill, log_odds
from hrcam.run.result import Faithfulness, Result, validate_result
from hrcam.scan.checks import Fit
from hrcam.scan.volume import to_sitk

CPU = Options(device="cpu")


def delete_and_localize(volume, bundle, result, options, cancelled=None, **more):
    asked = replace(options, class_name=result.shown_class)

    def localize_again(changed):
        return localize(changed, bundle, asked, cancelled=cancelled).probabilities

    return deletion_test(volume, result, localize_again, **more)


@pytest.fixture(scope="module")
def scan(blob_volume):
    return blob_volume((48, 52, 7), (1.0, 1.0, 5.0))


@pytest.fixture(scope="module")
def result(bright_blob_bundle, scan):
    return localize(scan, bright_blob_bundle, CPU)


def test_the_answer_rests_on_the_lesion_and_on_no_other_place(bright_blob_bundle, scan, result):
    found = delete_and_localize(scan, bright_blob_bundle, result, CPU)
    assert found.drop > 5 and len(found.random_drops) == faithfulness.PLACES
    assert max(map(abs, found.random_drops)) < 0.2 * found.drop
    assert found.score == pytest.approx(found.drop - np.mean(found.random_drops))
    assert found.filled_ml == pytest.approx(result.regions[0].volume_ml)


def test_a_map_that_points_elsewhere_is_found_out(bright_blob_bundle, scan, result):
    """The same result with its map turned round: the hole misses the lesion, the other places may hit it."""
    turned = replace(result, map=result.map[:, :, ::-1].copy(), labels=result.labels[:, :, ::-1].copy())
    found = delete_and_localize(scan, bright_blob_bundle, turned, CPU)
    assert found.drop < 1


def test_the_same_seed_gives_the_same_score(bright_blob_bundle, scan, result):
    runs = [delete_and_localize(scan, bright_blob_bundle, result, CPU, places=2, seed=3) for _ in range(2)]
    assert runs[0] == runs[1] and runs[0].seed == 3


def test_without_a_region_there_is_nothing_to_test(bright_blob_bundle, blob_volume):
    normal = blob_volume((48, 52, 7), (1.0, 1.0, 5.0), lesion_ras=None)
    assert delete_and_localize(normal, bright_blob_bundle, localize(normal, bright_blob_bundle, CPU), CPU) is None


def test_without_room_elsewhere_there_is_a_drop_but_no_score(bright_blob_bundle, scan, result):
    head = replace(result, labels=(scan.array > 500).astype(np.uint8))
    found = delete_and_localize(scan, bright_blob_bundle, head, CPU)
    assert found.drop > 5 and found.random_drops == () and found.score is None
    everywhere = replace(result, labels=np.ones_like(result.labels))
    assert delete_and_localize(scan, bright_blob_bundle, everywhere, CPU) is None, "nothing is left to fill it with"


def test_a_hole_takes_the_mean_of_the_tissue_around_it(scan):
    hole, tissue = np.zeros(scan.array.shape, bool), np.zeros(scan.array.shape, bool)
    hole[3, 20:24, 20:24] = True
    tissue[3, 20:24, 24:26] = True
    far = tissue.copy()
    far[3, 20:24, 44:46] = True  # farther than the shell is wide
    filled = fill(scan, hole, far)
    np.testing.assert_allclose(filled[hole], scan.array[tissue].mean(), rtol=1e-6)
    np.testing.assert_array_equal(filled[~hole], scan.array[~hole])


def test_a_single_slice_can_be_tested(bright_blob_bundle, blob_volume):
    flat = blob_volume((48, 52, 1), lesion_ras=(6.0, -5.0, 0.0), radius_mm=4.0)
    found = delete_and_localize(flat, bright_blob_bundle, localize(flat, bright_blob_bundle, CPU), CPU, places=1)
    assert found.drop > 5


def test_log_odds_stay_finite():
    assert log_odds({"a": 0.75, "b": 0.25}, "a") == pytest.approx(np.log(3))
    assert log_odds({"a": 1.0, "b": 0.0}, "a") == -log_odds({"a": 1.0, "b": 0.0}, "b") == pytest.approx(27.6, abs=0.1)


def test_it_can_be_cancelled(bright_blob_bundle, scan, result):
    with pytest.raises(Cancelled):
        delete_and_localize(scan, bright_blob_bundle, result, CPU, cancelled=lambda: True)


def test_as_an_option_it_is_part_of_the_result(bright_blob_bundle, blob_volume, scan, result):
    asked, stages = replace(CPU, faithfulness=True), []
    found = localize(scan, bright_blob_bundle, asked, lambda stage, fraction: stages.append((stage, fraction)))
    assert found.faithfulness == delete_and_localize(scan, bright_blob_bundle, result, CPU)
    assert stages[-1][0] == "Testing faithfulness" and stages == sorted(stages, key=lambda one: one[1])
    assert found.timings["Testing faithfulness"] > 0 and found.provenance["options"]["faithfulness"] is True
    normal = blob_volume((48, 52, 7), (1.0, 1.0, 5.0), lesion_ras=None)
    assert localize(normal, bright_blob_bundle, asked).faithfulness is None


def test_how_the_scan_fits_the_model_is_assessed_once(bright_blob_bundle, scan, monkeypatch):
    assessed = []
    monkeypatch.setattr("hrcam.localize.assess_fit", lambda volume, *others: assessed.append(volume) or Fit((), None))
    assert localize(scan, bright_blob_bundle, replace(CPU, faithfulness=True)).faithfulness is not None
    assert assessed == [scan], "and not of the scan with holes"


def test_the_json_holds_it_and_brings_it_back(result):
    found = replace(result, faithfulness=Faithfulness(4.0, (1.0, 2.0), 0.5, 7))
    document = found.to_json()
    validate_result(document)
    assert document["faithfulness"] == {"drop": 4.0, "random_drops": [1.0, 2.0], "filled_ml": 0.5, "seed": 7,
                                        "score": 2.5}
    assert Result.from_json(document, result.map, result.labels).faithfulness == found.faithfulness
    del document["faithfulness"]  # as written by earlier versions
    validate_result(document)
    assert Result.from_json(document, result.map, result.labels).faithfulness is None


def test_the_command_line_tests_it_on_request(tmp_path, capsys, bright_blob_bundle, scan):
    SimpleITK.WriteImage(to_sitk(scan.array, scan.geometry), str(tmp_path / "scan.nii.gz"))
    code = cli.main(["localize", str(tmp_path / "scan.nii.gz"), "--model", str(bright_blob_bundle.path), "--device",
                     "cpu", "--out", str(tmp_path / "out"), "--no-overview", "--faithfulness"])
    document = json.loads((tmp_path / "out" / "scan_result.json").read_text(encoding="utf-8"))
    assert code == 0 and document["faithfulness"]["score"] > 4
    assert "Without region 1 the log-odds of lesion fall by" in capsys.readouterr().out
