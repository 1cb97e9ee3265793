"""The command `hrcam train-pairs`."""

from pathlib import Path
from typing import Annotated

import typer
from hrcam_train import command as given


def train_pairs(
    config: given.Config = None,
    data: Annotated[Path | None, typer.Option(help="Folder of heads, label maps or T1 volumes.")] = None,
    out: given.Out = None,
    resume: given.Resume = False,
    install: given.Install = False,
    settings: given.Settings = None,
    epochs: given.Epochs = None,
    seed: given.Seed = None,
    accelerator: given.Accelerator = None,
    devices: given.Devices = None,
    strategy: given.Strategy = None,
    num_nodes: given.NumNodes = None,
    precision: given.Precision = None,
    print_recipe: given.PrintRecipe = None,
    print_schema: given.PrintSchema = False,
) -> None:
    """Train a model on simulated pairs, images with a lesion and the same without, and write it as a bundle."""
    from hrcam_research.paired.config import RECIPES, PairedConfig

    if given.print_something(PairedConfig, RECIPES, print_recipe, print_schema):
        return
    said = {
        "data.path": given.absolute(data), "train.epochs": epochs, "seed": seed, "trainer.accelerator": accelerator,
        "trainer.devices": devices, "trainer.strategy": strategy, "trainer.num_nodes": num_nodes,
        "trainer.precision": precision,
    }  # fmt: skip
    loaded, folder = given.load_settings(PairedConfig, RECIPES, config, out, said, settings or [])
    from hrcam_research.paired.run import run_paired_training

    given.train_and_install(run_paired_training, loaded, folder, resume, install)
