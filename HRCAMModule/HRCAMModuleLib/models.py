"""The model bundles that the panel offers, described without loading a network."""

from __future__ import annotations

import html
import importlib.util
import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from .engine import ensureEngineOnPath

_FIGURES_SHOWN = 3


def noModelMessage() -> str:
    """What to do where no model is there to choose."""
    return _("Add a model first.")


@dataclass(frozen=True)
class ModelEntry:
    """A model in the list: its name, its folder, and its metadata (see the bundle schema)."""

    name: str
    folder: Path
    metadata: dict[str, Any]

    @property
    def title(self) -> str:
        """Text in the list."""
        return str(self.metadata.get("title") or self.name)

    @property
    def classes(self) -> list[str]:
        """Class names in the model's order."""
        return [str(item["name"]) for item in self.metadata["classes"]]

    @property
    def classColors(self) -> dict[str, list[float]]:
        """Class name to rgb, 0–1."""
        return {str(item["name"]): item["color"] for item in self.metadata["classes"] if item.get("color")}

    @property
    def removable(self) -> bool:
        """Whether it lies in the user's own model folder, where HR-CAM put it."""
        from hrcam.bundle.bundle import user_model_folder

        return self.folder.parent.resolve() == user_model_folder().resolve()

    def line(self) -> str:
        """What the model tells apart, in one line."""
        classes = [str(item.get("title") or item["name"]).replace("_", " ") for item in self.metadata["classes"]]
        told = [one[:1].lower() + one[1:] for one in classes]
        return _("Tells apart: {classes}").format(classes=", ".join(told))

    def summary(self) -> str:
        """What the model is, for the panel, as rich text."""
        parts = [
            str(self.metadata.get("description", "")),
            _("Images: {text}").format(text=self.metadata.get("modality", "?")),
            _("Classes: {text}").format(text=", ".join(name.replace("_", " ") for name in self.classes)),
        ]
        figures = figuresText(self.metadata.get("metrics") or {})
        if figures:
            parts.append(_("Validation: {text}").format(text=figures))
        if self.metadata.get("intended_use"):
            parts.append(str(self.metadata["intended_use"]))
        return "<br>".join(html.escape(part) for part in parts if part)


def figuresText(metrics: dict[str, Any]) -> str:
    """A bundle's validation figures with the images and patients behind them; empty where it does not state these.

    Example
    -------
    >>> figuresText({"validation": {"images": {"count": 160, "patients": 3, "auc": {"value": 0.873}}}})
    'AUC 0.87; 160 images of 3 patients'
    >>> figuresText({"split": "379 slices", "lesion_auc_slice": 0.787, "specificity_slice": 0.86})
    'lesion AUC slice 0.79, specificity slice 0.86; 379 slices'
    """
    images = (metrics.get("validation") or {}).get("images")
    if images:
        figures = {name: images[name]["value"] for name in ("balanced_accuracy", "auc")
                   if (images.get(name) or {}).get("value") is not None}
        of = _("{images} images of {patients} patients").format(images=images["count"], patients=images["patients"])
    else:
        figures = {name: value for name, value in metrics.items() if isinstance(value, float)}
        of = str(metrics.get("split") or "")
    if not figures or not of:
        return ""
    shown = list(figures.items())[:_FIGURES_SHOWN]
    return "; ".join([", ".join(f"{_spelled(name)} {value:.2f}" for name, value in shown), of])


def _spelled(name: str) -> str:
    return " ".join("AUC" if word == "auc" else word for word in name.split("_"))


def listModels() -> list[ModelEntry]:
    """User and bundled models by name.

    Where the package that checks metadata is not installed yet, metadata are shown unchecked; every run checks them.

    Example
    -------
    >>> all(entry.classes for entry in listModels())
    True
    """
    ensureEngineOnPath()
    from hrcam.bundle.bundle import list_bundles

    if importlib.util.find_spec("jsonschema") is None:
        return _listUnchecked()
    return [ModelEntry(bundle.name, bundle.path, dict(bundle.metadata)) for bundle in list_bundles()]


def _listUnchecked() -> list[ModelEntry]:
    from hrcam.bundle.bundle import MAX_METADATA_BYTES, METADATA, model_folders, read_limited
    from hrcam.errors import BundleError

    found: dict[str, ModelEntry] = {}
    for parent in model_folders():
        for folder in sorted(parent.iterdir()) if parent.is_dir() else []:
            try:
                metadata = json.loads(read_limited(folder / METADATA, MAX_METADATA_BYTES))
                entry = ModelEntry(str(metadata["name"]), folder, metadata)
                if entry.classes:
                    found.setdefault(entry.name, entry)
            except (BundleError, ValueError, KeyError, TypeError) as error:
                logging.debug("HR-CAM: %s is no model: %s", folder, error)
    return sorted(found.values(), key=lambda entry: entry.name)


def modelEntry(model: str) -> ModelEntry:
    """One model by name or folder.

    Raises ``hrcam.errors.BundleError`` with the names there are.
    """
    ensureEngineOnPath()
    from hrcam.bundle.bundle import load_bundle

    bundle = load_bundle(model)
    return ModelEntry(bundle.name, bundle.path, dict(bundle.metadata))


def addModel(source: str | Path) -> ModelEntry:
    """Copy a model bundle (a folder, or a .zip of one) into the user's model folder, after the engine has checked it.

    Raises ``hrcam.errors.BundleError`` for what is no valid bundle, ``hrcam.errors.OutputError`` when there is a model
    of that name already or the folder cannot be written.
    """
    ensureEngineOnPath()
    from hrcam.bundle.install import install_bundle

    bundle = install_bundle(source)
    return ModelEntry(bundle.name, bundle.path, dict(bundle.metadata))


def removeModel(entry: ModelEntry) -> None:
    """Remove a model from the user's own model folder.

    Raises ``ValueError`` for a model that lies elsewhere, ``OSError`` where files cannot be removed.
    """
    if not entry.removable:
        raise ValueError(_('"{name}" does not lie in your model folder: it stays.').format(name=entry.title))
    shutil.rmtree(entry.folder)
