"""The configuration of a training on pairs: recipes load, contradictions are refused, commands know their own."""

import jsonschema
import pytest
from hrcam.cli.app import main
from hrcam.errors import InputError
from hrcam_research.paired.config import RECIPES, PairedConfig, load_paired_config
from hrcam_train.config import parse_config, recipes
from hrcam_train.network import build_hrcam
from hrcam_train.run import run_training
from train_data import settings


@pytest.mark.parametrize("name", recipes(RECIPES))
def test_recipes_load_build_and_follow_the_published_schema(name):
    config = load_paired_config(name)
    assert config.name == name
    jsonschema.validate(config.model_dump(mode="json"), PairedConfig.model_json_schema())
    hrcam, architecture = build_hrcam(config)
    assert hrcam.num_dims == config.dimension and not architecture.imported


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"folds": 3}, "cross-validation has no use"),
        ({"input__size": [32, 48]}, "one size and one spacing"),
        ({"data__simulation": {"kind": "nigral_loss"}}, "makes volumes"),
        ({"data__kind": "labeled"}, "set it to paired"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        parse_config(settings(**{"data__kind": "paired"} | changes), kind=PairedConfig)


def test_overrides_reach_into_the_simulation():
    config = load_paired_config("simulated-lesion", **{"train.epochs": 3, "data.simulation.pairs_per_epoch": 7})
    assert config.train.epochs == 3 and config.data.simulation.pairs_per_epoch == 7


def test_a_training_from_labels_says_which_command_makes_pairs(tmp_path):
    config = parse_config(settings(data__kind="paired"))
    with pytest.raises(InputError, match="hrcam train-pairs"):
        run_training(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_command_prints_recipes_and_needs_a_folder(capsys):
    assert main(["train-pairs", "--print-recipe", "simulated-lesion"]) == 0
    assert "kind: paired" in capsys.readouterr().out
    assert main(["train-pairs", "--config", "simulated-lesion"]) == 1
    assert "--out" in capsys.readouterr().err


@pytest.mark.parametrize("lacking", ["mode", "network__weights"])
def test_a_head_that_comes_with_weights_needs_pairs_and_weights(lacking: str) -> None:
    given = {"mode": "head_only", "data__kind": "paired", "network__weights": "simulated-lesion"}
    parse_config(settings(head__from_weights=True, **given), kind=PairedConfig)
    with pytest.raises(InputError, match=r"head\.from_weights: needs mode head_only and"):
        del given[lacking]
        parse_config(settings(head__from_weights=True, **given), kind=PairedConfig)
