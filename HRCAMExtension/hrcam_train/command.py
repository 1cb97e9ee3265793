"""The command `hrcam train`."""

import json
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from hrcam.errors import InputError


def train(
    config: Annotated[str | None, typer.Option("--config", "-c", help="A YAML file, or a recipe's name.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder CLASS/PATIENT/… or CSV (path,label,patient).")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the model, report, logs and checkpoints.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on with the interrupted run in --out.")] = False,
    install: Annotated[bool, typer.Option(help="Put the finished model where localize and Slicer find it.")] = False,
    settings: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, e.g. train.epochs=5.")] = None,
    folds: Annotated[int | None, typer.Option(help="Cross-validate by patient first.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Of stage one.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order, splits and augmentation.")] = None,
    accelerator: Annotated[str | None, typer.Option(help="Lightning's: auto, cpu, gpu.")] = None,
    devices: Annotated[str | None, typer.Option(help="Lightning's: how many, or which.")] = None,
    strategy: Annotated[str | None, typer.Option(help="Lightning's: auto, ddp, fsdp, …")] = None,
    num_nodes: Annotated[int | None, typer.Option(help="Lightning's: machines.")] = None,
    precision: Annotated[str | None, typer.Option(help="Lightning's: 32-true, bf16-mixed, 16-mixed.")] = None,
    print_recipe: Annotated[str | None, typer.Option(help="Print a recipe to start from, and stop.")] = None,
    print_schema: Annotated[bool, typer.Option(help="Print the JSON schema of the configuration, and stop.")] = False,
) -> None:
    """Train a model from image-level labels and write it as a bundle."""
    from hrcam_train.config import RECIPES, TrainConfig, load_config, recipes

    if print_schema:
        typer.echo(json.dumps(TrainConfig.model_json_schema(), indent=1))
        return
    if print_recipe is not None:
        load_config(print_recipe)
        typer.echo((RECIPES / f"{Path(print_recipe).stem}.yaml").read_text(encoding="utf-8"))
        return
    if config is None or out is None:
        raise InputError("--config and --out are needed.", f"Recipes: {', '.join(recipes())}.")
    given = {
        "data.path": None if data is None else os.fspath(data.resolve()),
        "folds": folds,
        "train.epochs": epochs,
        "seed": seed,
        "trainer.accelerator": accelerator,
        "trainer.devices": devices,
        "trainer.strategy": strategy,
        "trainer.num_nodes": num_nodes,
        "trainer.precision": precision,
    }
    overrides = {key: value for key, value in given.items() if value is not None}
    loaded = load_config(config, **overrides | _parse(settings or []))
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - where `python -m` would look for the user's own module
    from hrcam.bundle.bundle import ALLOW_IMPORT_VARIABLE, imported_module
    from hrcam.bundle.metadata import IMPORT_PREFIX

    from hrcam_train.run import run_training

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # its advertisements are no news of the training
    # Neither is what it says to its own developers.
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\)")
    bundle = run_training(loaded, out, resume, typer.echo)
    if install and bundle is not None:
        from hrcam.bundle.write import install_bundle

        installed = install_bundle(bundle.path, overwrite=True, allow_import=True)
        typer.echo(f"Installed {installed.path}")
    architecture = bundle.metadata["architecture"]["name"] if bundle is not None else ""
    if architecture.startswith(IMPORT_PREFIX):
        module = imported_module(architecture)
        typer.echo(f"It runs code of its own. To let it be used, set {ALLOW_IMPORT_VARIABLE}={module}")


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
