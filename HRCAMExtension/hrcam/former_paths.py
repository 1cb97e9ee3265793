"""Import paths of version 0.1: ``from hrcam.volume import read_volume`` works as before the files lay in rooms."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

PATHS = {
    "hrcam.cases": "hrcam.scan.io.discovery",
    "hrcam.checks": "hrcam.scan.checks",
    "hrcam.fusion": "hrcam.cam.fusion",
    "hrcam.volume": "hrcam.scan.volume",
    "hrcam.writers": "hrcam.output.writers",
    "hrcam.simulate": "hrcam_research.simulate",
    "hrcam.simulate.case": "hrcam_research.simulate.case",
    "hrcam.simulate.head": "hrcam_research.simulate.head",
    "hrcam.simulate.lesion": "hrcam_research.simulate.lesion",
}
"""Former path to present one."""


class FormerPaths(MetaPathFinder, Loader):
    """Fills a module of a former path with the names of the present one. Python asks it last."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Take care of the former paths alone."""
        return ModuleSpec(name, self, is_package=name == "hrcam.simulate") if name in PATHS else None

    def exec_module(self, module: ModuleType) -> None:
        """Share the present module's names."""
        present = vars(import_module(PATHS[module.__name__]))
        module.__dict__.update({name: value for name, value in present.items() if not name.startswith("__")})


def keep_former_paths() -> None:
    """Let Python's import find them; once a process."""
    if not any(isinstance(finder, FormerPaths) for finder in sys.meta_path):
        sys.meta_path.append(FormerPaths())
