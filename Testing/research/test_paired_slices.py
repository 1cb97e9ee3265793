"""A network that looks at volumes in planes: what it takes over from one of slices."""

import pytest
import torch
from hrcam import HRCAM
from hrcam.networks.registry import build_network
from hrcam_research.paired.config import PairedConfig
from hrcam_research.paired.slices import config_of_slices
from hrcam_train.config import parse_config
from train_data import settings


def config(**changes):
    kind = "nigral_loss" if changes.get("dimension") == 3 else "lesion"
    given = settings(mode="joint", data={"kind": "paired", "simulation": {"kind": kind}})
    return parse_config(given | changes, kind=PairedConfig)


@pytest.mark.parametrize(("power", "kind"), [(1, "pyramid"), (2, "power")])
def test_slices_of_volumes_have_the_last_two_axes(power, kind):
    given = {"size": [64, 48, 32], "spacing_mm": [3.0, 2.0, 1.0], "planes": ["coronal"]}
    network = {"name": "lite0_pyramid", "arguments": {"width": 4, "power": power}, "weights": "simulated-lesion"}
    planar = config_of_slices(config(dimension=3, input=given, network=network))
    assert planar.dimension == 2 and planar.input.size == [48, 32] and planar.input.spacings == (2.0, 1.0)
    assert planar.network.levels == [f"{kind}.{stride}" for stride in (2, 4, 8, 16)]
    assert planar.input.planes == ["coronal"] and planar.network.weights == "simulated-lesion"


def test_other_networks_learn_from_what_they_look_at():
    flat = config(network={"name": "lite0_pyramid", "arguments": {"width": 4}})
    volumes = config(dimension=3, input={"size": [32, 32, 32]})
    assert config_of_slices(flat) is flat and config_of_slices(volumes) is volumes


def test_a_volume_gets_what_was_learnt_on_slices_head_and_all():
    torch.manual_seed(0)
    arguments = {"width": 4, "power": 2, "finest_stride": 4}
    cnns = [build_network("lite0_pyramid", arguments | {"dims": dims}) for dims in (2, 3)]
    flat, volume = (HRCAM(cnn, 2, levels=cnn.pyramid_levels).eval() for cnn in cnns)
    volume.load_state_dict(flat.state_dict())
    strides = [[level.name.rpartition(".")[2] for level in hrcam.levels] for hrcam in (flat, volume)]
    assert strides[0] == strides[1] == ["4", "8", "16"]
    assert volume.head.weight.equal(flat.head.weight) and volume.head.bias.equal(flat.head.bias)
    for name, value in flat.cnn.state_dict().items():
        assert volume.cnn.state_dict()[name].equal(value)
