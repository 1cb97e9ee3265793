"""A bundle's metadata: JSON from an unknown source, with limits, checked against the schema and for consistency."""

import json
import math
from collections.abc import Mapping
from typing import Any

from .. import schemas
from ..errors import BundleError
from ..scan.intensity import HIGH_PERCENTILE, LOW_PERCENTILE
from ..scan.io.formats import safe_name

IMPORT_PREFIX = "import:"
"""Begins the name of an architecture that is a user's own code: ``import:MODULE:CALLABLE``."""


def parse(content: bytes) -> Any:
    """Parse a bundle's metadata.

    Raises
    ------
    ValueError, RecursionError : not JSON, or with numbers and letters that nothing can hold.
    """
    metadata = json.loads(content, parse_constant=_finite, parse_float=_finite, parse_int=_plain_integer)
    json.dumps(metadata, ensure_ascii=False).encode("utf-8")  # refuses halves of letters, which nothing can write
    return metadata


def check_document(metadata: Any) -> None:
    """Raise `BundleError` naming the first thing that breaks the schema, or contradicts another."""
    problem = schemas.first_problem(schemas.BUNDLE, metadata)
    if problem is not None:
        where, what = problem
        raise BundleError(
            f"The model's metadata are not valid at {where or 'the top level'}: {what}.",
            "Compare with schemas/bundle.schema.json.",
        )
    for wrong, what in _contradictions(metadata):
        if wrong:
            raise BundleError(
                f"The model's metadata contradict themselves: {what}.", "Correct them or get the model again."
            )


def _contradictions(metadata: Mapping[str, Any]) -> list[tuple[bool, str]]:
    names = [c["name"] for c in metadata["classes"]]
    dimension = metadata["dimension"]
    spacing = metadata["input"]["spacing_mm"]
    bias = metadata.get("volume_rule", {}).get("bias")
    thresholds = [level["threshold"] for level in metadata["evidence_levels"]]
    shares = [level.get("of_peak", 0.0) for level in metadata["evidence_levels"]]
    intensity = metadata["input"]["intensity"]
    low, high = intensity.get("low", LOW_PERCENTILE), intensity.get("high", HIGH_PERCENTILE)
    planes = metadata["input"]["planes"]
    best = metadata["input"].get("best_plane", planes[0])
    agreed = metadata.get("agreement", {"limit": thresholds[0]})["limit"]
    alone = len(names) == 2 and sum(c["pathology"] for c in metadata["classes"]) == 1
    ranges = metadata.get("input_statistics", {}).values()
    return [
        (safe_name(metadata["name"]) != metadata["name"], "the name cannot be a folder's on every system"),
        (len(set(names)) != len(names), "two classes have the same name"),
        (not any(c["pathology"] for c in metadata["classes"]), "no class is a pathology"),
        (len(metadata["input"]["size"]) != dimension, f"input.size must have {dimension} numbers"),
        (isinstance(spacing, list) and len(spacing) != dimension, f"input.spacing_mm must have {dimension} numbers"),
        (bias is not None and len(bias) != len(names), "volume_rule.bias must have one number a class"),
        (thresholds != sorted(set(thresholds)), "evidence_levels must rise from weak to strong"),
        (shares != sorted(shares), "evidence_levels.of_peak must not fall from weak to strong"),
        (any(first > last for first, last in ranges), "a range of input_statistics ends before it begins"),
        (best != "all" and best not in planes, "input.best_plane must be one of input.planes"),
        (best == "all" and len(planes) < 3, "input.best_plane can be all where input.planes are all three"),
        ("agreement" in metadata and not alone, "agreement is for one pathology and one class without"),
        (agreed < thresholds[0], "agreement.limit must not be below the weakest of evidence_levels"),
        (low >= high, "input.intensity.low must be below high"),
    ]


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is not a finite number")
    return number


def _plain_integer(text: str) -> int:
    if len(text) > 18:  # what a float and a 64-bit integer hold
        raise ValueError(f"{text[:40]}… is too long a number")
    return int(text)
