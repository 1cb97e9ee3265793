"""Fixtures of all tests: a model whose evidence is known exactly, scans for it, and a toy bundle.

Torch is imported when one is asked for.
"""

from pathlib import Path

import numpy as np
import pytest
from bright_blob import BLOB_METADATA, bright_blob_network

LESION_VALUE, TISSUE_VALUE = 1.4, 1.0


@pytest.fixture(scope="session")
def bright_blob_bundle(tmp_path_factory):
    """A real bundle folder on disk: 2D, classes lesion and no_lesion, sharp and deterministic; see `blob_volume`."""
    from hrcam import save_bundle

    return save_bundle(tmp_path_factory.mktemp("models") / "bright-blob", bright_blob_network(), BLOB_METADATA)


@pytest.fixture(scope="session")
def blob_volume():
    """Make a scan for `bright_blob_bundle`: a head of tissue with, or without, one bright lesion.

    ``blob_volume(size_ijk, spacing, direction, lesion_ras=(6, -5, 4), radius_mm=5, name="blob", noise=0.01)`` returns a
    `hrcam.scan.volume.Volume` whose center lies at RAS (0, 0, 0); ``lesion_ras=None`` leaves the lesion out. Shapes are
    drawn in physical space, so that the same head is seen whatever the grid; `noise` is relative to tissue.
    """
    from hrcam.scan.geometry import Geometry
    from hrcam.scan.volume import Volume

    def make(size_ijk=(48, 52, 44), spacing=(1.0, 1.0, 1.0), direction=None, lesion_ras=(6.0, -5.0, 4.0), radius_mm=5.0,
             name="blob", noise=0.01):
        direction = np.eye(3) if direction is None else np.asarray(direction, float)
        middle = direction @ ((np.asarray(size_ijk) - 1) / 2 * spacing)
        geometry = Geometry(tuple(size_ijk), tuple(-middle), tuple(spacing), direction)
        ijk = np.stack(np.meshgrid(*(np.arange(n) for n in size_ijk), indexing="ij"), axis=-1)
        ras = np.transpose(geometry.points_to_ras(ijk), (2, 1, 0, 3))  # KJI, 3
        inside = np.sum((ras / [19.0, 21.0, 19.0]) ** 2, axis=-1) < 1
        rng = np.random.default_rng(0)
        texture = 2 * noise * rng.random(inside.shape)
        array = np.where(inside, TISSUE_VALUE - texture, texture)
        if lesion_ras is not None:
            distance = np.linalg.norm(ras - np.asarray(lesion_ras), axis=-1) / radius_mm
            array += (LESION_VALUE - TISSUE_VALUE) * np.exp(-np.log(2) * distance**2)
        array += noise * rng.standard_normal(array.shape)
        return Volume(np.ascontiguousarray(1000 * array, np.float32), geometry, name)

    return make


@pytest.fixture
def no_models_of_this_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("HRCAM_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")


@pytest.fixture(scope="session")
def toy_network():
    import torch
    from bundle_data import ARGUMENTS
    from hrcam import HRCAM
    from hrcam.networks.registry import build_network

    torch.manual_seed(0)
    return HRCAM(build_network("vgg_small", ARGUMENTS), 2).eval()


@pytest.fixture
def toy_folder(toy_network, tmp_path):
    from bundle_data import metadata
    from hrcam import save_bundle

    return save_bundle(tmp_path / "models" / "toy", toy_network, metadata(), card="# Toy").path
