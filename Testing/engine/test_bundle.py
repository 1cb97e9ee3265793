"""Bundles: what is written is read back; what is damaged, hostile or contradictory is refused in words."""

import errno
import hashlib
import json
import os
import pickle
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import hrcam
import numpy as np
import pytest
import safetensors.torch
import torch
from hrcam import (
    HRCAM,
    BundleError,
    OutputError,
    bundle,
    bundle_network,
    install_bundle,
    list_bundles,
    load_bundle,
    save_bundle,
)
from hrcam.networks import build_network
from torch import nn

ARGUMENTS = {"width": 2, "stages": 2, "depth": 1}


def metadata(**changes):
    document = {
        "name": "toy",
        "version": "1.2.0",
        "title": "Toy",
        "description": "For tests.",
        "task": "classification",
        "classes": [
            {"name": "lesion", "pathology": True, "color": [0.9, 0.2, 0.2], "terminology": None},
            {"name": "no_lesion", "pathology": False},
        ],
        "modality": "MR T1",
        "dimension": 2,
        "input": {
            "planes": ["axial"],
            "size": [32, 48],
            "spacing_mm": 1.5,
            "intensity": {"kind": "percentile", "low": 1.0, "high": 99.5, "foreground": "otsu", "per": "volume"},
        },
        "architecture": {"name": "vgg_small", "arguments": ARGUMENTS},
        "volume_rule": {"kind": "top_mean", "fraction": 0.1, "temperature": 1.0, "bias": [0.0, 0.1]},
        "temperature": 1.3,
        "evidence_levels": [
            {"name": "possible", "threshold": 1.0, "color": [1, 1, 0]},
            {"name": "strong", "threshold": 3.0, "color": [1, 0, 0]},
        ],
        "input_statistics": {"mean": [0.1, 0.4]},
        "metrics": {"accuracy": 0.9},
        "data": [{"name": "made up", "license": "CC0-1.0", "use": "training", "attribution": "none"}],
        "intended_use": "Research use only.",
        "reference": "arXiv:1909.12919",
    }
    return document | changes


@pytest.fixture(autouse=True)
def no_models_of_this_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("HRCAM_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return HRCAM(build_network("vgg_small", ARGUMENTS), 2).eval()


@pytest.fixture
def folder(network, tmp_path):
    return save_bundle(tmp_path / "models" / "toy", network, metadata(), card="# Toy").path


def rewrite(folder, change):
    """Change the metadata of a bundle by a function."""
    path = folder / "metadata.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def reweigh(folder, change):
    """Change the tensors of a bundle by a function, with a checksum that fits."""
    path = folder / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    change(tensors)
    content = safetensors.torch.save({k: v.contiguous() for k, v in tensors.items()})
    path.unlink()
    path.write_bytes(content)
    rewrite(folder, lambda d: d.update(sha256=hashlib.sha256(content).hexdigest()))


def test_what_is_saved_is_loaded(network, folder):
    loaded = load_bundle("toy")
    assert loaded.path == folder
    assert (loaded.name, loaded.version, loaded.title, loaded.dimension) == ("toy", "1.2.0", "Toy", 2)
    assert loaded.class_names == ("lesion", "no_lesion")
    assert [c.title for c in loaded.classes] == ["lesion", "no lesion"]
    assert loaded.input.size == (32, 48) and loaded.input.spacing_mm == (1.5, 1.5) and loaded.input.planes == ("axial",)
    assert [(e.name, e.threshold) for e in loaded.evidence_levels] == [("possible", 1.0), ("strong", 3.0)]
    assert loaded.levels == ("stages.0", "stages.1") and loaded.fusion == "sum" and loaded.temperature == 1.3
    assert loaded.volume_rule["fraction"] == 0.1 and loaded.input_statistics == {"mean": (0.1, 0.4)}
    assert loaded.card == "# Toy" and loaded.metrics == {"accuracy": 0.9} and loaded.modality == "MR T1"

    built = loaded.build()
    assert not built.training and all(p.dtype == torch.float32 and not p.requires_grad for p in built.parameters())
    x = torch.rand(1, 1, 32, 48)
    torch.testing.assert_close(built.evidence(x).maps, network.evidence(x).maps, rtol=5e-3, atol=5e-3)


def test_weights_are_stored_in_half_precision_unless_they_do_not_fit(network, tmp_path):
    huge = HRCAM(build_network("vgg_small", ARGUMENTS), 2).eval()
    huge.cnn.stages[0][0][1].running_var.fill_(1e6)
    path = save_bundle(tmp_path / "huge", huge, metadata()).path
    tensors = safetensors.torch.load_file(path / "model.safetensors")
    assert tensors["cnn.stages.0.0.1.running_var"].dtype == torch.float32
    assert tensors["head.weight"].dtype == torch.float16
    assert float(load_bundle(path).build().cnn.stages[0][0][1].running_var[0]) == 1e6


def test_a_bundle_can_be_sent_to_another_process(folder):
    assert pickle.loads(pickle.dumps(load_bundle(folder))).name == "toy"


def test_a_3d_network_travels_too(tmp_path):
    arguments = ARGUMENTS | {"dims": 3}
    volume = HRCAM(build_network("vgg_small", arguments), 2)
    given = metadata()["input"] | {"size": [16, 32, 32], "spacing_mm": [3, 1, 1]}
    saved = save_bundle(
        tmp_path / "volume",
        volume,
        metadata(dimension=3, input=given, architecture={"name": "vgg_small", "arguments": arguments}),
    )
    assert saved.input.spacing_mm == (3.0, 1.0, 1.0) and saved.build().num_dims == 3


def test_models_are_listed_and_bad_ones_reported(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "models" / "broken")
    (tmp_path / "models" / "broken" / "metadata.json").write_text("{")
    home = tmp_path / "home" / ".hrcam" / "models" / "toy"
    shutil.copytree(folder, home)
    problems = []
    found = [b for b in list_bundles(lambda path, error: problems.append((path.name, str(error)))) if b.name == "toy"]
    assert [b.path for b in found] == [folder]  # $HRCAM_MODELS comes before the home folder
    assert len(problems) == 1 and problems[0][0] == "broken" and "not valid JSON" in problems[0][1]


def test_models_can_be_listed_without_torch(folder):
    code = (
        "import sys; sys.modules['torch'] = None; import hrcam; "
        "assert 'toy' in [b.name for b in hrcam.list_bundles()]; hrcam.load_bundle('toy'); print('listed')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "listed", done.stderr


def test_every_public_name_exists_or_is_being_loaded_lazily():
    assert set(hrcam.__all__) >= {"HRCAM", "find_levels", "load_bundle", "save_bundle", "HRCAMError"}
    assert hrcam.HRCAM is HRCAM and "HRCAM" in dir(hrcam)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = hrcam.nonsense


@pytest.mark.parametrize("name", ["missing", "", "../toy", "a\0b", "/nowhere/at/all"])
def test_a_model_that_is_not_there_is_named_with_what_is(folder, name):
    with pytest.raises(BundleError, match=r"model.*(Available: .*toy)"):
        load_bundle(name)


def change_classes(document):
    document["classes"][1]["name"] = "lesion"


METADATA_FAULTS = {
    "another format": (lambda d: d.update(format="onnx"), "not valid at format"),
    "a later version": (lambda d: d.update(format_version=2), "format_version"),
    "missing field": (lambda d: d.pop("temperature"), "'temperature' is a required property"),
    "unknown field": (lambda d: d.update(execute="rm"), "execute"),
    "a path as name": (lambda d: d.update(name="../../etc"), "not valid at name"),
    "a name that is a device of Windows": (lambda d: d.update(name="con"), "cannot be a folder's"),
    "a name that Windows shortens": (lambda d: d.update(name="toy."), "cannot be a folder's"),
    "temperature 0": (lambda d: d.update(temperature=0), "temperature"),
    "temperature that divides to infinity": (lambda d: d.update(temperature=1e-300), "temperature"),
    "rule's temperature, too": (lambda d: d["volume_rule"].update(temperature=1e-300), "volume_rule.temperature"),
    "bias that drowns all": (lambda d: d["volume_rule"].update(bias=[1e308, -1e308]), "volume_rule.bias"),
    "threshold out of reach": (lambda d: d["evidence_levels"][0].update(threshold=-1e300), "threshold"),
    "spacing of an atom": (lambda d: d["input"].update(spacing_mm=1e-9), "input.spacing_mm"),
    "range that ends before it begins": (lambda d: d.update(input_statistics={"entropy": [2, 1]}), "ends before"),
    "an unknown plane": (lambda d: d["input"].update(planes=["diagonal"]), "input.planes"),
    "a huge image": (lambda d: d["input"].update(size=[10**6, 10**6]), "input.size"),
    "color above 1": (lambda d: d["classes"][0].update(color=[255, 0, 0]), "color"),
    "one class": (lambda d: d["classes"].pop(), "classes"),
    "twice the same class": (change_classes, "two classes have the same name"),
    "no pathology": (lambda d: d["classes"][0].update(pathology=False), "no class is a pathology"),
    "3 sizes in 2D": (lambda d: d["input"].update(size=[32, 32, 32]), "input.size must have 2"),
    "3 spacings in 2D": (lambda d: d["input"].update(spacing_mm=[1, 1, 1]), "input.spacing_mm must have 2"),
    "bias of another length": (lambda d: d["volume_rule"].update(bias=[0.0]), "volume_rule.bias"),
    "levels that fall": (lambda d: d["evidence_levels"].reverse(), "evidence_levels must rise"),
    "shares that fall": (lambda d: d["evidence_levels"][0].update(of_peak=0.9), "of_peak must not fall"),
    "low above high": (lambda d: d["input"]["intensity"].update(low=99.9), "low must be below high"),
    "code": (lambda d: d["architecture"].update(name="import:os:system", arguments={}), "allow_import=True"),
    "nested arguments": (lambda d: d["architecture"].update(arguments={"width": {"a": 1}}), "architecture.arguments"),
}


@pytest.mark.parametrize("fault", METADATA_FAULTS)
def test_metadata_that_are_wrong_are_refused(folder, fault):
    change, message = METADATA_FAULTS[fault]
    rewrite(folder, change)
    with pytest.raises(BundleError, match=message):
        load_bundle(folder)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"temperature": NaN}', b"\xff\xfe", b"[" * 100_000, b'"x"' + b" " * (1 << 20)]
)
def test_metadata_that_are_no_metadata_are_refused(folder, content):
    (folder / "metadata.json").write_bytes(content)
    with pytest.raises(BundleError):
        load_bundle(folder)


@pytest.mark.parametrize(("number", "message"), [
    ("1e999", "1e999 is not a finite number"), ("-Infinity", "-Infinity is not a finite number"),
    ("1" + "0" * 400, "too long a number"), ("1" + "0" * 9000, "too long a number"),
    ('"\\ud800"', "surrogates not allowed"),
])
def test_what_json_allows_and_nothing_can_hold_is_refused(folder, number, message):
    text = (folder / "metadata.json").read_text("utf-8")
    (folder / "metadata.json").write_text(text.replace('"Toy"', number, 1), "utf-8")
    with pytest.raises(BundleError, match=message):
        load_bundle(folder)


LARGE = {"width": 512, "stages": 7, "max_width": 2048}

BUILD_FAULTS = {
    "unknown architecture": (lambda d: d["architecture"].update(name="resnet9000"), "no architecture 'resnet9000'"),
    "unknown argument": (lambda d: d["architecture"].update(arguments={"colour": 1}), "does not take these arguments"),
    "absurd size": (lambda d: d["architecture"].update(arguments={"width": 10**9}), "integer from 1 to 512"),
    "true for a number": (lambda d: d["architecture"].update(arguments={"stages": True}), "stages is True"),
    "another network": (lambda d: d["architecture"].update(arguments=ARGUMENTS | {"width": 4}), "do not fit"),
    "large network": (lambda d: d["architecture"].update(arguments=LARGE), "do not fit"),
    "unknown level": (lambda d: d.update(levels=["stages.0", "stages.9"]), "no module 'stages.9'"),
    "levels in another order": (lambda d: d.update(levels=["stages.1", "stages.0"]), "has stages.0, stages.1"),
    "fewer levels": (lambda d: d.update(levels=["stages.0"]), "do not fit its head"),
    "more classes": (
        lambda d: (d["classes"].append({"name": "other", "pathology": True}), d["volume_rule"]["bias"].append(0.0)),
        "do not fit its head",
    ),
    "unknown fusion": (lambda d: d.update(fusion="magic"), "no fusion 'magic'"),
    "3D": (
        lambda d: (d.update(dimension=3), d["input"].update(size=[32, 32, 32])),
        "names levels",
    ),
}


@pytest.mark.parametrize("fault", BUILD_FAULTS)
def test_networks_that_do_not_fit_are_refused(folder, fault):
    change, message = BUILD_FAULTS[fault]
    rewrite(folder, change)
    with pytest.raises(BundleError, match=message):
        load_bundle(folder).build()


WEIGHT_FAULTS = {
    "missing tensor": (lambda t: t.pop("cnn.stages.0.0.0.weight"), "is nothing, expected"),
    "extra tensor": (lambda t: t.update(extra=torch.zeros(1)), "'extra' is .1,., expected nothing"),
    "no head": (lambda t: t.pop("head.bias"), "no head"),
    "NaN": (lambda t: t["head.bias"].fill_(float("nan")), "'head.bias'.*not finite"),
    "another shape": (lambda t: t.update({"head.weight": torch.zeros(2, 3)}), "'weight' is .2, 3., expected"),
    "another type": (lambda t: t.update({"head.bias": torch.zeros(2, dtype=torch.int8)}), "of type torch.int8"),
}


@pytest.mark.parametrize("fault", WEIGHT_FAULTS)
def test_weights_that_do_not_fit_are_refused(folder, fault):
    change, message = WEIGHT_FAULTS[fault]
    reweigh(folder, change)
    with pytest.raises(BundleError, match=message):
        load_bundle(folder).build()


def test_damaged_weights_are_noticed_by_their_checksum(folder):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="checksum differs"):
        load_bundle(folder)


def test_weights_exchanged_after_loading_are_noticed(folder):
    loaded = load_bundle(folder)
    (folder / "model.safetensors").write_bytes(b"other")
    with pytest.raises(BundleError, match="checksum differs"):
        loaded.build()


def test_a_pickle_is_never_opened(folder):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(folder / "opened"),))

    content = pickle.dumps(Bomb())
    (folder / "model.safetensors").write_bytes(content)
    rewrite(folder, lambda d: d.update(sha256=hashlib.sha256(content).hexdigest()))
    with pytest.raises(BundleError, match="cannot be read"):
        load_bundle(folder).build()
    assert not (folder / "opened").exists()


@pytest.mark.parametrize("name", ["metadata.json", "model.safetensors"])
def test_links_and_missing_files_are_refused(folder, tmp_path, name):
    (folder / name).rename(tmp_path / name)
    with pytest.raises(BundleError, match=r"missing|no model"):
        load_bundle(folder)
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(BundleError, match="is a link"):
        load_bundle(folder)


def test_oversize_weights_are_refused_unread(folder, monkeypatch):
    monkeypatch.setattr(bundle, "MAX_WEIGHTS_BYTES", 100)
    with pytest.raises(BundleError, match="larger than"):
        load_bundle(folder)


def own_network(classes=2):
    """A network of the user's own, found by import path."""
    return nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, classes))


def test_an_own_network_is_imported_only_when_asked_for(tmp_path):
    document = metadata(architecture={"name": f"import:{__name__}:own_network", "arguments": {}})
    own = HRCAM(own_network(), 2)
    with pytest.raises(BundleError, match="allow_import=True"):
        save_bundle(tmp_path / "own", own, document)
    saved = save_bundle(tmp_path / "own", own, document, allow_import=True)
    x = torch.rand(1, 1, 32, 48)
    torch.testing.assert_close(saved.build()(x), own(x), rtol=1e-2, atol=1e-2)
    with pytest.raises(BundleError, match="allow_import=True"):
        load_bundle(tmp_path / "own")


@pytest.mark.parametrize(
    ("name", "message"),
    [("import:no_such_module_here:f", "ModuleNotFoundError"), ("import:os:getcwd", "gives a str")],
)
def test_an_import_that_gives_no_network_is_explained(folder, name, message):
    rewrite(folder, lambda d: d["architecture"].update(name=name, arguments={}))
    with pytest.raises(BundleError, match=message):
        load_bundle(folder, allow_import=True).build()


def test_saving_replaces_only_when_allowed_and_leaves_nothing_behind(network, folder):
    with pytest.raises(OutputError, match="exists"):
        save_bundle(folder, network, metadata())
    assert save_bundle(folder, network, metadata(version="2.0.0"), overwrite=True).version == "2.0.0"
    assert [p.name for p in folder.parent.iterdir()] == ["toy"]


def test_a_bundle_that_could_not_be_loaded_is_not_written(network, tmp_path):
    wrong = metadata(architecture={"name": "vgg_small", "arguments": {"width": 3}})
    with pytest.raises(BundleError, match="do not fit"):
        save_bundle(tmp_path / "out" / "toy", network, wrong)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_failed_replacement_keeps_the_former_bundle(network, folder):
    wrong = metadata(architecture={"name": "vgg_small", "arguments": {"width": 3}})
    with pytest.raises(BundleError):
        save_bundle(folder, network, wrong, overwrite=True)
    assert load_bundle(folder).version == "1.2.0"


def zipped(folder, path, prefix="toy/", extra=()):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, prefix + file.name)
        for entry, content in extra:
            archive.writestr(entry, content)
    return path


@pytest.mark.parametrize("prefix", ["", "toy/"])
def test_a_zip_is_installed(folder, tmp_path, prefix):
    installed = install_bundle(zipped(folder, tmp_path / "toy.zip", prefix), tmp_path / "there")
    assert installed.path == tmp_path / "there" / "toy" and installed.card == "# Toy"
    assert [p.name for p in (tmp_path / "there").iterdir()] == ["toy"]
    with pytest.raises(OutputError, match="exists"):
        install_bundle(folder, tmp_path / "there")


def test_a_folder_is_installed_where_models_are_looked_for(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HRCAM_MODELS", str(tmp_path / "new"))
    assert install_bundle(folder).path == tmp_path / "new" / "toy"
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
def test_hostile_zips_are_refused_and_leave_nothing(folder, tmp_path, extra, message):
    with pytest.raises(BundleError, match=message):
        install_bundle(zipped(folder, tmp_path / "evil.zip", extra=extra), tmp_path / "there")
    assert not (tmp_path / "there").exists() and not (tmp_path / "evil").exists()


def test_a_zip_bomb_is_stopped_at_the_limit(folder, tmp_path):
    (folder / "MODEL_CARD.md").write_bytes(b"\0" * (2 << 20))
    path = zipped(folder, tmp_path / "bomb.zip")
    assert path.stat().st_size < 1 << 20
    with pytest.raises(BundleError, match="larger than 1 MB"):
        install_bundle(path, tmp_path / "there")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_damaged_in_its_data_is_refused(folder, tmp_path, method):
    path = tmp_path / "damaged.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in folder.iterdir():
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


def test_paths_that_no_system_takes_are_named(folder, tmp_path):
    for path in ("x" * 300 + "/" + "y" * 300, "x" * 5000):
        for use in (load_bundle, install_bundle, lambda p: install_bundle(folder, p)):
            with pytest.raises(BundleError, match="cannot be opened"):
                use(path)
    with pytest.raises(BundleError, match="There is no model"):
        load_bundle("~nobody-of-this-name/model")


def test_models_are_found_without_a_home(folder, monkeypatch):
    def no_home(self):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", no_home)
    monkeypatch.setattr(Path, "home", no_home)
    assert "toy" in [bundle.name for bundle in list_bundles()]
    assert load_bundle("toy").name == "toy"


def test_a_full_disk_is_named_when_a_model_is_added(folder, tmp_path, monkeypatch):
    def full(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"cannot be written: No space left on device\. Is the disk full"):
        install_bundle(folder, tmp_path / "there")
    assert list((tmp_path / "there").iterdir()) == []


def test_what_is_no_zip_or_damaged_is_refused(folder, tmp_path):
    (tmp_path / "no.zip").write_bytes(b"PK\3\4 not really")
    with pytest.raises(BundleError, match="not a zip"):
        install_bundle(tmp_path / "no.zip", tmp_path / "there")
    with pytest.raises(BundleError, match="no file or folder"):
        install_bundle(tmp_path / "nothing.zip")
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(BundleError, match="checksum"):
        install_bundle(folder, tmp_path / "there")
    assert list((tmp_path / "there").iterdir()) == []


def test_no_weights_are_read_for_a_network_of_other_shapes(folder, monkeypatch):
    """A hostile bundle may ask for a network of gigabytes: it is refused on the meta device, before allocation."""
    rewrite(folder, lambda d: d["architecture"].update(arguments=LARGE))
    devices = []
    build = bundle_network.build_network

    def spy(name, arguments):
        network = build(name, arguments)
        devices.append(next(network.parameters()).device.type)
        return network

    monkeypatch.setattr(bundle_network, "build_network", spy)
    with pytest.raises(BundleError, match="do not fit"):
        load_bundle(folder).build()
    assert devices == ["meta"]


def test_numbers_of_numpy_in_metadata_are_refused_when_saving(network, tmp_path):
    with pytest.raises(BundleError, match="float32 is not JSON"):
        save_bundle(tmp_path / "np", network, metadata(temperature=np.float32(1.0)))
    assert not (tmp_path / "np").exists()
