"""Simulated lesions in an evaluation: pairs differ in the lesion alone, and each set is answered for by itself."""

import json
import re

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its customary name

pytest.importorskip("torchcam")
pytest.importorskip("captum")
pytest.importorskip("monai")

from head_data import write_t1_head
from hrcam_research.evaluate import lesions
from hrcam_research.evaluate.run import Settings, find_sets
from hrcam_research.evaluate.write import evaluate_models
from threshold_bundle import threshold_bundle


def make_bundle(folder, dims):
    """A network whose evidence for a lesion is everything brighter than 0.8."""
    path = folder / f"bright-{dims}d"
    return threshold_bundle(path, ("lesion", "no_lesion"), [64] * dims, 3.5, bright=True, fusion="guided")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two heads of intensities, a template, and a scan with traced lesions."""
    root = tmp_path_factory.mktemp("data")
    for number, name in enumerate(("healthy_t1/a_SS", "healthy_t1/b_SS", "templates/mean")):
        image = write_t1_head(root / f"{name}.nii.gz", number)
        if name == "templates/mean":
            mask = np.zeros(image.GetSize()[::-1], np.uint8)
            mask[30:34, 30:36, 30:36] = 1
            outline = sitk.GetImageFromArray(mask)
            outline.CopyInformation(image)
            (root / "ms").mkdir()
            sitk.WriteImage(image, str(root / "ms" / "patient01_FLAIR.nii.gz"))
            sitk.WriteImage(outline, str(root / "ms" / "patient01_GOLD.nii.gz"))
    return root


@pytest.mark.parametrize("dims", [2, 3])
def test_pairs_differ_where_the_lesion_is_and_heads_are_patients(dims, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(lesions, "PAIRS", {dims: {"healthy_t1": 6, "templates": 2}})
    sets = find_sets(make_bundle(tmp_path, dims), folder)
    assert [one.name.split(",")[0] for one in sets] == ["healthy_t1", "templates", "ms"]
    real = sets[0]
    assert [case.patient for case in real.cases] == ["a_SS"] * 3 + ["b_SS"] * 3
    assert {case.plane for case in real.cases} == ({"ax", "co", "sa"} if dims == 2 else {""})
    assert {case.grade for case in real.cases} == set(lesions.KINDS)
    for case, counterpart in zip(real.cases, real.normals, strict=True):
        image, mask, other = case.read().image, case.read().masks["masks"], counterpart.read().image
        assert image.shape == other.shape == (1, *[64] * dims) and mask.any()
        difference = np.abs(image - other)[0]
        # Each is normalized by itself, as users' scans are, so that a bright lesion darkens the rest a little.
        assert difference[mask].mean() > 2 * difference[~mask].mean()
    traced = sets[2].cases
    assert traced and all(case.read().masks["masks"].any() for case in traced)
    assert bool(sets[2].normals) == (dims == 2)


def test_the_command_answers_for_each_set(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(lesions, "PAIRS", {2: {"healthy_t1": 6, "templates": 2}})
    bundle, out = make_bundle(tmp_path, 2), tmp_path / "docs"
    methods = ("hrcam/sum", "hrcam/guided", "gradcam/last")
    settings = Settings(cases=4, faithfulness_cases=0, methods=methods, batch_size=4)
    evaluate_models([str(bundle.path)], folder, out, settings, lambda _: None)
    results = json.loads((out / "results/bright-2d.json").read_text())
    figures = results["classification"]["figures"]
    names = ("healthy_t1, simulated lesions", "templates, simulated lesions", "ms, FLAIR")
    assert all(0 <= figures[f"AUC, {name}"] <= 1 for name in names)
    assert set(results["localization"]) == set(names)
    metrics = results["localization"][names[0]]["metrics"]
    assert metrics["hrcam/guided"]["completeness"]["mean"] < 1e-4
    text = (out / "RESULTS.md").read_text()
    pictures = re.findall(r"!\[[^]]*\]\((.*?)\)\n", text)
    assert len(pictures) > 9 and all(" " not in one and (out / one).is_file() for one in pictures)
    assert "differ in the lesion alone" in text
