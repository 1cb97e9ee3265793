"""Fixtures for all tests of the engine, of training and of research."""

from fixtures import (  # noqa: F401
    blob_volume,
    bright_blob_bundle,
    no_models_of_this_machine,
    toy_folder,
    toy_network,
)
