"""The command ``hrcam models``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..bundle.bundle import Bundle, list_bundles, model_folders, user_model_folder
from ..bundle.install import install_bundle
from ..errors import BundleError
from ..words import printable, readable, shown


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON document instead of a table.")] = False,
    add: Annotated[Path | None, typer.Option(help="Check a model's folder or .zip and add it to your own.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model of the same name.")] = False,
) -> None:
    """List the models that are there, bundled and your own, or add one."""
    if add is not None:
        added = install_bundle(add, overwrite=overwrite)
        typer.echo(f"Added {added.name} {added.version} to {shown(added.path)}", err=as_json)
    problems: list[tuple[Path, BundleError]] = []
    found = list_bundles(lambda folder, error: problems.append((folder, error)))
    if as_json:
        document = {
            "models": [{**bundle.metadata, "path": str(bundle.path)} for bundle in found],
            "problems": [{"path": str(folder), "message": str(error)} for folder, error in problems],
            "folders": [str(folder) for folder in model_folders()],
        }
        typer.echo(json.dumps(document, indent=1, ensure_ascii=False))
        return
    _print_table(found)
    for folder, error in problems:
        typer.echo(f"Not usable: {shown(folder)}: {printable(str(error))}", err=True)
    typer.echo(f"Your own models go into {user_model_folder()} (or any folder listed in HRCAM_MODELS).")


def _print_table(found: list[Bundle]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    if not found:
        console.print("No model is installed.")
        return
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 3, 1, 0))
    for heading in ("Model", "What it tells apart", "Made for", "Slices"):
        table.add_column(heading)
    for bundle in found:
        made_for = f"{bundle.modality}, {bundle.dimension}D"
        planes = ", ".join(bundle.input.planes) if bundle.dimension == 2 else "whole volume"
        classes = ", ".join(map(readable, bundle.class_names))
        table.add_row(f"[bold]{escape(bundle.name)}[/]\n{bundle.version}", f"{escape(bundle.title)}\n[dim]{classes}[/]",
                      escape(made_for), planes)
    console.print(table)
