"""Fixtures on the Slicer host: one application and one scene for the whole run, emptied after each test."""

import sys
from pathlib import Path

import pytest
from fixtures import blob_volume, bright_blob_bundle  # noqa: F401

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(REPOSITORY))


def pytest_configure(config):
    # Slicer's VTKObservationMixin only warns, on the user's console, of an observer that was added or removed twice.
    config.addinivalue_line("filterwarnings", "error:(already has|does not have) observer:UserWarning")


@pytest.fixture(scope="session")
def _runningHost():
    pytest.importorskip("slicer", reason="the Slicer host needs slicer-core (pip install 'hrcam[scene,test]')")
    pytest.importorskip("PySide6", reason="the Slicer host needs PySide6 (pip install 'hrcam[test]')")
    from Testing import host

    running = host.start()
    yield running
    running.stop()


@pytest.fixture
def slicerHost(_runningHost):
    """The host without main window. An exception in a slot fails the test, unless the test clears `errors`."""
    yield _runningHost
    errors = list(_runningHost.errors)
    _runningHost.clear()
    assert not errors, f"exceptions in slots: {errors}"


@pytest.fixture
def mainWindow(slicerHost):
    """Slicer's main window with slice and 3D views; skipped, with the reason, where nothing can be rendered."""
    from Testing.host.views import openGLProblem

    if openGLProblem():
        pytest.skip(openGLProblem())
    yield slicerHost.openMainWindow()
    slicerHost.closeMainWindow()
