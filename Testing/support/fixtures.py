"""Fixtures of all tests: a model whose evidence is known exactly, scans for it, and a toy bundle.

Torch is imported when one is asked for.
"""

from pathlib import Path

import pytest
from bright_blob import BLOB_METADATA, bright_blob_network, make_blob_volume


@pytest.fixture(scope="session")
def bright_blob_bundle(tmp_path_factory):
    """A real bundle folder on disk: 2D, classes lesion and no_lesion, sharp and deterministic; see `blob_volume`."""
    from hrcam import save_bundle

    return save_bundle(tmp_path_factory.mktemp("models") / "bright-blob", bright_blob_network(), BLOB_METADATA)


@pytest.fixture(scope="session")
def blob_volume():
    """Make a scan for `bright_blob_bundle`, see `bright_blob.make_blob_volume`."""
    return make_blob_volume


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
