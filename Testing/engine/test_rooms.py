"""Each room offers the names it says, without importing anything until one is used; former import paths still work."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import hrcam
import hrcam_research
import hrcam_train
import pytest
from documents import REPOSITORY

ROOMS = [f"hrcam.{found.name}" for found in iter_modules(hrcam.__path__) if found.ispkg and found.name != "schemas"]
ROOMS += ["hrcam_train", *(f"hrcam_research.{room}" for room in ("evaluate", "paired", "simulate"))]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_does_and_offers_its_names(room):
    module = import_module(room)
    assert len(module.__doc__.strip().splitlines()) >= 3, "what it does, and where to start"
    assert module.__all__
    files = {found.name for found in iter_modules(module.__path__)}
    for name in module.__all__:
        assert name not in files, f"{room}.{name} would be now the name, now the file"
        assert getattr(module, name) is not None
        assert name in dir(module)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        module.nothing  # noqa: B018


@pytest.mark.parametrize("package", [hrcam_train, hrcam_research])
def test_packages_beside_the_engine_say_that_slicer_does_not_get_them(package):
    assert "Not installed into Slicer" in " ".join(package.__doc__.split())


def test_rooms_are_named_in_the_architecture_and_importing_them_all_needs_no_library():
    code = f"import sys, {', '.join(ROOMS)}; print({{'numpy', 'torch', 'typer'}} & sys.modules.keys())"
    run = subprocess.run([sys.executable, "-c", code], cwd=Path(hrcam.__file__).parents[1], capture_output=True,
                         text=True, check=False)
    assert run.stdout.strip() == "set()", run.stderr
    text = (REPOSITORY / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert not [room for room in ROOMS if room.startswith("hrcam.") and f"`{room.partition('.')[2]}/" not in text]


def test_imports_of_version_0_1_still_work():
    from hrcam.cases import discover
    from hrcam.checks import check_fit
    from hrcam.fusion import upsample
    from hrcam.scan.volume import Volume
    from hrcam.simulate.case import simulate_case
    from hrcam.simulate.head import Head, phantom_head
    from hrcam.simulate.lesion import LesionSpec
    from hrcam.volume import Volume as FormerVolume
    from hrcam.volume import read_volume, volume_from_array
    from hrcam.writers import write_result

    assert all((discover, check_fit, upsample, simulate_case, phantom_head, LesionSpec, read_volume, volume_from_array,
                write_result))
    assert FormerVolume is Volume
    assert Head is import_module("hrcam_research.simulate.head").Head
    with pytest.raises(ModuleNotFoundError, match=r"hrcam\.nowhere"):
        import_module("hrcam.nowhere")
