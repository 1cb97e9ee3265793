"""Training configuration: recipes load, and everything wrong is named at once, in words."""

import jsonschema
import pytest
from hrcam.errors import InputError, ModelError
from hrcam_train.config import TrainConfig, load_config, parse_config, recipes
from hrcam_train.network import build_hrcam
from train_data import settings


@pytest.mark.parametrize("name", recipes())
def test_recipes_load_build_and_follow_the_published_schema(name):
    config = load_config(name)
    assert config.name == name
    jsonschema.validate(config.model_dump(mode="json"), TrainConfig.model_json_schema())
    hrcam, architecture = build_hrcam(config)
    assert hrcam.num_dims == config.dimension and not architecture.imported


def test_all_wrong_settings_are_named_with_what_was_meant():
    raw = settings(train__epochs="many", train__batchsize=3, input__intensity={"lo": 2}, nettwork={})
    del raw["title"]
    with pytest.raises(InputError) as error:
        parse_config(raw, "my.yaml")
    text = str(error.value)
    assert "my.yaml has 5 wrong setting(s)" in text
    assert "train.epochs: input should be a valid integer" in text and "'many'" in text
    assert "unknown key train.batchsize (did you mean batch_size?)" in text
    assert "unknown key input.intensity.lo (did you mean low?)" in text
    assert "unknown key nettwork (did you mean network?)" in text
    assert "title is missing" in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"input__size": [32, 32, 32]}, "2 numbers are needed for dimension 2"),
        ({"input__spacing_mm": [1.0, 1.0, 1.0]}, "one number, or 2"),
        ({"classes": [{"name": "a"}, {"name": "a"}]}, "every name may occur once"),
        ({"classes": [{"name": "a", "pathology": False}, {"name": "b", "pathology": False}]}, "at least one must be"),
        ({"folds": 1}, "or at least 2"),
        ({"fusion": "product"}, "There is no fusion 'product'"),
        ({"data__patient_pattern": "("}, "not a regular expression"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        parse_config(settings(**changes))


def test_files_that_are_not_there_or_not_yaml(tmp_path):
    with pytest.raises(InputError, match="Did you mean ependymoma-gbm"):
        load_config("ependymoma-gmb")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1,\nb: 2")
    with pytest.raises(InputError, match="is not YAML"):
        load_config(broken)
    broken.write_text("- a list")
    with pytest.raises(InputError, match="holds no settings"):
        load_config(broken)
    with pytest.raises(InputError, match="seed is no section"):
        load_config("glioma-meningioma", **{"seed.deep": 1})


def test_overrides_reach_into_sections():
    config = load_config("glioma-meningioma", **{"train.epochs": 3, "data.slice_step": 7})
    assert config.train.epochs == 3 and config.data.slice_step == 7


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ({"name": "vgg_smal"}, "There is no network 'vgg_smal'"),
        ({"name": "vgg_small", "arguments": {"width": "wide"}}, "width"),
        ({"name": "vgg_small", "pretrained": True}, "no pretrained weights"),
        ({"name": "no_such_module:build"}, "cannot be imported"),
        ({"name": "train_networks:nothing"}, "cannot be imported"),
        ({"name": "train_networks:fails"}, "RuntimeError: out of luck"),
        ({"name": "train_networks:no_module"}, "gives a int"),
        ({"name": "train_networks:five_outputs"}, r"answers with \(1, 5\)"),
        ({"name": "monai.NoSuchNet"}, "monai.NoSuchNet cannot be built"),
        ({"name": "vgg_small", "weights": "missing.safetensors"}, "cannot be read"),
    ],
)
def test_networks_that_cannot_be_had_are_explained(network, words):
    with pytest.raises(ModelError, match=words):
        build_hrcam(parse_config(settings(network=network)))


def test_a_library_that_does_not_import_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(ModelError, match="timm cannot be imported"):
        build_hrcam(parse_config(settings(network={"name": "timm.resnet18"})))


def test_monai_networks_are_built_by_name():
    pytest.importorskip("monai")
    arguments = {"block": "basic", "layers": [1, 1, 1, 1], "block_inplanes": [4, 8, 8, 16], "conv1_t_stride": 1}
    hrcam, architecture = build_hrcam(parse_config(settings(network={"name": "monai.ResNet", "arguments": arguments})))
    assert hrcam.num_dims == 2 and architecture.imported
    assert architecture.arguments["name"] == "monai.ResNet"
    stated = arguments | {"spatial_dims": 2, "n_input_channels": 1}  # filled in anyway; saying it is no error
    build_hrcam(parse_config(settings(network={"name": "monai.ResNet", "arguments": stated})))


def test_the_same_seed_gives_the_same_network():
    def first(seed):
        return next(build_hrcam(parse_config(settings(seed=seed)))[0].parameters())

    assert first(1).equal(first(1)) and not first(1).equal(first(2))
