"""Bundles at the very bounds of what is allowed, and what counts where nothing is said."""

import json
import zipfile

import pytest
import safetensors.torch
import torch
from bundle_data import ARGUMENTS, metadata, rewrite
from hrcam import HRCAM, BundleError, OutputError, install_bundle, list_bundles, load_bundle
from hrcam import save_bundle as save
from hrcam.bundle import bundle
from hrcam.bundle import install as bundle_install
from hrcam.bundle.bundle import Bundle, check_metadata, imported_module, read_bundle, read_limited
from hrcam.bundle.metadata import check_document, parse
from hrcam.bundle.network import read_tensors
from hrcam.networks.registry import build_network

pytestmark = pytest.mark.usefixtures("no_models_of_this_machine")

MIB = 1 << 20
OWN = {"name": "import:some.module:build", "arguments": {}}


def document(folder, **changes):
    return json.loads((folder / "metadata.json").read_text("utf-8")) | changes


# What counts where nothing is said


def test_a_class_and_a_level_of_few_words_have_defaults(toy_folder):
    rewrite(toy_folder, lambda d: d["classes"][0].pop("color"))
    read = read_bundle(toy_folder)
    assert read.classes[0].color == (0.9, 0.2, 0.2)
    assert [level.of_peak for level in read.evidence_levels] == [0.0, 0.0]


def test_a_bundle_may_name_the_sequences_that_it_was_trained_on(toy_folder):
    assert "sequences" not in read_bundle(toy_folder).metadata
    rewrite(toy_folder, lambda d: d.update(sequences=["T1", "FLAIR"]))
    assert list(read_bundle(toy_folder).metadata["sequences"]) == ["T1", "FLAIR"]
    rewrite(toy_folder, lambda d: d.update(sequences=["T1", "T3"]))
    with pytest.raises(BundleError, match="sequences"):
        read_bundle(toy_folder)


def test_a_bundle_is_equal_only_to_itself_and_allows_no_import(toy_folder):
    first, second = Bundle(toy_folder, {}), Bundle(toy_folder, {})
    assert first == first and first != second and first.allow_import is False
    assert "allow_import" not in repr(first)


def test_code_of_a_bundle_is_refused_wherever_nobody_allowed_it(toy_folder, tmp_path, monkeypatch):
    rewrite(toy_folder, lambda d: d.update(architecture=OWN))
    for listed in ("", " ", "other", "some.mod", "some.module.build"):
        monkeypatch.setenv("HRCAM_ALLOW_IMPORT", listed)
        for load in (
            lambda: read_bundle(toy_folder),
            lambda: check_metadata(document(toy_folder)),
            lambda: install_bundle(toy_folder, tmp_path / "there"),
        ):
            with pytest.raises(BundleError, match=r"set HRCAM_ALLOW_IMPORT=some\.module, or"):
                load()
    for listed in ("some", "some.module", "other, some.module"):
        monkeypatch.setenv("HRCAM_ALLOW_IMPORT", listed)
        assert read_bundle(toy_folder).name == "toy"
    assert imported_module("import:some.module:build.it") == "some.module"


def test_hidden_folders_and_those_that_are_no_model_are_passed_over(toy_folder):
    hidden = toy_folder.rename(toy_folder.parent / ".toy")
    (hidden.parent / "notes").mkdir()
    problems = []
    listed = list_bundles(lambda folder, error: problems.append(folder))
    assert hidden not in [one.path for one in listed] and problems == []


def test_installing_replaces_only_when_allowed_and_makes_the_folders(toy_folder, tmp_path):
    there = tmp_path / "not" / "there" / "yet"
    assert install_bundle(toy_folder, there).path == there / "toy"
    with pytest.raises(OutputError, match="exists"):
        install_bundle(toy_folder, there)
    rewrite(toy_folder, lambda d: d.update(version="2.0.0"))
    assert install_bundle(toy_folder, there, overwrite=True).version == "2.0.0"
    assert [p.name for p in there.iterdir()] == ["toy"]


def test_saving_makes_the_folders_and_all_may_read_it(toy_network, tmp_path):
    saved = save(tmp_path / "not" / "there" / "toy", toy_network, metadata())
    assert saved.path.stat().st_mode & 0o777 == 0o755


def test_leftovers_that_cannot_be_removed_do_not_undo_a_model(toy_folder, toy_network, tmp_path, monkeypatch):
    def busy(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("os.rmdir", busy)
        assert install_bundle(toy_folder, tmp_path / "there").name == "toy"
        assert save(toy_folder, toy_network, metadata(version="3.0.0"), overwrite=True).version == "3.0.0"


# Bounds


@pytest.mark.parametrize("guarded", [True, False])
def test_a_file_may_have_as_many_bytes_as_the_limit(tmp_path, monkeypatch, guarded):
    if not guarded:  # as if the file grew between the look at it and the reading
        monkeypatch.setattr(bundle, "_check_file", lambda path, limit: None)
    path = tmp_path / "file"
    path.write_bytes(b"x" * 3 * MIB)
    assert len(read_limited(path, 3 * MIB)) == 3 * MIB
    path.write_bytes(b"x" * (3 * MIB + 1))
    with pytest.raises(BundleError, match="larger than 3 MB"):
        read_limited(path, 3 * MIB)


def test_numbers_are_read_up_to_18_digits_and_quoted_up_to_40():
    assert parse(b'{"n": 123456789012345678}') == {"n": 123456789012345678}
    with pytest.raises(ValueError, match=r"1234567890123456789… is too long"):
        parse(b'{"n": 1234567890123456789}')
    with pytest.raises(ValueError, match=f"^{'9' * 40}… is too long"):
        parse(b'{"n": ' + b"9" * 41 + b"}")
    with pytest.raises(ValueError, match=f"^{'9' * 40} is not a finite number"):
        parse(b'{"n": ' + b"9" * 400 + b".0}")


def test_the_fault_is_quoted_up_to_300_letters(toy_folder):
    with pytest.raises(BundleError) as error:
        check_document(document(toy_folder, name="X" * 1000))
    assert error.value.message == f"The model's metadata are not valid at name: '{'X' * 299}."


def test_planes_may_agree_on_the_weakest_level_itself(toy_folder):
    changed = document(toy_folder, agreement={"limit": 1.0, "temperature": 1.0})
    assert changed["agreement"]["limit"] == changed["evidence_levels"][0]["threshold"]
    check_document(changed)


def test_one_value_is_a_range_of_statistics(toy_folder):
    check_document(document(toy_folder, input_statistics={"mean": [0.3, 0.3]}))


@pytest.mark.parametrize(("scaling", "valid"), [
    ({"low": 5, "high": 5}, False), ({"low": 5, "high": 5.1}, True),
    ({"high": 1.0}, False), ({"high": 1.1}, True), ({"low": 99.5}, False), ({"low": 99.4}, True),
])  # fmt: skip
def test_the_intensity_scalings_own_defaults_count(toy_folder, scaling, valid):
    changed = document(toy_folder)
    changed["input"]["intensity"] = {"kind": "percentile"} | scaling
    if valid:
        check_document(changed)
    else:
        with pytest.raises(BundleError, match="low must be below high"):
            check_document(changed)


def test_the_largest_half_is_stored_as_half_and_counts_as_whole_numbers(tmp_path):
    network = HRCAM(build_network("vgg_small", ARGUMENTS), 2).eval()
    norm = network.cnn.stages[0][0][1]
    norm.running_var.fill_(65504.0)
    norm.num_batches_tracked.fill_(70_001)
    saved = save(tmp_path / "edge", network, metadata())
    stored = safetensors.torch.load_file(saved.path / "model.safetensors")
    variance, count = (f"cnn.stages.0.0.1.{name}" for name in ("running_var", "num_batches_tracked"))
    assert stored[variance].dtype == torch.float16 and float(stored[variance][0]) == 65504.0
    assert stored[count].dtype == torch.int64 and int(stored[count]) == 70_001
    read = read_tensors(saved.name, saved.weights())
    assert read[variance].dtype == torch.float32 and read[count].dtype == torch.int64


def test_metadata_are_written_as_they_are_read_and_never_hold_nan(toy_network, tmp_path):
    saved = save(tmp_path / "toy", toy_network, metadata(title="Métastase"))
    assert "Métastase" in (saved.path / "metadata.json").read_text("utf-8")
    with pytest.raises(BundleError, match="cannot be written as JSON"):
        save(tmp_path / "nan", toy_network, metadata(metrics={"accuracy": float("nan")}))
    assert not (tmp_path / "nan").exists()


# Zips at their bounds


def zipped(folder, path, prefix="", names=("metadata.json", "model.safetensors", "MODEL_CARD.md")):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.write(folder / name, prefix + name)
    return path


def test_a_zip_at_every_limit_is_installed_and_above_any_refused(toy_folder, tmp_path, monkeypatch):
    path = zipped(toy_folder, tmp_path / "toy.zip")
    sizes = {name: (toy_folder / name).stat().st_size for name in bundle_install._LIMITS}
    for number, (attribute, exact) in enumerate(
        {"_MAX_ZIP_BYTES": path.stat().st_size, "_MAX_ENTRIES": 3, "_LIMITS": sizes}.items()
    ):
        with monkeypatch.context() as patch:
            patch.setattr(bundle_install, attribute, exact)
            assert install_bundle(path, tmp_path / f"exact-{number}").name == "toy"
            smaller = {n: s - 1 for n, s in sizes.items()} if attribute == "_LIMITS" else exact - 1
            patch.setattr(bundle_install, attribute, smaller)
            with pytest.raises(BundleError, match=r"larger than|holds 3 files"):
                install_bundle(path, tmp_path / f"more-{number}")
            assert not (tmp_path / f"more-{number}").exists()


def test_limits_of_zips_are_told_in_megabytes(toy_folder, tmp_path, monkeypatch):
    path = tmp_path / "large.zip"
    with path.open("wb") as file:
        file.truncate(bundle_install._MAX_ZIP_BYTES + 1)  # sparse
    with pytest.raises(BundleError, match=f"larger than {bundle_install._MAX_ZIP_BYTES // MIB} MB"):
        install_bundle(path, tmp_path / "there")


def test_a_zip_needs_no_card_but_weights(toy_folder, tmp_path):
    bare = zipped(toy_folder, tmp_path / "bare.zip", names=("metadata.json", "model.safetensors"))
    assert install_bundle(bare, tmp_path / "there").card == ""
    empty = zipped(toy_folder, tmp_path / "empty.zip", names=("metadata.json", "MODEL_CARD.md"))
    with pytest.raises(BundleError, match=r"holds no model\.safetensors"):
        install_bundle(empty, tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


def test_a_zip_holds_its_model_in_one_folder_at_most(toy_folder, tmp_path):
    assert load_bundle(install_bundle(zipped(toy_folder, tmp_path / "one.zip", "a/"), tmp_path / "there").path)
    with pytest.raises(BundleError, match="does not hold one model"):
        install_bundle(zipped(toy_folder, tmp_path / "two.zip", "a/b/"), tmp_path / "elsewhere")
