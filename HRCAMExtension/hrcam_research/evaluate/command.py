"""`hrcam evaluate`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    model: Annotated[
        list[str] | None,
        typer.Option(help="Name or folder of a model bundle; repeat for several. Default: all that fit."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder with the images; default $HRCAM_DATA, else ../shared/data.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for RESULTS.md, results/*.json and figures/*.png.")] = Path("docs"),
    cases: Annotated[
        int | None, typer.Option(min=2, help="Use only so many images of each set, spread evenly.")
    ] = None,
    methods: Annotated[
        str | None, typer.Option(help="Methods or groups, separated by commas (hrcam,layercam/mean); default all.")
    ] = None,
    data_set: Annotated[
        list[str] | None,
        typer.Option(help="Name of a set (lgg, 'lgg FLAIR', t1ce_slices, …); repeat for several. Adds to the results."),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of a folder with a table of its own; all for every row.")] = "val",
    faithfulness_cases: Annotated[
        int, typer.Option(min=0, help="Images for faithfulness and randomization, which are slow; 0 leaves them out.")
    ] = 12,
    batch_size: Annotated[int, typer.Option(min=1, help="Images a forward pass.")] = 8,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Measure the maps of a model beside its rivals, and write tables and figures."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # PyTorch says of each measurement that it starts and ends
    try:
        from hrcam_research.evaluate.run import Settings
        from hrcam_research.evaluate.write import evaluate_models
    except ImportError as error:
        from hrcam.errors import ModelError

        raise ModelError(
            f"Evaluating needs a package that is not here: {error.name}.", "Install: pip install 'hrcam[evaluate]'."
        ) from error

    chosen = tuple(name.strip() for name in methods.split(",") if name.strip()) if methods else None
    settings = Settings(cases, faithfulness_cases, chosen, None if split == "all" else split, batch_size, device,
                        tuple(data_set) if data_set else None)
    evaluate_models(model, data, out, settings, typer.echo)
