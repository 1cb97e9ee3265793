"""``python -m hrcam_research.sequence.evaluate``: what scans are recognized as, and of which a model warns.

Scans have no names here: what a name or DICOM tells, `hrcam.scan.checks` compares.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from hrcam.bundle.bundle import load_bundle
from hrcam.errors import InputError
from hrcam.scan.checks import WARNING_SCORE, assess_fit, check_volume
from hrcam.scan.volume import Volume
from hrcam.sequence.check import check_sequence
from hrcam.sequence.recognition import recognize

from ..cut import cut_to_head
from .scans import known_scans
from .unlike import unlike_scans

_TOTALS, _NO_SCANS = "real scans", ("generated", "t1ce_slices, val")
"""Totals are over all other sets than these, which are no real scans or single slices."""
_UNLIKE = "all that is no such scan"


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
    unlike: Annotated[bool, typer.Option(help="Also noise, phantoms, spoilt scans, pictures.")] = True,
    cropped: Annotated[bool, typer.Option(help="Scans end where the head does, as cropped ones.")] = False,
) -> None:
    """Print a row for each set and sequence, and totals over real scans of right and wrong sequences.

    And over what is no scan of a head (`unlike_scans`); images that no model reads at all are left out there.
    """
    bundle = load_bundle(model)
    accepted = bundle.metadata["sequences"]
    rows: dict[tuple[str, str], _Row] = {}
    seconds = []

    def count(volume: Volume, keys: list[tuple[str, str]]) -> None:
        found = recognize(volume)
        by_sequence = check_sequence(volume, bundle) is not None
        score = assess_fit(volume, bundle).out_of_range_score
        by_score = score is not None and score > WARNING_SCORE
        for key in keys:
            row = rows.setdefault(key, _Row())
            row.recognized[found.likeliest] += 1
            row.against.append(found.against(accepted))
            row.by_sequence += by_sequence
            row.by_score += by_score
            row.by_any += by_sequence or by_score

    for name, sequence, whole in known_scans(data, generated):
        volume = cut_to_head(whole) if cropped and whole.spacing_known else whole
        check_volume(volume)  # as `localize` does before: it sorts the voxels
        began = time.process_time()
        recognize(volume)
        if len(volume.array) > 1:
            seconds.append(time.process_time() - began)
        total = (_TOTALS, "right" if sequence in accepted else "wrong")
        count(volume, [(name, sequence), *([] if name in _NO_SCANS else [total])])
    for name, kind, volume in unlike_scans(data) if unlike else ():
        with suppress(InputError):
            check_volume(volume)
            count(volume, [(name, kind), (_UNLIKE, "–")])
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
