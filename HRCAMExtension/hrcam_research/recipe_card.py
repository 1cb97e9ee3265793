"""What the model cards of the bundled models' recipes have in common: the opening, and lists made from metadata."""

from __future__ import annotations

from typing import Any


def opening(metadata: dict[str, Any], note: str, recipe: str) -> str:
    """Title, description, intended use, and how the model was made, up to the figures."""
    return f"""# {metadata["title"]} (`{metadata["name"]}` {metadata["version"]})

{metadata["description"]}

**{metadata["intended_use"]}**

## How it was made

{note}
The recipe is `{recipe}`; `docs/RESEARCH.md` says what else was tried."""


def figure_rows(metadata: dict[str, Any]) -> str:
    """Rows of a table: each single figure of the metrics."""
    return "\n".join(
        f"| {key.replace('_', ' ')} | {value:.3f} |"
        for key, value in metadata["metrics"].items() if isinstance(value, float)
    )  # fmt: skip


def rate_rows(metadata: dict[str, Any]) -> str:
    """Rows of a table: how often, and on what area, each evidence level marks images without pathology."""
    return "\n".join(
        f"| {level} | {100 * rate['scans']:.1f} % | {100 * rate['area']:.3f} % |"
        for level, rate in metadata["metrics"]["level_rates_on_normals"].items()
    )


def sources(metadata: dict[str, Any]) -> str:
    """A list of the data, their licenses, use and attribution."""
    return "\n".join(f"- {s['name']} ({s['license']}): {s['use']}. {s['attribution']}." for s in metadata["data"])
