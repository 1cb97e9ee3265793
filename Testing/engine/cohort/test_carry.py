"""Cases brought to the template, also those in whom nothing is marked; in this process or on Dask."""

import json
import shutil

import numpy as np
import pytest
from hrcam.bundle.bundle import load_bundle
from hrcam.cohort.carry import carry_cases
from hrcam.cohort.cases import find_members
from hrcam.cohort.maps import MNI, OWN, common_grid
from hrcam.cohort.run import summarize_cohort
from hrcam.localize import Options, localize
from hrcam.output.writers import write_result

pytest.importorskip("nilearn")


@pytest.fixture(scope="module")
def results(tmp_path_factory, blob_volume, bright_blob_bundle):
    """Two sick heads and two without any region, with the registration that ``--place`` leaves in a result."""
    folder = tmp_path_factory.mktemp("results")
    bundle = load_bundle(bright_blob_bundle.path)
    for name in ("sick", "well"):
        scan = blob_volume(size_ijk=(40, 44, 40), lesion_ras=(6.0, -5.0, 4.0) if name == "sick" else None, name=name)
        found = localize(scan, bundle, Options(class_name="lesion", device="cpu"))
        files = write_result(found, scan, folder, ["map"])
        document = json.loads(files["result"].read_text())
        document["provenance"]["place"] = {"template_to_scan_ras": np.eye(4).tolist(), "agreement_mm": 0.1,
                                           "similarity": 1.0, "sizes": [1, 1, 1]}
        for region in document["regions"]:
            region["place"] = {"side": "right", "structure": "thalamus", "probability": 1.0, "mni_ras": [6, -5, 4]}
        for copy in (1, 2):
            shutil.copy(files["map"], folder / f"{name}{copy}_map.nii.gz")
            (folder / f"{name}{copy}_result.json").write_text(json.dumps(
                {**document, "case": f"{name}{copy}", "files": {"map": f"{name}{copy}_map.nii.gz"}}))
        for path in files.values():
            path.unlink()
    groups = {f"{name}{copy}": name for name in ("sick", "well") for copy in (1, 2)}
    table = folder / "groups.csv"
    table.write_text("case,group\n" + "".join(f"{case},{group}\n" for case, group in groups.items()))
    return folder, table, groups


def test_cases_without_a_region_count_in_the_maps(results):
    folder, table, _ = results
    found = summarize_cohort(folder, table, MNI, permutations=0)
    assert not found.notes and found.maps["well"].count.max() == 2
    assert found.structures == {"right thalamus": {"sick": 1.0, "well": 0.0}}


def test_on_dask_the_sums_are_the_same(results):
    distributed = pytest.importorskip("distributed")
    folder, _, groups = results
    members, _ = find_members(folder, groups)
    grid = common_grid(members, OWN)
    here = list(carry_cases(members, grid, OWN))
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as local:
        there = list(carry_cases(members, grid, OWN, scheduler=local.scheduler_address))
    assert len(here) == len(there) == 4
    for (one, _), (other, _) in zip(here, there, strict=True):
        np.testing.assert_array_equal(one, other)
