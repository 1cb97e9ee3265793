"""Names that a package offers, each imported with its file when first asked for (PEP 562)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def offer(package: str, files: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` of a package, from its files and the names it offers of each.

    ``offer("hrcam.scan", {"volume": "Volume read_volume"})`` makes ``from hrcam.scan import read_volume`` import
    ``hrcam.scan.volume``, and ``import hrcam.scan`` nothing.
    """
    file_of = {name: file for file, names in files.items() for name in names.split()}

    def find(name: str) -> Any:
        if name not in file_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{file_of[name]}"), name)

    return find, lambda: sorted(file_of), sorted(file_of)
