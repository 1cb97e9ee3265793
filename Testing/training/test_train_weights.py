"""Weights that a training starts from: a file, a bundle, a 2D network for a 3D one."""

from pathlib import Path

import pytest
import safetensors.torch
import torch
from hrcam import ModelError
from hrcam.bundle.bundle import load_bundle
from hrcam.errors import BundleError
from hrcam.networks.registry import build_network
from hrcam_train.config import TrainConfig, parse_config
from hrcam_train.network import build_hrcam, learnt_hrcam, load_weights
from torch import nn
from train_data import settings


def config(dimension: int, weights: str, **arguments: object) -> TrainConfig:
    network = {"name": "lite0_pyramid", "arguments": arguments, "weights": weights}
    return parse_config(settings(mode="joint", dimension=dimension, input__size=[32] * dimension, network=network))


@pytest.fixture
def flat(tmp_path: Path) -> tuple[Path, nn.Module]:
    torch.manual_seed(3)
    cnn = build_network("lite0_pyramid", {"width": 8})
    safetensors.torch.save_file(cnn.state_dict(), tmp_path / "flat.safetensors")
    return tmp_path / "flat.safetensors", cnn


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_2d_networks_weights_start_one_of_either_dimension(flat: tuple[Path, nn.Module], dimension: int) -> None:
    path, cnn = flat
    hrcam, _ = build_hrcam(config(dimension, str(path), width=8))
    assert hrcam.num_dims == dimension
    for name, value in hrcam.cnn.state_dict().items():
        torch.testing.assert_close(value, cnn.state_dict()[name])


def test_a_bundle_starts_a_network_by_its_name() -> None:
    bundle = load_bundle("simulated-lesion")
    arguments = bundle.metadata["architecture"]["arguments"]
    started = build_hrcam(config(2, "simulated-lesion", **arguments))[0].cnn.state_dict()
    expected = bundle.build().cnn.state_dict()
    for name, value in started.items():
        torch.testing.assert_close(value, expected[name])


def test_weights_that_cannot_serve_are_explained(flat: tuple[Path, nn.Module], tmp_path: Path) -> None:
    path, _ = flat
    with pytest.raises(ModelError, match=r"not of this network.*Check name and arguments"):
        load_weights(build_network("lite0_pyramid", {"width": 16}), path)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="cannot be read"):
        load_weights(build_network("lite0_pyramid", {"width": 8}), broken)
    with pytest.raises(BundleError, match="no-such-model"):
        build_hrcam(config(2, "no-such-model"))


def test_a_head_comes_with_the_weights_of_a_bundle(flat: tuple[Path, nn.Module]) -> None:
    bundle = load_bundle("simulated-lesion")
    given = config(2, "simulated-lesion", **bundle.metadata["architecture"]["arguments"])
    given = given.model_copy(update={"network": given.network.model_copy(update={"levels": list(bundle.levels)})})
    learnt = learnt_hrcam(given)
    torch.testing.assert_close(learnt.state_dict(), bundle.build().state_dict())
    with pytest.raises(ModelError, match=r"have no head for this network.*head\.from_weights to false"):
        learnt_hrcam(config(2, str(flat[0]), width=8))
