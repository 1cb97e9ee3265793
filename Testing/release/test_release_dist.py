"""The built package: complete, and it runs where nothing but it was installed."""

import subprocess
import sys
import tarfile
import zipfile

import hrcam
import pytest
from documents import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "Testing" / "release"))

pytestmark = pytest.mark.slow


PACKAGES = ("hrcam", "hrcam_train", "hrcam_research")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("build", reason="needs build (pip install 'hrcam[test]')")
    import check_dist

    return check_dist.build(tmp_path_factory.mktemp("dist"))


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel):
    run = subprocess.run(["git", "ls-files", *(f"HRCAMExtension/{package}" for package in PACKAGES)], cwd=REPOSITORY,
                         capture_output=True, text=True, check=False)
    if run.returncode:
        pytest.skip("this is no Git checkout")
    tracked = {path.removeprefix("HRCAMExtension/") for path in run.stdout.splitlines()
               if (REPOSITORY / path).is_file()}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.partition("/")[0] in PACKAGES}
    assert tracked - packed == set(), "add them to package-data in pyproject.toml"
    assert {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()} == {
        *PACKAGES, f"hrcam-{hrcam.__version__}.dist-info"}


def test_the_sdist_has_license_and_readme(wheel):
    archive, = wheel.parent.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert {"LICENSE.txt", "README.md", "pyproject.toml", "HRCAMExtension/hrcam/py.typed"} <= names


def test_the_installed_command_runs_in_a_clean_environment(wheel, tmp_path):
    import check_dist

    printed = check_dist.check(check_dist.install(wheel, tmp_path / "environment"), tmp_path)
    assert printed["version"].strip() == f"hrcam {hrcam.__version__}"
