"""The former place of `hrcam_research.simulate`, for code written for version 0.1. Not part of the Slicer extension."""

import sys
from importlib import import_module

for _name in ("case", "head", "lesion"):
    sys.modules[f"{__name__}.{_name}"] = import_module(f"hrcam_research.simulate.{_name}")
