"""Which model to choose where one was not made for a scan's sequence: those that state it, by their own metadata."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .sampling import HasMetadata

OtherModels = Callable[[], Sequence["HasMetadata"]]
"""The models that may be chosen instead; called only where there is something to advise."""


def none_known() -> Sequence[HasMetadata]:
    """No other models."""
    return ()


def advice(sequences: Collection[str], others: OtherModels) -> str:
    """What to do with a scan of these sequences: choose a model that states one, or another scan.

    Each model is named as Slicer's panel shows it, and as the command line takes it.
    """
    fitting = [one.metadata for one in others() if set(sequences) & set(one.metadata.get("sequences", ()))]
    if not fitting:
        return "Choose such a scan, or another model."
    named = " or ".join(f'"{one["title"]}" ({one["name"]})' for one in fitting)
    return f"Choose the model {named}, which was trained on scans like this one."
