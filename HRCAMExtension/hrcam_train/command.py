"""The command `hrcam train`, and what every training command does with its options."""

import json
import logging
import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer
from hrcam.errors import InputError

if TYPE_CHECKING:
    from hrcam.bundle.bundle import Bundle

    from hrcam_train.config import TrainConfig

Config = Annotated[str | None, typer.Option("--config", "-c", help="A YAML file, or a recipe's name.")]
Out = Annotated[Path | None, typer.Option(help="Folder for the model, report, logs and checkpoints.")]
Resume = Annotated[bool, typer.Option(help="Go on with the interrupted run in --out.")]
Install = Annotated[bool, typer.Option(help="Put the finished model where localize and Slicer find it.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, e.g. train.epochs=5.")]
Epochs = Annotated[int | None, typer.Option(help="Of stage one.")]
Seed = Annotated[int | None, typer.Option(help="Of weights, order, splits and augmentation.")]
Accelerator = Annotated[str | None, typer.Option(help="Lightning's: auto, cpu, gpu.")]
Devices = Annotated[str | None, typer.Option(help="Lightning's: how many, or which.")]
Strategy = Annotated[str | None, typer.Option(help="Lightning's: auto, ddp, fsdp, …")]
NumNodes = Annotated[int | None, typer.Option(help="Lightning's: machines.")]
Precision = Annotated[str | None, typer.Option(help="Lightning's: 32-true, bf16-mixed, 16-mixed.")]
PrintRecipe = Annotated[str | None, typer.Option(help="Print a recipe to start from, and stop.")]
PrintSchema = Annotated[bool, typer.Option(help="Print the JSON schema of the configuration, and stop.")]


class Run(Protocol):
    """A whole training, `run_training` or one like it."""

    def __call__(self, config: Any, out: Path, resume: bool, say: Any) -> "Bundle | None":
        """Train and write everything."""
        ...


def train(
    config: Config = None,
    data: Annotated[Path | None, typer.Option(help="Folder CLASS/PATIENT/… or CSV (path,label,patient).")] = None,
    out: Out = None,
    resume: Resume = False,
    install: Install = False,
    settings: Settings = None,
    folds: Annotated[int | None, typer.Option(help="Cross-validate by patient first.")] = None,
    epochs: Epochs = None,
    seed: Seed = None,
    accelerator: Accelerator = None,
    devices: Devices = None,
    strategy: Strategy = None,
    num_nodes: NumNodes = None,
    precision: Precision = None,
    print_recipe: PrintRecipe = None,
    print_schema: PrintSchema = False,
) -> None:
    """Train a model from image-level labels and write it as a bundle."""
    from hrcam_train.config import RECIPES, TrainConfig

    if print_something(TrainConfig, RECIPES, print_recipe, print_schema):
        return
    given = {
        "data.path": absolute(data), "folds": folds, "train.epochs": epochs, "seed": seed,
        "trainer.accelerator": accelerator, "trainer.devices": devices, "trainer.strategy": strategy,
        "trainer.num_nodes": num_nodes, "trainer.precision": precision,
    }  # fmt: skip
    loaded, folder = load_settings(TrainConfig, RECIPES, config, out, given, settings or [])
    from hrcam_train.run import run_training

    train_and_install(run_training, loaded, folder, resume, install)


def print_something(kind: "type[TrainConfig]", recipes_folder: Path, recipe: str | None, schema: bool) -> bool:
    """Print the schema or a recipe where that is asked for; whether it was."""
    from hrcam_train.config import read_config, recipe_text

    if schema:
        typer.echo(json.dumps(kind.model_json_schema(), indent=1))
    elif recipe is not None:
        read_config(kind, recipe, recipes_folder, {})
        typer.echo(recipe_text(recipe, recipes_folder))
    return schema or recipe is not None


def load_settings(
    kind: "type[TrainConfig]", recipes_folder: Path, config: str | None, out: Path | None, given: Mapping[str, Any],
    settings: list[str],
) -> "tuple[TrainConfig, Path]":  # fmt: skip
    """The configuration with what the command line says of it, and the folder of the run.

    Raises
    ------
    InputError : one of the two is missing, or a setting is wrong.
    """
    from hrcam_train.config import read_config, recipes

    if config is None or out is None:
        raise InputError("--config and --out are needed.", f"Recipes: {', '.join(recipes(recipes_folder))}.")
    overrides = {key: value for key, value in given.items() if value is not None} | _parse(settings)
    return read_config(kind, config, recipes_folder, overrides), out


def train_and_install(run: Run, config: "TrainConfig", out: Path, resume: bool, install: bool) -> None:
    """Run a training; copy its bundle to the user's models where that is asked for, and say how it can be used."""
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - where `python -m` would look for the user's own module
    from hrcam.bundle.bundle import ALLOW_IMPORT_VARIABLE, imported_module
    from hrcam.bundle.metadata import IMPORT_PREFIX

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # its advertisements are no news of the training
    # Neither is what it says to its own developers.
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\)")
    bundle = run(config, out, resume, typer.echo)
    if install and bundle is not None:
        from hrcam.bundle.install import install_bundle

        installed = install_bundle(bundle.path, overwrite=True, allow_import=True)
        typer.echo(f"Installed {installed.path}")
    architecture = bundle.metadata["architecture"]["name"] if bundle is not None else ""
    if architecture.startswith(IMPORT_PREFIX):
        module = imported_module(architecture)
        typer.echo(f"It runs code of its own. To let it be used, set {ALLOW_IMPORT_VARIABLE}={module}")


def absolute(path: Path | None) -> str | None:
    """A path as it is from everywhere; None stays None."""
    return None if path is None else os.fspath(path.resolve())


def _parse(settings: list[str]) -> dict[str, Any]:
    """`train.epochs=5` → {"train.epochs": 5}; values are YAML."""
    import yaml

    found = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise InputError(f"--set {setting} is not KEY=VALUE.", "For example --set train.epochs=5.")
        try:
            found[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise InputError(f"--set {setting}: the value is not YAML.", "Put text in quotes.") from None
    return found
