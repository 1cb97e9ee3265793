"""Simulated lesions in an evaluation: pairs differ in the lesion alone, and each set is answered for by itself."""

import json
import re

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its customary name
import torch
from torch import nn

pytest.importorskip("torchcam")
pytest.importorskip("captum")
pytest.importorskip("monai")

from hrcam.bundle_write import save_bundle
from hrcam.evaluate import lesions
from hrcam.evaluate.run import Settings, find_sets
from hrcam.evaluate.write import evaluate_models
from hrcam.model import HRCAM
from hrcam.networks import ARCHITECTURES
from hrcam.simulate.head import phantom_head
from hrcam.simulate.tissues import draw_intensities


def make_bundle(folder, dims):
    """A network whose evidence for a lesion is everything brighter than 0.8."""
    arguments = {"num_classes": 2, "width": 2, "stages": 2, "depth": 1, "max_width": 4, "dims": dims}
    model = HRCAM(ARCHITECTURES["vgg_small"](**arguments), 2, fusion="guided").eval()
    conv, norm = (nn.Conv2d, nn.BatchNorm2d) if dims == 2 else (nn.Conv3d, nn.BatchNorm3d)
    with torch.no_grad():
        for module in model.cnn.modules():
            if isinstance(module, conv):
                module.weight.zero_()
                module.weight[(0, 0, *[1] * dims)] = 1
        next(m for m in model.cnn.modules() if isinstance(m, norm)).bias.fill_(-0.8)
        model.head.weight.zero_()
        model.head.bias.zero_()
        model.head.weight[0, 0] = 20.0
    kinds = [{"name": name, "pathology": name == "lesion", "color": [0.9, 0.2, 0.2], "terminology": None}
             for name in ("lesion", "no_lesion")]  # fmt: skip
    metadata = {
        "name": f"bright-{dims}d", "version": "1.0.0", "title": "Bright pixels", "description": "For tests.",
        "task": "classification", "classes": kinds, "modality": "MR", "dimension": dims,
        "input": {
            "planes": ["axial"], "size": [64] * dims, "spacing_mm": 3.5,
            "intensity": {"kind": "percentile", "low": 1.0, "high": 99.5, "foreground": "otsu", "per": "volume"},
        },
        "architecture": {"name": "vgg_small", "arguments": arguments}, "temperature": 1.0,
        "evidence_levels": [{"name": "possible", "threshold": 1.0, "color": [1.0, 1.0, 0.0]}],
        "input_statistics": {}, "metrics": {}, "intended_use": "Research use only.", "reference": "arXiv:1909.12919",
        "data": [{"name": "made up", "license": "none", "use": "none", "attribution": "none"}],
    }  # fmt: skip
    return save_bundle(folder / f"bright-{dims}d", model, metadata)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two heads of intensities, a template, and a scan with traced lesions."""
    root = tmp_path_factory.mktemp("data")
    for number, name in enumerate(("healthy_t1/a_SS", "healthy_t1/b_SS", "templates/mean")):
        head = phantom_head(np.random.default_rng(number), size=64)
        image = sitk.GetImageFromArray(draw_intensities(np.random.default_rng(number), "t1")[0][head.values])
        image.SetSpacing(head.spacing_mm)
        path = root / f"{name}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        sitk.WriteImage(image, str(path))
        if name == "templates/mean":
            mask = np.zeros(head.values.shape, np.uint8)
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
    for case, twin in zip(real.cases, real.normals, strict=True):
        image, mask, other = case.read().image, case.read().masks["masks"], twin.read().image
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
    settings = Settings(cases=4, judged=0, methods=("hrcam/sum", "hrcam/guided", "gradcam/last"), batch_size=4)
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
