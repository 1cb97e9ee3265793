"""Model bundles: a folder of ``metadata.json``, ``model.safetensors`` and a model card. Read without running any of it.

A bundle is untrusted: its metadata is checked against a schema, its weights against their checksum and the network's
shapes; nothing is unpickled, and only networks of the allow-list are built. This file needs no torch until a network is
built, so that models can be listed without it.
"""

import hashlib
import logging
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BundleError
from ..words import readable, reason, shown
from .evidence_level import EvidenceLevel
from .metadata import IMPORT_PREFIX, check_document, parse

if TYPE_CHECKING:
    from ..cam.model import HRCAM

METADATA, WEIGHTS, CARD = "metadata.json", "model.safetensors", "MODEL_CARD.md"
MAX_METADATA_BYTES = 1 << 20
MAX_WEIGHTS_BYTES = 512 << 20
MODELS_VARIABLE = "HRCAM_MODELS"
DEFAULT_MODEL = "brain-lesion"
"""The model that is used where none is named: by the commands, the panel and the batch script."""

ALLOW_IMPORT_VARIABLE = "HRCAM_ALLOW_IMPORT"
"""Names, separated by commas, of the modules (with all inside them) that a user lets bundles import."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BundleClass:
    """A class that the model tells apart; `terminology` is a Slicer terminology tag."""

    name: str
    pathology: bool
    title: str
    color: tuple[float, float, float]
    terminology: str | None


@dataclass(frozen=True)
class BundleInput:
    """What the network was trained on.

    Attributes
    ----------
    planes : names of the slice planes (2D) it saw.
    size : voxels, rows × columns of a slice, or slices × rows × columns of a volume.
    spacing_mm : one number for all axes, or one an axis in the order of `size`, repeated to that length.
    intensity : the scaling, see `intensity.normalize`.
    """

    planes: tuple[str, ...]
    size: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    intensity: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Bundle:
    """A checked bundle: its folder, its metadata as written and as typed values. Can be pickled; equal only to itself.

    Examples
    --------
    >>> bundle = load_bundle("t1ce-tumor")      # doctest: +SKIP
    >>> hrcam = bundle.build().to("cuda")       # doctest: +SKIP
    """

    path: Path
    metadata: Mapping[str, Any]
    allow_import: bool = field(default=False, repr=False)

    @property
    def name(self) -> str:
        """Identifier, such as ``t1ce-tumor``."""
        return str(self.metadata["name"])

    @property
    def version(self) -> str:
        """Version of the model."""
        return str(self.metadata["version"])

    @property
    def title(self) -> str:
        """Name for people."""
        return str(self.metadata["title"])

    @property
    def description(self) -> str:
        """What the model does."""
        return str(self.metadata.get("description", ""))

    @property
    def modality(self) -> str:
        """Kind of scan that it was made for."""
        return str(self.metadata["modality"])

    @property
    def dimension(self) -> int:
        """2: slices; 3: whole volumes."""
        return int(self.metadata["dimension"])

    @property
    def classes(self) -> tuple[BundleClass, ...]:
        """All classes, in the order of the logits."""
        return tuple(
            BundleClass(
                c["name"],
                c["pathology"],
                c.get("title", readable(c["name"])),
                _color(c.get("color", (0.9, 0.2, 0.2))),
                c.get("terminology"),
            )
            for c in self.metadata["classes"]
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return tuple(c["name"] for c in self.metadata["classes"])

    @property
    def input(self) -> BundleInput:
        """What the network takes."""
        given = self.metadata["input"]
        spacing = given["spacing_mm"]
        spacings = spacing if isinstance(spacing, list) else [spacing] * self.dimension
        return BundleInput(
            tuple(given["planes"]),
            tuple(given["size"]),
            tuple(map(float, spacings)),
            dict(given["intensity"]),
        )

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the CNN's levels, fine → coarse."""
        return tuple(self.metadata["levels"])

    @property
    def fusion(self) -> str:
        """The fusion that the bundle uses unless told otherwise."""
        return str(self.metadata["fusion"])

    @property
    def temperature(self) -> float:
        """Divides a slice's (2D) or the volume's (3D) logits before the softmax."""
        return float(self.metadata["temperature"])

    @property
    def volume_rule(self) -> Mapping[str, Any]:
        """How slices make a volume's probabilities; empty for 3D models."""
        return dict(self.metadata.get("volume_rule", {}))

    @property
    def pathology(self) -> Mapping[str, bool]:
        """Class name to whether it is a pathology, in the order of the logits."""
        return {one.name: one.pathology for one in self.classes}

    @property
    def withholding(self) -> Mapping[str, Any] | None:
        """Above which probability of no pathology nothing is marked; None where the bundle states none."""
        rule = self.metadata.get("withholding")
        return None if rule is None else dict(rule)

    @property
    def agreement(self) -> Mapping[str, Any] | None:
        """What planes that were read together must agree on, see ``run.agreement``; None where their mean decides."""
        rule = self.metadata.get("agreement")
        return None if rule is None else dict(rule)

    @property
    def borders(self) -> Mapping[str, Any] | None:
        """How regions follow the image, see ``run.borders``; None where their peaks alone decide how far they reach."""
        rule = self.metadata.get("borders")
        return None if rule is None else dict(rule)

    @property
    def neighbor_weight(self) -> float:
        """What each neighboring slice's evidence counts beside a slice's own; 0 where each stands alone."""
        return float(self.metadata.get("neighbor_weight", 0.0))

    @property
    def evidence_levels(self) -> tuple[EvidenceLevel, ...]:
        """Calibrated evidence levels, weakest first."""
        return tuple(
            EvidenceLevel(
                level["name"], float(level["threshold"]), _color(level["color"]), float(level.get("of_peak", 0.0))
            )
            for level in self.metadata["evidence_levels"]
        )

    @property
    def input_statistics(self) -> Mapping[str, tuple[float, float]]:
        """Range of each statistic over the training images."""
        return {
            key: (float(low), float(high)) for key, (low, high) in self.metadata.get("input_statistics", {}).items()
        }

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Validation figures."""
        return dict(self.metadata.get("metrics", {}))

    @property
    def sha256(self) -> str:
        """Checksum of the weights."""
        return str(self.metadata["sha256"])

    @property
    def card(self) -> str:
        """Text of the model card, empty where there is none."""
        path = self.path / CARD
        return read_limited(path, MAX_METADATA_BYTES).decode("utf-8", "replace") if path.is_file() else ""

    def weights(self) -> bytes:
        """Return the weights file's content, after comparing its checksum.

        Raises
        ------
        BundleError : the file is missing, a link, too large, or differs from what the metadata promise.
        """
        content = read_limited(self.path / WEIGHTS, MAX_WEIGHTS_BYTES)
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise BundleError(
                f"The weights of model {self.name!r} are damaged or were exchanged: their checksum differs.",
                "Get the model again.",
            )
        return content

    def build(self) -> "HRCAM":
        """Build the network with its weights: float32, on the CPU, in evaluation mode, frozen.

        Raises
        ------
        BundleError : weights and architecture do not fit, or the architecture is not allowed.
        """
        from .network import build_hrcam

        return build_hrcam(self.metadata, self.weights())


def load_bundle(name_or_path: str | os.PathLike[str], allow_import: bool = False) -> Bundle:
    """Load and verify a bundle by name (see `list_bundles`) or by its folder's path.

    Parameters
    ----------
    allow_import : let a bundle name a network of your own, ``import:MODULE:CALLABLE``. This runs that module's code;
        say yes only to bundles you made. ``$HRCAM_ALLOW_IMPORT`` (modules, separated by commas) says yes everywhere.

    Raises
    ------
    BundleError : not found, not valid, damaged, or not allowed.
    """
    text = os.fspath(name_or_path)
    if not text.strip() or "\0" in text:
        raise BundleError(f"{text!r} is no model.", _available())
    folder = path_of(text)
    if re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", text):
        named = [parent / text for parent in model_folders() if (parent / text / METADATA).exists()]
        folder = named[0] if named else folder
    if not folder.is_dir():
        raise BundleError(f"There is no model {text!r}.", _available())
    bundle = read_bundle(folder, allow_import)
    bundle.weights()
    return bundle


def list_bundles(on_problem: Callable[[Path, BundleError], None] | None = None) -> list[Bundle]:
    """List the bundles of all model folders, sorted by name; of two with the same name the first folder's counts.

    Metadata are checked, weights only for presence (`load_bundle` verifies them).

    Parameters
    ----------
    on_problem : called with folder and error for each bundle that is not valid; None writes them to the log.
    """
    found: dict[str, Bundle] = {}
    for parent in model_folders():
        for folder in sorted(parent.iterdir()) if parent.is_dir() else []:
            if folder.name.startswith(".") or not (folder / METADATA).exists():
                continue
            try:
                bundle = read_bundle(folder)
                found.setdefault(bundle.name, bundle)
            except BundleError as error:
                if on_problem is None:
                    _log.warning("Model folder %s is ignored: %s", folder, error)
                else:
                    on_problem(folder, error)
    return sorted(found.values(), key=lambda bundle: bundle.name)


def model_folders() -> list[Path]:
    """Folders that hold bundles: ``$HRCAM_MODELS`` (or ``~/.hrcam/models``) and the package's own, in this order."""
    package = Path(__file__).parent.parent / "models"
    named = [path_of(p) for p in os.environ.get(MODELS_VARIABLE, "").split(os.pathsep) if p.strip()]
    return list(dict.fromkeys([*named, path_of("~") / ".hrcam" / "models", package]))


def path_of(text: str | os.PathLike[str]) -> Path:
    """The path that a user means, a leading ``~`` resolved where the system knows that home.

    Raises
    ------
    BundleError : no file system takes it, or it cannot be looked at.
    """
    path = Path(text)
    with suppress(RuntimeError):  # a container's user may have no home
        path = path.expanduser()
    try:
        path.exists()
    except (OSError, ValueError) as error:
        raise BundleError(f"{shown(path)} cannot be opened: {reason(error)}.", "Check the path.") from error
    return path


def user_model_folder() -> Path:
    """Where new bundles go: the first of `model_folders`."""
    return model_folders()[0]


def read_bundle(folder: Path, allow_import: bool = False) -> Bundle:
    """Read and check a bundle's metadata and the presence of its weights; see `load_bundle`."""
    content = read_limited(folder / METADATA, MAX_METADATA_BYTES)
    try:
        metadata = parse(content)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{folder / METADATA} is not valid JSON: {error}.", "Get the model again.") from error
    check_metadata(metadata, allow_import)
    _check_file(folder / WEIGHTS, MAX_WEIGHTS_BYTES)
    return Bundle(folder, metadata, allow_import)


def check_metadata(metadata: Any, allow_import: bool = False) -> None:
    """Raise `BundleError` naming the first thing wrong with a bundle's metadata."""
    check_document(metadata)
    architecture = metadata["architecture"]["name"]
    if architecture.startswith(IMPORT_PREFIX) and not (allow_import or _allowed_by_user(architecture)):
        raise BundleError(
            f"Model {metadata['name']!r} runs code of its own ({architecture}).",
            f"If you trust it, set {ALLOW_IMPORT_VARIABLE}={imported_module(architecture)}, "
            "or load it with allow_import=True.",
        )


def imported_module(architecture: str) -> str:
    """Module of an architecture's name ``import:MODULE:CALLABLE``."""
    return architecture.removeprefix(IMPORT_PREFIX).partition(":")[0]


def _allowed_by_user(architecture: str) -> bool:
    module = imported_module(architecture)
    allowed = [name.strip() for name in os.environ.get(ALLOW_IMPORT_VARIABLE, "").split(",")]
    return any(name and f"{module}.".startswith(f"{name}.") for name in allowed)


def read_limited(path: Path, limit: int) -> bytes:
    """Return a regular file's content; raise `BundleError` for a link, a missing or an oversize file."""
    _check_file(path, limit)
    try:
        with path.open("rb") as stream:
            content = stream.read(limit + 1)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from error
    if len(content) > limit:
        raise BundleError(f"{path} is larger than {limit >> 20} MB.", "This is no HR-CAM model.")
    return content


def _check_file(path: Path, limit: int) -> None:
    if path.is_symlink():
        raise BundleError(f"{path} is a link, which a model may not contain.", "Put the file itself there.")
    if not path.is_file():
        raise BundleError(f"{path} is missing.", f"A model is a folder with {METADATA} and {WEIGHTS}.")
    if path.stat().st_size > limit:
        raise BundleError(f"{path} is larger than {limit >> 20} MB.", "This is no HR-CAM model.")


def _available() -> str:
    names = ", ".join(bundle.name for bundle in list_bundles(lambda _folder, _error: None))
    return f"Available: {names}; or give a model's folder." if names else "Give the path of a model's folder."


def _color(values: Any) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue
