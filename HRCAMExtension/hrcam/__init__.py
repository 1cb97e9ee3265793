"""HR-CAM: precise localization of pathology from image-level labels (Shinde et al., MICCAI 2019, arXiv:1909.12919).

Importing this package needs neither torch nor numpy: each public name's file is imported when first asked for. The
function `localize` is imported from `hrcam.localize`, the file of the same name.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import BundleError, Cancelled, HRCAMError, InputError, ModelError, OutputError
from .version import __version__

if TYPE_CHECKING:
    from .bundle.bundle import Bundle, list_bundles, load_bundle
    from .bundle.write import install_bundle, save_bundle
    from .cam.levels.find import Level, find_levels
    from .cam.model import HRCAM, Evidence
    from .localize import Options
    from .run.result import Region, Result, SliceEvidence
    from .scan.volume import Volume, read_volume

_LAZY = {
    "Bundle": "bundle.bundle",
    "list_bundles": "bundle.bundle",
    "load_bundle": "bundle.bundle",
    "install_bundle": "bundle.write",
    "save_bundle": "bundle.write",
    "HRCAM": "cam.model",
    "Evidence": "cam.model",
    "Level": "cam.levels.find",
    "find_levels": "cam.levels.find",
    "Options": "localize",
    "Result": "run.result",
    "Region": "run.result",
    "SliceEvidence": "run.result",
    "Volume": "scan.volume",
    "read_volume": "scan.volume",
}

__all__ = [
    "HRCAM",
    "Bundle",
    "BundleError",
    "Cancelled",
    "Evidence",
    "HRCAMError",
    "InputError",
    "Level",
    "ModelError",
    "Options",
    "OutputError",
    "Region",
    "Result",
    "SliceEvidence",
    "Volume",
    "__version__",
    "find_levels",
    "install_bundle",
    "list_bundles",
    "load_bundle",
    "read_volume",
    "save_bundle",
]


def __getattr__(name: str) -> Any:
    """Import a public name's file when it is first used."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LAZY[name]}", __name__), name)


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
