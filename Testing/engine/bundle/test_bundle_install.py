"""Models from a zip or a folder: installed whole, or refused with nothing left."""

import errno
import stat
import zipfile
from pathlib import Path

import pytest
from bundle_data import metadata
from hrcam import BundleError, OutputError, install_bundle, load_bundle, save_bundle

pytestmark = pytest.mark.usefixtures("no_models_of_this_machine")


def zipped(folder, path, prefix="toy/", extra=()):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, prefix + file.name)
        for entry, content in extra:
            archive.writestr(entry, content)
    return path


@pytest.mark.parametrize("prefix", ["", "toy/"])
def test_a_zip_is_installed(toy_folder, tmp_path, prefix):
    installed = install_bundle(zipped(toy_folder, tmp_path / "toy.zip", prefix), tmp_path / "there")
    assert installed.path == tmp_path / "there" / "toy" and installed.card == "# Toy"
    assert [p.name for p in (tmp_path / "there").iterdir()] == ["toy"]
    with pytest.raises(OutputError, match="exists"):
        install_bundle(toy_folder, tmp_path / "there")


def test_a_folder_is_installed_where_models_are_looked_for(toy_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HRCAM_MODELS", str(tmp_path / "new"))
    assert install_bundle(toy_folder).path == tmp_path / "new" / "toy"
    assert load_bundle("toy").path == tmp_path / "new" / "toy"


def link(name):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ([("../evil", b"x")], "leaves its folder"),
        ([("/etc/evil", b"x")], "leaves its folder"),
        ([("..\\evil", b"x")], "leaves its folder"),
        ([("C:\\evil", b"x")], "leaves its folder"),
        ([(link("toy/more"), b"/etc/passwd")], "holds a link"),
        ([("other/metadata.json", b"{}")], "does not hold one model"),
        ([(f"toy/{i}", b"") for i in range(1001)], "holds 100[0-9] files"),
    ],
)
def test_hostile_zips_are_refused_and_leave_nothing(toy_folder, tmp_path, extra, message):
    with pytest.raises(BundleError, match=message):
        install_bundle(zipped(toy_folder, tmp_path / "evil.zip", extra=extra), tmp_path / "there")
    assert not (tmp_path / "there").exists() and not (tmp_path / "evil").exists()


def test_a_zip_bomb_is_stopped_at_the_limit(toy_folder, tmp_path):
    (toy_folder / "MODEL_CARD.md").write_bytes(b"\0" * (2 << 20))
    path = zipped(toy_folder, tmp_path / "bomb.zip")
    assert path.stat().st_size < 1 << 20
    with pytest.raises(BundleError, match="larger than 1 MB"):
        install_bundle(path, tmp_path / "there")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_damaged_in_its_data_is_refused(toy_folder, tmp_path, method):
    path = tmp_path / "damaged.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in toy_folder.iterdir():
            archive.write(file, file.name)
    content = bytearray(path.read_bytes())
    content[60:200] = b"\xff" * 140
    path.write_bytes(content)
    with pytest.raises(BundleError, match="not a zip that can be read"):
        install_bundle(path, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_a_zip_whose_list_of_contents_could_fill_the_memory_is_not_opened(tmp_path, monkeypatch):
    path = tmp_path / "giant.zip"
    with path.open("wb") as file:
        file.truncate(2 << 30)  # sparse
    monkeypatch.setattr(zipfile, "ZipFile", None)
    with pytest.raises(BundleError, match="larger than"):
        install_bundle(path, tmp_path / "there")


def test_a_full_disk_is_named_when_a_model_is_added(toy_folder, tmp_path, monkeypatch):
    def full(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"cannot be written: No space left on device\. Is the disk full"):
        install_bundle(toy_folder, tmp_path / "there")
    assert list((tmp_path / "there").iterdir()) == []


def test_what_is_no_zip_or_damaged_is_refused(toy_folder, tmp_path):
    (tmp_path / "no.zip").write_bytes(b"PK\3\4 not really")
    with pytest.raises(BundleError, match="not a zip"):
        install_bundle(tmp_path / "no.zip", tmp_path / "there")
    with pytest.raises(BundleError, match="no file or folder"):
        install_bundle(tmp_path / "nothing.zip")
    (toy_folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(BundleError, match="checksum"):
        install_bundle(toy_folder, tmp_path / "there")
    assert list((tmp_path / "there").iterdir()) == []


def test_a_place_below_a_file_is_named(toy_folder, toy_network, tmp_path):
    (tmp_path / "file").write_text("no folder")
    for add in (lambda place: install_bundle(toy_folder, place),
                lambda place: save_bundle(place / "toy", toy_network, metadata())):
        with pytest.raises(OutputError, match=r"file.* cannot be written: .*\. Choose another folder\."):
            add(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "no folder"
