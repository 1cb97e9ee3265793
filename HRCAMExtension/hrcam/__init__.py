"""HR-CAM: precise localization of pathology from image-level labels (Shinde et al., MICCAI 2019, arXiv:1909.12919).

Importing this package, or one of its rooms, needs neither torch nor numpy: each public name's file is imported when
first asked for. The function `localize` is imported from `hrcam.localize`, the file of the same name.
"""

from typing import TYPE_CHECKING

from .errors import BundleError, Cancelled, HRCAMError, InputError, ModelError, OutputError
from .former_paths import keep_former_paths
from .lazy import offer
from .version import __version__

if TYPE_CHECKING:
    from .bundle.bundle import Bundle, list_bundles, load_bundle
    from .bundle.install import install_bundle
    from .bundle.write import save_bundle
    from .cam.levels.find import Level, find_levels
    from .cam.model import HRCAM, Evidence
    from .run.options import Options
    from .run.result import Region, Result, SliceEvidence
    from .scan.volume import Volume, read_volume

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

__getattr__, __dir__, _ = offer(__name__, {
    "bundle": "Bundle install_bundle list_bundles load_bundle save_bundle",
    "cam": "HRCAM Evidence Level find_levels",
    "run": "Options Region Result SliceEvidence",
    "scan": "Volume read_volume",
})
keep_former_paths()
