"""Where the engine (the Python package ``hrcam``) is, and the models that it offers.

In an installed extension ``hrcam`` lies beside the module in ``qt-scripted-modules`` and is importable already. When
the module is loaded from a source checkout ("Additional module paths"), the engine is in ``../HRCAMExtension``.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from slicer.i18n import tr as _

MODULE_FOLDER = Path(__file__).resolve().parent.parent
SOURCE_ENGINE = MODULE_FOLDER.parent / "HRCAMExtension"


def ensureEngineOnPath() -> Path:
    """Make ``import hrcam`` work and return the folder that holds the package.

    Raises
    ------
    RuntimeError : the engine is neither installed nor beside the module.

    Example
    -------
    >>> (ensureEngineOnPath() / "hrcam" / "__init__.py").exists()
    True
    """
    spec = importlib.util.find_spec("hrcam")
    if spec is None and (SOURCE_ENGINE / "hrcam" / "__init__.py").is_file():
        sys.path.append(str(SOURCE_ENGINE))
        importlib.invalidate_caches()
        spec = importlib.util.find_spec("hrcam")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(_(
            "The HR-CAM engine was not found in {module} or {engine}. Install the HRCAM extension again, or add the "
            "HRCAMModule folder of a complete checkout.").format(module=MODULE_FOLDER, engine=SOURCE_ENGINE))
    return Path(next(iter(spec.submodule_search_locations))).parent


def defaultModel() -> str:
    """Name of the model that is used where none is named, as in every command of the engine."""
    ensureEngineOnPath()
    from hrcam.bundle.bundle import DEFAULT_MODEL

    return DEFAULT_MODEL
