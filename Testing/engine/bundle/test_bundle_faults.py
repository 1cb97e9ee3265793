"""Bundles that are damaged, hostile or contradictory are refused in words."""

import hashlib
import os
import pickle

import pytest
import torch
from bundle_data import ARGUMENTS, reweigh, rewrite
from hrcam import BundleError, load_bundle
from hrcam.bundle import bundle
from hrcam.bundle import network as bundle_network

pytestmark = pytest.mark.usefixtures("no_models_of_this_machine")


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
    "a best plane it was not made for": (lambda d: d["input"].update(best_plane="coronal"), "best_plane must be one"),
    "three best planes of one": (lambda d: d["input"].update(best_plane="all"), "best_plane can be all where"),
    "agreement on less than possible": (
        lambda d: d.update(agreement={"limit": 1e-3, "temperature": 1.0}), "agreement.limit must not be below"),
    "agreement on nothing": (lambda d: d.update(agreement={"limit": 0, "temperature": 1.0}), "agreement.limit"),
    "low above high": (lambda d: d["input"]["intensity"].update(low=99.9), "low must be below high"),
    "code": (lambda d: d["architecture"].update(name="import:os:system", arguments={}), "allow_import=True"),
    "nested arguments": (lambda d: d["architecture"].update(arguments={"width": {"a": 1}}), "architecture.arguments"),
}


@pytest.mark.parametrize("fault", METADATA_FAULTS)
def test_metadata_that_are_wrong_are_refused(toy_folder, fault):
    change, message = METADATA_FAULTS[fault]
    rewrite(toy_folder, change)
    with pytest.raises(BundleError, match=message):
        load_bundle(toy_folder)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"temperature": NaN}', b"\xff\xfe", b"[" * 100_000, b'"x"' + b" " * (1 << 20)]
)
def test_metadata_that_are_no_metadata_are_refused(toy_folder, content):
    (toy_folder / "metadata.json").write_bytes(content)
    with pytest.raises(BundleError):
        load_bundle(toy_folder)


@pytest.mark.parametrize(("number", "message"), [
    ("1e999", "1e999 is not a finite number"), ("-Infinity", "-Infinity is not a finite number"),
    ("1" + "0" * 400, "too long a number"), ("1" + "0" * 9000, "too long a number"),
    ('"\\ud800"', "surrogates not allowed"),
])
def test_what_json_allows_and_nothing_can_hold_is_refused(toy_folder, number, message):
    text = (toy_folder / "metadata.json").read_text("utf-8")
    (toy_folder / "metadata.json").write_text(text.replace('"Toy"', number, 1), "utf-8")
    with pytest.raises(BundleError, match=message):
        load_bundle(toy_folder)


LARGE = {"width": 512, "stages": 7, "max_width": 2048}


BUILD_FAULTS = {
    "unknown architecture": (lambda d: d["architecture"].update(name="resnet9000"), "no architecture 'resnet9000'"),
    "unknown argument": (lambda d: d["architecture"].update(arguments={"color": 1}), "does not take these arguments"),
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
def test_networks_that_do_not_fit_are_refused(toy_folder, fault):
    change, message = BUILD_FAULTS[fault]
    rewrite(toy_folder, change)
    with pytest.raises(BundleError, match=message):
        load_bundle(toy_folder).build()


WEIGHT_FAULTS = {
    "missing tensor": (lambda t: t.pop("cnn.stages.0.0.0.weight"), "is nothing, expected"),
    "extra tensor": (lambda t: t.update(extra=torch.zeros(1)), "'extra' is .1,., expected nothing"),
    "no head": (lambda t: t.pop("head.bias"), "no head"),
    "NaN": (lambda t: t["head.bias"].fill_(float("nan")), "'head.bias'.*not finite"),
    "another shape": (lambda t: t.update({"head.weight": torch.zeros(2, 3)}), "'weight' is .2, 3., expected"),
    "another type": (lambda t: t.update({"head.bias": torch.zeros(2, dtype=torch.int8)}), "of type torch.int8"),
}


@pytest.mark.parametrize("fault", WEIGHT_FAULTS)
def test_weights_that_do_not_fit_are_refused(toy_folder, fault):
    change, message = WEIGHT_FAULTS[fault]
    reweigh(toy_folder, change)
    with pytest.raises(BundleError, match=message):
        load_bundle(toy_folder).build()


def test_damaged_weights_are_noticed_by_their_checksum(toy_folder):
    path = toy_folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="checksum differs"):
        load_bundle(toy_folder)


def test_weights_exchanged_after_loading_are_noticed(toy_folder):
    loaded = load_bundle(toy_folder)
    (toy_folder / "model.safetensors").write_bytes(b"other")
    with pytest.raises(BundleError, match="checksum differs"):
        loaded.build()


def test_a_pickle_is_never_opened(toy_folder):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(toy_folder / "opened"),))

    content = pickle.dumps(Bomb())
    (toy_folder / "model.safetensors").write_bytes(content)
    rewrite(toy_folder, lambda d: d.update(sha256=hashlib.sha256(content).hexdigest()))
    with pytest.raises(BundleError, match="cannot be read"):
        load_bundle(toy_folder).build()
    assert not (toy_folder / "opened").exists()


@pytest.mark.parametrize("name", ["metadata.json", "model.safetensors"])
def test_links_and_missing_files_are_refused(toy_folder, tmp_path, name):
    (toy_folder / name).rename(tmp_path / name)
    with pytest.raises(BundleError, match=r"missing|no model"):
        load_bundle(toy_folder)
    (toy_folder / name).symlink_to(tmp_path / name)
    with pytest.raises(BundleError, match="is a link"):
        load_bundle(toy_folder)


def test_oversize_weights_are_refused_unread(toy_folder, monkeypatch):
    monkeypatch.setattr(bundle, "MAX_WEIGHTS_BYTES", 100)
    with pytest.raises(BundleError, match="larger than"):
        load_bundle(toy_folder)


def test_no_weights_are_read_for_a_network_of_other_shapes(toy_folder, monkeypatch):
    """A hostile bundle may ask for a network of gigabytes: it is refused on the meta device, before allocation."""
    rewrite(toy_folder, lambda d: d["architecture"].update(arguments=LARGE))
    devices = []
    build = bundle_network.build_network

    def spy(name, arguments):
        network = build(name, arguments)
        devices.append(next(network.parameters()).device.type)
        return network

    monkeypatch.setattr(bundle_network, "build_network", spy)
    with pytest.raises(BundleError, match="do not fit"):
        load_bundle(toy_folder).build()
    assert devices == ["meta"]
