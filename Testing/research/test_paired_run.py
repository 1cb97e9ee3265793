"""Whole trainings on pairs: on crops, on slices of volumes, and near weights that know pairs already."""

import json

import numpy as np
import pytest
import torch
from hrcam import HRCAM
from hrcam.localize import localize
from hrcam.networks.registry import build_network
from hrcam.scan.volume import volume_from_array
from hrcam_research.paired.config import PairedConfig
from hrcam_research.paired.run import run_paired_training
from hrcam_train.config import parse_config
from safetensors.torch import load_file, save_file
from train_data import settings


def paired_config(raw):
    return parse_config(raw, kind=PairedConfig)


@pytest.mark.parametrize("patch", [None, 32])
def test_pairs_train_from_generated_heads(tmp_path, patch):
    simulation = {"pairs_per_epoch": 8, "validation_pairs": 6, "phantoms": 3, "diameter_mm": [15.0, 30.0]}
    simulation |= {"patch": patch, "whole_epochs": 1}
    config = paired_config(
        settings(
            mode="joint", data__kind="paired", data__simulation=simulation, input__size=[48, 48], train__epochs=2,
            input__spacing_mm=4.5, train__batch_size=4,
        )
    )  # fmt: skip
    bundle = run_paired_training(config, tmp_path / "run", say=lambda _: None)
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["data"] == {
        "validation": {
            "blob": {"scans": 6, "images": 6, "patients": 1}, "none": {"scans": 6, "images": 6, "patients": 1},
        }
    }  # fmt: skip
    assert bundle.classes[0].pathology and bundle.build().num_classes == 2
    assert report["head"]["text"].startswith("Learnt from pairs" if patch else "Trained together")
    final = tmp_path / "run" / "final"
    assert (final / "whole" / "stage-one.safetensors").exists() == bool(patch), "whole images follow crops"
    assert (tmp_path / "run" / "curves.png").stat().st_size > 1000
    if patch:
        crops, whole = (load_file(folder / "stage-one.safetensors") for folder in (final, final / "whole"))
        assert not crops["head.weight"].equal(whole["head.weight"])
        cosine = torch.cosine_similarity(crops["head.weight"].flatten(), whole["head.weight"].flatten(), dim=0)
        assert cosine > 0.9, "it goes on from what crops taught"


def test_a_network_of_volumes_learns_from_slices_of_pairs(tmp_path):
    simulation = {"pairs_per_epoch": 4, "validation_pairs": 4, "phantoms": 3, "diameter_mm": [20.0, 30.0], "patch": 24}
    config = paired_config(
        settings(
            mode="joint", dimension=3, data__kind="paired", data__simulation=simulation, input__size=[32, 32, 32],
            input__spacing_mm=6.0, train__epochs=1, train__batch_size=2, fusion="guided",
            network={"name": "lite0_pyramid", "arguments": {"width": 4, "power": 2, "finest_stride": 4}},
        )
    )  # fmt: skip
    bundle = run_paired_training(config, tmp_path / "run", say=lambda _: None)
    assert bundle.dimension == 3 and bundle.levels == ("planes.4", "planes.8", "planes.16")
    learnt = load_file(tmp_path / "run" / "final" / "stage-one.safetensors")
    kernel = "cnn.pyramid.4.0.weight"
    assert learnt[kernel].ndim == 4
    np.testing.assert_allclose(bundle.build().state_dict()[kernel], learnt[kernel], atol=2e-3)  # stored in half
    volume = volume_from_array(np.random.default_rng(0).normal(100, 20, (20, 24, 22)), np.diag([8.0, 8, 8, 1]), "scan")
    result = localize(volume, bundle)
    assert result.map.shape == (20, 24, 22) and result.completeness_error < 1e-4


def test_a_network_of_volumes_may_keep_what_was_learnt_on_slices(tmp_path):
    """Its kernels stay as they are; of the head, little changes on whole volumes but the bias."""
    torch.manual_seed(0)
    cnn = build_network("lite0_pyramid", {"width": 4, "power": 4, "finest_stride": 4})
    flat = HRCAM(cnn, 2, levels=cnn.pyramid_levels)
    save_file(flat.state_dict(), tmp_path / "flat.safetensors")
    simulation = {"pairs_per_epoch": 4, "validation_pairs": 4, "phantoms": 3, "diameter_mm": [20.0, 30.0]}
    config = paired_config(
        settings(
            mode="head_only", dimension=3, data__kind="paired", data__simulation=simulation, input__size=[32, 32, 32],
            input__spacing_mm=6.0, train__batch_size=2, head__from_weights=True,
            network={"name": "lite0_pyramid", "arguments": {"width": 4, "power": 4, "finest_stride": 4},
                     "weights": str(tmp_path / "flat.safetensors")},
        )
    )  # fmt: skip
    bundle = run_paired_training(config, tmp_path / "run", say=lambda _: None)
    state, before = bundle.build().state_dict(), flat.state_dict()
    assert all(torch.allclose(state[key], before[key], atol=2e-3) for key in before if key.startswith("cnn."))
    taught, weight = (head["head.weight"][0] - head["head.weight"][1] for head in (before, state))
    assert torch.cosine_similarity(taught, weight, dim=0) > 0.5
    assert "near them on 8 whole images" in (tmp_path / "run" / "report.md").read_text()
