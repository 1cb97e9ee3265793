"""Model bundles: metadata, weights and card in a folder; loading, building the network, writing, installing.

`load_bundle` reads metadata alone and needs no torch; `Bundle.build` makes the network.
"""

from ..lazy import offer

__getattr__, __dir__, __all__ = offer(__name__, {
    "bundle": "DEFAULT_MODEL Bundle list_bundles load_bundle model_folders",
    "evidence_level": "EvidenceLevel",
    "install": "install_bundle",
    "write": "save_bundle",
})
