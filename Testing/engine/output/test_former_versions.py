"""What version 0.1.0 wrote still opens: a bundle, a result with its images, a batch's folder (scenes: see the module).

The files in Testing/support/version_0_1_0 were written by that version's save_bundle, localize and write_result.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its customary name
from hrcam import load_bundle
from hrcam.batch.run import run_batch
from hrcam.localize import Options, localize
from hrcam.run.result import Result, validate_result
from hrcam.scan.volume import read_volume

FORMER = Path(__file__).parents[2] / "support" / "version_0_1_0"


@pytest.fixture(scope="module")
def bundle():
    return load_bundle(FORMER / "bright-blob")


@pytest.fixture(scope="module")
def former():
    document = json.loads((FORMER / "results" / "scan_result.json").read_text(encoding="utf-8"))
    arrays = [sitk.GetArrayFromImage(sitk.ReadImage(str(FORMER / "results" / f"scan_{kind}.nii.gz")))
              for kind in ("map", "labels")]
    return Result.from_json(document, *arrays)


def test_a_result_is_read_with_its_images_and_written_anew(former):
    assert former.predicted == "lesion" and len(former.regions) == 1 and former.labels.any()
    assert former.faithfulness is not None and former.faithfulness.score > 1
    validate_result(former.to_json())


def test_a_bundle_gives_the_same_numbers(bundle, former):
    volume = replace(read_volume(FORMER / "scan.nrrd"), name="scan")
    result = localize(volume, bundle, Options(device="cpu"))
    np.testing.assert_allclose(result.map, former.map, atol=1e-3 * float(former.map.max()))
    assert result.probabilities == pytest.approx(former.probabilities, abs=1e-6)
    assert result.regions[0].peak_ras == former.regions[0].peak_ras


def test_a_batch_keeps_what_it_finds_in_its_folder(bundle, tmp_path):
    shutil.copytree(FORMER / "results", tmp_path / "out")
    options = Options(device="cpu", faithfulness=True, minimum_region_ml=0.0)  # as the former version had it
    rows = run_batch([FORMER / "scan.nrrd"], bundle, tmp_path / "out", options, ["map", "levels", "labels"]).rows
    assert [(row.case, row.status) for row in rows] == [("scan", "kept")]
