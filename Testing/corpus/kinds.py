"""How a kind of input is declared, and the small head that all kinds start from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

SIZE_IJK = (26, 30, 12)
SPACING = (6.0, 6.5, 9.0)


@dataclass(frozen=True)
class Kind:
    """One kind of input: ``make(folder)`` writes it and returns the path to give; ``says`` is a part of the error that
    must come, or None where the input is good.
    """

    name: str
    says: str | None
    make: Callable[[Path], Path | str]


KINDS: dict[str, Kind] = {}


def kind(says: str | None) -> Callable[[Callable[[Path], Path | str]], Callable[[Path], Path | str]]:
    """Register a maker under its function's name."""

    def register(make: Callable[[Path], Path | str]) -> Callable[[Path], Path | str]:
        name = make.__name__
        if name in KINDS:
            raise ValueError(f"two kinds are called {name}")
        KINDS[name] = Kind(name, says, make)
        return make

    return register


def head(size_ijk: tuple[int, int, int] = SIZE_IJK) -> np.ndarray:
    """An ellipsoid with noise, int16 KJI."""
    axes = [np.linspace(-1.2, 1.2, n) if n > 1 else np.zeros(1) for n in reversed(size_ijk)]
    k, j, i = np.meshgrid(*axes, indexing="ij")
    noise = np.random.default_rng(7).normal(0, 25, i.shape)
    return ((i**2 + j**2 + k**2 < 1) * 500 + 60 + noise).clip(0).astype(np.int16)


def image(array: np.ndarray | None = None) -> sitk.Image:
    """The head (or another array) as an ITK image with its spacing."""
    made = sitk.GetImageFromArray(head() if array is None else array)
    made.SetSpacing((*SPACING, 1.0, 1.0)[: made.GetDimension()])
    return made


def write(path: Path, what: sitk.Image | np.ndarray | None = None, compress: bool = False) -> Path:
    """Write an image, an array or the head to ``path``."""
    sitk.WriteImage(what if isinstance(what, sitk.Image) else image(what), str(path), useCompression=compress)
    return path


def cut(path: Path, keep: float) -> Path:
    """Keep the first part of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    return path


def flip(path: Path, at: int) -> Path:
    """Invert one byte of a file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(bytes(content))
    return path


def replace(path: Path, old: bytes, new: bytes) -> Path:
    """Replace a part of a file that must be there."""
    content = path.read_bytes()
    if old not in content:
        raise ValueError(f"{path.name} does not contain {old!r}")
    path.write_bytes(content.replace(old, new, 1))
    return path
