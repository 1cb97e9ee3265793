"""Scratch for maps while one evaluation runs.

A threshold is chosen after all maps are known, and regions and surfaces need the maps again. Thirty methods on
hundreds of cases do not fit in memory, so they wait on disk, 16 bits a pixel between each map's own least and
greatest value (an error of at most 1/131070 of its range), in a private temporary folder that is gone when the run
ends.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType

import numpy as np

_STEPS = np.iinfo(np.uint16).max


class MapStore:
    """Maps by method and case number. Use it as a context manager."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="hrcam-evaluate-")
        self._index: dict[str, dict[int, tuple[int, tuple[int, ...], float, float]]] = {}

    def __enter__(self) -> MapStore:
        """The store itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Delete the folder."""
        self._folder.cleanup()

    def _path(self, method: str) -> Path:
        return Path(self._folder.name) / f"{list(self._index).index(method)}.u16"

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods in the order in which they first came."""
        return tuple(self._index)

    def add(self, method: str, case: int, values: np.ndarray) -> None:
        """Keep the map of a case."""
        rows = self._index.setdefault(method, {})
        low, high = float(values.min()), float(values.max())
        scaled = (values.astype(np.float64) - low) * (_STEPS / (high - low)) if high > low else np.zeros(values.shape)
        with self._path(method).open("ab") as file:
            rows[case] = (file.tell(), values.shape, low, high)
            file.write(np.rint(scaled).astype(np.uint16).tobytes())

    def cases(self, method: str) -> list[int]:
        """Numbers of the cases that the method has maps of, in order."""
        return sorted(self._index[method])

    def get(self, method: str, case: int) -> np.ndarray:
        """The map of a case, float32."""
        offset, shape, low, high = self._index[method][case]
        raw = np.fromfile(self._path(method), dtype=np.uint16, count=int(np.prod(shape)), offset=offset)
        return (low + raw.reshape(shape) * ((high - low) / _STEPS)).astype(np.float32)
