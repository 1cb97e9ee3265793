"""Fixtures for the tests of bundles: a toy model, and no other. Torch is imported when one is asked for."""

from pathlib import Path

import pytest


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
