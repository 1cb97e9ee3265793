"""A network that looks at volumes in three planes learns from slices: crops of these cost a tenth of those of volumes.

Its kernels and its head are those of the network of slices, until the head is fitted on whole volumes: both have one
level for each stride, so one loads the other's state dict.
"""

from hrcam.networks.efficientnet_lite0 import Lite0Pyramid
from hrcam_train.network import build_cnn

from hrcam_research.paired.config import PairedConfig


def config_of_slices(config: PairedConfig) -> PairedConfig:
    """The same training on slices of the volumes that `config` draws; `config` itself for any other network."""
    if config.dimension != 3 or config.network.name != "lite0_pyramid":
        return config
    flat, _ = build_cnn(config.network, len(config.classes), 2)
    assert isinstance(flat, Lite0Pyramid)
    network = config.network.model_copy(update={"levels": flat.pyramid_levels})
    taken = {"size": config.input.size[1:], "spacing_mm": list(config.input.spacings[1:])}
    return config.model_copy(
        update={"dimension": 2, "network": network, "input": config.input.model_copy(update=taken)}
    )
