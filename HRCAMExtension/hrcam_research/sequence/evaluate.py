"""``python -m hrcam_research.sequence.evaluate``: what scans are recognized as, and of which a model warns.

Scans have no names here: what a name or DICOM tells, `hrcam.scan.checks` compares.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from hrcam.bundle.bundle import load_bundle
from hrcam.scan.checks import WARNING_SCORE, assess_fit, check_volume
from hrcam.sequence.check import check_sequence
from hrcam.sequence.recognition import recognize

from .scans import known_scans

_TOTALS, _NO_SCANS = "real scans", ("generated", "t1ce_slices, val")
"""Totals are over all other sets than these, which are no real scans or single slices."""


@dataclass
class _Row:
    recognized: Counter[str] = field(default_factory=Counter)
    against: list[float] = field(default_factory=list)
    by_sequence: int = 0
    by_score: int = 0
    by_any: int = 0


def main(
    data: Annotated[Path, typer.Option(help="Folder with lgg, ms, healthy_t1, t1ce_volumes and others.")],
    model: Annotated[str, typer.Option(help="Model whose warnings are counted.")] = "t1ce-tumor",
    generated: Annotated[bool, typer.Option(help="Also generated scans.")] = True,
) -> None:
    """Print a row for each set and sequence, and totals over real scans of right and wrong sequences."""
    bundle = load_bundle(model)
    accepted = bundle.metadata["sequences"]
    rows: dict[tuple[str, str], _Row] = {}
    seconds = []
    for name, sequence, volume in known_scans(data, generated):
        check_volume(volume)  # as `localize` does before: it sorts the voxels
        began = time.process_time()
        found = recognize(volume)
        if len(volume.array) > 1:
            seconds.append(time.process_time() - began)
        by_sequence = check_sequence(volume, bundle) is not None
        score = assess_fit(volume, bundle).out_of_range_score
        by_score = score is not None and score > WARNING_SCORE
        keys = [(name, sequence)]
        if name not in _NO_SCANS:
            keys.append((_TOTALS, "right" if sequence in accepted else "wrong"))
        for key in keys:
            row = rows.setdefault(key, _Row())
            row.recognized[found.likeliest] += 1
            row.against.append(found.against(accepted))
            row.by_sequence += by_sequence
            row.by_score += by_score
            row.by_any += by_sequence or by_score
    typer.echo(f"{model}, made for {', '.join(accepted)}")
    typer.echo("| set | sequence | scans | recognized as | evidence against | by sequence | by range score | by any |")
    typer.echo("|---|---|---|---|---|---|---|---|")
    for (name, sequence), row in rows.items():
        looks = ", ".join(f"{one} {count}" for one, count in row.recognized.most_common())
        span = f"{min(row.against):.2f} to {max(row.against):.2f}"
        counts = f"{row.by_sequence} | {row.by_score} | {row.by_any}"
        typer.echo(f"| {name} | {sequence} | {len(row.against)} | {looks} | {span} | {counts} |")
    if seconds:
        typer.echo(f"Processor time for a volume: median {np.median(seconds):.3f} s, largest {max(seconds):.3f} s.")


if __name__ == "__main__":
    typer.run(main)
