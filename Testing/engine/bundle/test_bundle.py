"""Bundles: what is written is read back, found by its name, and replaced as a whole."""

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import hrcam
import numpy as np
import pytest
import safetensors.torch
import torch
from bundle_data import ARGUMENTS, metadata, rewrite
from hrcam import HRCAM, BundleError, OutputError, install_bundle, list_bundles, load_bundle, save_bundle
from hrcam.networks.registry import build_network
from torch import nn

pytestmark = pytest.mark.usefixtures("no_models_of_this_machine")


def test_what_is_saved_is_loaded(toy_network, toy_folder):
    loaded = load_bundle("toy")
    assert loaded.path == toy_folder
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
    torch.testing.assert_close(built.evidence(x).maps, toy_network.evidence(x).maps, rtol=5e-3, atol=5e-3)


def test_rules_that_a_bundle_states_are_read_back_and_those_it_does_not_are_none(toy_network, toy_folder, tmp_path):
    plain = load_bundle(toy_folder)
    assert (plain.agreement, plain.borders, plain.withholding, plain.neighbor_weight) == (None, None, None, 0.0)
    rules = {"agreement": {"limit": 1.0, "temperature": 2.0}, "borders": {"weight": 0.2, "power": 2},
             "withholding": {"above": 0.6}, "neighbor_weight": 0.25}  # fmt: skip
    ruled = load_bundle(save_bundle(tmp_path / "ruled", toy_network, metadata(**rules)).path)
    assert {name: getattr(ruled, name) for name in rules} == rules


def test_weights_are_stored_in_half_precision_unless_they_do_not_fit(toy_network, tmp_path):
    huge = HRCAM(build_network("vgg_small", ARGUMENTS), 2).eval()
    huge.cnn.stages[0][0][1].running_var.fill_(1e6)
    path = save_bundle(tmp_path / "huge", huge, metadata()).path
    tensors = safetensors.torch.load_file(path / "model.safetensors")
    assert tensors["cnn.stages.0.0.1.running_var"].dtype == torch.float32
    assert tensors["head.weight"].dtype == torch.float16
    assert float(load_bundle(path).build().cnn.stages[0][0][1].running_var[0]) == 1e6


def test_a_bundle_can_be_sent_to_another_process(toy_folder):
    assert pickle.loads(pickle.dumps(load_bundle(toy_folder))).name == "toy"


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


def test_models_are_listed_and_bad_ones_reported(toy_folder, tmp_path):
    shutil.copytree(toy_folder, tmp_path / "models" / "broken")
    (tmp_path / "models" / "broken" / "metadata.json").write_text("{")
    home = tmp_path / "home" / ".hrcam" / "models" / "toy"
    shutil.copytree(toy_folder, home)
    problems = []
    found = [b for b in list_bundles(lambda path, error: problems.append((path.name, str(error)))) if b.name == "toy"]
    assert [b.path for b in found] == [toy_folder]  # $HRCAM_MODELS comes before the home folder
    assert len(problems) == 1 and problems[0][0] == "broken" and "not valid JSON" in problems[0][1]


def test_models_can_be_listed_without_torch(toy_folder):
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
def test_a_model_that_is_not_there_is_named_with_what_is(toy_folder, name):
    with pytest.raises(BundleError, match=r"model.*(Available: .*toy)"):
        load_bundle(name)


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
def test_an_import_that_gives_no_network_is_explained(toy_folder, name, message):
    rewrite(toy_folder, lambda d: d["architecture"].update(name=name, arguments={}))
    with pytest.raises(BundleError, match=message):
        load_bundle(toy_folder, allow_import=True).build()


def test_saving_replaces_only_when_allowed_and_leaves_nothing_behind(toy_network, toy_folder):
    with pytest.raises(OutputError, match="exists"):
        save_bundle(toy_folder, toy_network, metadata())
    assert save_bundle(toy_folder, toy_network, metadata(version="2.0.0"), overwrite=True).version == "2.0.0"
    assert [p.name for p in toy_folder.parent.iterdir()] == ["toy"]


def test_a_bundle_that_could_not_be_loaded_is_not_written(toy_network, tmp_path):
    wrong = metadata(architecture={"name": "vgg_small", "arguments": {"width": 3}})
    with pytest.raises(BundleError, match="do not fit"):
        save_bundle(tmp_path / "out" / "toy", toy_network, wrong)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_failed_replacement_keeps_the_former_bundle(toy_network, toy_folder):
    wrong = metadata(architecture={"name": "vgg_small", "arguments": {"width": 3}})
    with pytest.raises(BundleError):
        save_bundle(toy_folder, toy_network, wrong, overwrite=True)
    assert load_bundle(toy_folder).version == "1.2.0"


def test_paths_that_no_system_takes_are_named(toy_folder, tmp_path):
    for path in ("x" * 300 + "/" + "y" * 300, "x" * 5000):
        for use in (load_bundle, install_bundle, lambda p: install_bundle(toy_folder, p)):
            with pytest.raises(BundleError, match="cannot be opened"):
                use(path)
    with pytest.raises(BundleError, match="There is no model"):
        load_bundle("~nobody-of-this-name/model")


def test_models_are_found_without_a_home(toy_folder, monkeypatch):
    def no_home(self):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", no_home)
    monkeypatch.setattr(Path, "home", no_home)
    assert "toy" in [bundle.name for bundle in list_bundles()]
    assert load_bundle("toy").name == "toy"


def test_numbers_of_numpy_in_metadata_are_refused_when_saving(toy_network, tmp_path):
    with pytest.raises(BundleError, match="float32 is not JSON"):
        save_bundle(tmp_path / "np", toy_network, metadata(temperature=np.float32(1.0)))
    assert not (tmp_path / "np").exists()
