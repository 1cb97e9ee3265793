"""The small CNNs that bundles may name, their parts, and networks of other libraries by name (`library`).

Needs torch once a name is used. A new network is a line in `ARCHITECTURES`.
"""

from ..lazy import offer

__getattr__, __dir__, __all__ = offer(__name__, {
    "registry": "ARCHITECTURES build_network",
    "efficientnet_lite0": "pretrained_encoder",
})
