"""What a training run is: a typed YAML file, checked before anything is read or computed.

`load_config("glioma-meningioma")` takes a recipe of `recipes/`, `load_config("my.yaml")` a file. The JSON schema
of the file is `TrainConfig.model_json_schema()` (`hrcam train --print-schema`).
"""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import yaml
from hrcam.cam.fusion import check_fusion
from hrcam.errors import HRCAMError, InputError
from hrcam.words import reason
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hrcam_train.augment import AugmentOptions
from hrcam_train.linear_head import STRENGTHS

RECIPES = Path(__file__).parent / "recipes"
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ClassConfig(Section):
    """One class, in the order of the network's outputs."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.+-]{0,63}$")
    title: str | None = Field(default=None, description="as people read it")
    pathology: bool = Field(default=True, description="false for a class that means normal")
    color: tuple[float, float, float] | None = Field(default=None, description="RGB, 0 to 1")
    terminology: str | None = Field(default=None, description="3D Slicer's terminology tag")


class IntensityConfig(Section):
    """How intensities become comparable; the same at inference."""

    kind: Literal["percentile"] = "percentile"
    low: float = Field(default=1.0, ge=0, lt=100)
    high: float = Field(default=99.5, gt=0, le=100)
    foreground: Literal["otsu", "nonzero", "none"] = "otsu"
    per: Literal["volume", "slice"] = "volume"


class InputConfig(Section):
    """The grid on which the network sees a slice (H, W) or a volume (D, H, W)."""

    planes: list[Literal["axial", "coronal", "sagittal"]] = Field(
        default=["axial", "coronal", "sagittal"], min_length=1
    )
    size: list[int] = Field(default=[256, 256], min_length=2, max_length=3)
    spacing_mm: float | list[float] = Field(default=1.0, description="of all axes, or one an axis as in size")
    intensity: IntensityConfig = IntensityConfig()

    @property
    def spacings(self) -> tuple[float, ...]:
        """One number an axis, mm."""
        given = self.spacing_mm
        return tuple(given) if isinstance(given, list) else (given,) * len(self.size)


class DataConfig(Section):
    """Where images come from, and how volumes become training examples."""

    kind: Literal["labeled", "paired"] = Field(
        default="labeled", description="paired: images with and without a simulated lesion, for hrcam train-pairs"
    )
    path: str | None = Field(default=None, description="folder or CSV; --data says it on the command line")
    patient_pattern: str | None = Field(
        default=None, description="regular expression; its first group, or its match, in the name is the patient"
    )
    validation_fraction: float = Field(default=0.2, gt=0, le=0.5, description="of the patients of each class")
    planes: Literal["acquisition", "all"] = Field(default="acquisition", description="cuts taken from a volume (2D)")
    slice_step: int = Field(default=1, ge=1, description="take every n-th slice of a volume (2D)")
    minimum_foreground: float = Field(default=0.05, ge=0, lt=1, description="leave out slices with less of the head")


class NetworkConfig(Section):
    """The CNN: a key of `registry.ARCHITECTURES`; `torchvision.`, `timm.`, `monai.NAME`; or `module:function`."""

    name: str = Field(min_length=1)
    arguments: dict[str, Any] = {}
    pretrained: bool = Field(default=False, description="start from the weights that the library ships")
    weights: str | None = Field(
        default=None,
        description="start from a bundle (its name), a .safetensors file, or a .pt that holds tensors only; a 2D "
        "network's weights may start a 3D one",
    )
    levels: list[str] | Literal["auto"] = Field(
        default="auto", description="modules whose maps are used, fine to coarse"
    )


class OptimizerConfig(Section):
    """Stage one: the network, trained by AdamW with a one-cycle learning rate."""

    epochs: int = Field(default=30, ge=1)
    batch_size: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0, le=1)
    weight_decay: float = Field(default=1e-2, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    patience: int = Field(default=8, ge=1, description="epochs without a better validation loss before stopping")
    workers: int = Field(default=0, ge=0, description="processes that load data")


class HeadConfig(Section):
    """Stage two (docs/method.md): pooled features, z-scored, L2, solved to convergence."""

    inverse_penalties: list[float] = Field(
        default=list(STRENGTHS), min_length=1, description="C; the strongest penalty that validation allows is taken"
    )


class TrainerConfig(Section):
    """Lightning's own flags."""

    accelerator: str = "auto"
    devices: int | str = "auto"
    strategy: str = "auto"
    num_nodes: int = Field(default=1, ge=1)
    precision: str = "32-true"
    progress: bool = True


class DataSource(Section):
    """An attribution that the bundle carries along."""

    name: str
    license: str
    use: str
    attribution: str = ""


class TrainConfig(Section):
    """A whole training run."""

    name: str = Field(pattern=NAME_PATTERN)
    version: str = "1.0.0"
    title: str
    description: str
    modality: str
    sequences: list[Literal["T1", "T1-CE", "FLAIR", "T2", "PD", "CT", "DWI"]] = Field(
        default=[], description="models of whole heads: what a scan may look like without a warning"
    )
    intended_use: str = "Research use only. Not for diagnosis or treatment."
    reference: str = "arXiv:1909.12919"
    sources: list[DataSource] = Field(default=[], description="attributions that the bundle carries along")
    dimension: Literal[2, 3] = 2
    classes: list[ClassConfig] = Field(min_length=2)
    input: InputConfig = InputConfig()
    data: DataConfig = DataConfig()
    network: NetworkConfig
    mode: Literal["two_stage", "joint", "head_only"] = Field(
        default="two_stage",
        description="train the CNN, then the head; or both at once through the HR-CAM head; or the head alone",
    )
    fusion: str = "sum"
    class_weights: Literal["balanced", "none"] = "balanced"
    train: OptimizerConfig = OptimizerConfig()
    head: HeadConfig = HeadConfig()
    augment: AugmentOptions | None = AugmentOptions()
    folds: int = Field(default=0, ge=0, le=50, description="cross-validate by patient before the final training")
    seed: int = Field(default=0, ge=0)
    trainer: TrainerConfig = TrainerConfig()

    @model_validator(mode="after")
    def _fits_together(self) -> "TrainConfig":
        names = self.class_names
        if len(set(names)) != len(names):
            raise ValueError(f"classes: every name may occur once, there are {', '.join(names)}")
        if len(self.input.size) != self.dimension:
            raise ValueError(f"input.size: {self.dimension} numbers are needed for dimension {self.dimension}")
        if isinstance(self.input.spacing_mm, list) and len(self.input.spacing_mm) != self.dimension:
            raise ValueError(f"input.spacing_mm: one number, or {self.dimension}")
        if min(self.input.spacings) <= 0:
            raise ValueError("input.spacing_mm: must be above 0")
        if not any(c.pathology for c in self.classes):
            raise ValueError("classes: at least one must be a pathology")
        try:
            check_fusion(self.fusion)
        except HRCAMError as error:
            raise ValueError(f"fusion: {error}") from None
        if self.folds == 1:
            raise ValueError("folds: 0 (no cross-validation) or at least 2")
        if self.data.patient_pattern is not None:
            try:
                re.compile(self.data.patient_pattern)
            except re.error as error:
                raise ValueError(f"data.patient_pattern: not a regular expression ({error})") from None
        return self

    @property
    def sick(self) -> int:
        """Index of the first class with pathology; the only one of pairs."""
        return [c.pathology for c in self.classes].index(True)

    @property
    def class_names(self) -> list[str]:
        """Names in the order of the network's outputs."""
        return [c.name for c in self.classes]


Config = TypeVar("Config", bound=TrainConfig)


def recipes(folder: Path = RECIPES) -> list[str]:
    """Names of the recipes in a folder."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def recipe_text(name: str, folder: Path = RECIPES) -> str:
    """A recipe as it is written, to start from; raises `InputError` where there is none of this name."""
    return _find(name, folder).read_text(encoding="utf-8")


def load_config(name_or_path: str | Path, **overrides: Any) -> TrainConfig:
    """Read a recipe or a file; `overrides` are dotted keys, e.g. `{"train.epochs": 3}`.

    Raises
    ------
    InputError : no such recipe or file, not YAML, or wrong keys or values: all of them are named at once.
    """
    return read_config(TrainConfig, name_or_path, RECIPES, overrides)


def read_config(kind: type[Config], name_or_path: str | Path, folder: Path, overrides: Mapping[str, Any]) -> Config:
    """`load_config` for any kind of configuration, with its folder of recipes."""
    path = _find(name_or_path, folder)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {reason(error)}.", "Correct the file.") from None
    if not isinstance(raw, dict):
        raise InputError(f"{path} holds no settings.", "Start from a recipe: hrcam train --print-recipe NAME.")
    for key, value in overrides.items():
        _assign(raw, key.split("."), value)
    return parse_config(raw, str(path), kind)


def parse_config(
    raw: dict[str, Any], source: str = "the configuration", kind: type[Config] = TrainConfig  # type: ignore[assignment]
) -> Config:
    """Check settings; every wrong one is named, unknown keys with the key that was probably meant."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        lines = [_explain(e, kind) for e in error.errors()]
    raise InputError(f"{source} has {len(lines)} wrong setting(s): " + "; ".join(lines) + ".", "Correct and run again.")


def _find(name_or_path: str | Path, folder: Path) -> Path:
    path = Path(name_or_path)
    if not path.is_file() and path.parent == Path():
        path = folder / f"{path.stem}.yaml"
    if not path.is_file():
        near = difflib.get_close_matches(Path(name_or_path).stem, recipes(folder), n=1)
        meant = f"Did you mean {near[0]}? " if near else ""
        raise InputError(
            f"There is no configuration {str(name_or_path)!r}.",
            f"{meant}Give a YAML file or one of {', '.join(recipes(folder))}. "
            "Recipes of simulated pairs belong to hrcam train-pairs, all others to hrcam train.",
        )
    return path


def _explain(error: Any, kind: type[BaseModel]) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(error["loc"][-1]), _keys_at(error["loc"][:-1], kind), n=1)
        return f"unknown key {where}" + (f" (did you mean {near[0]}?)" if near else "")
    if error["type"] == "missing":
        return f"{where} is missing"
    message = error["msg"].removeprefix("Value error, ")
    if not where:
        return message
    return f"{where}: {message[0].lower()}{message[1:]}, not {error['input']!r}"


def _keys_at(location: tuple[str | int, ...], kind: type[BaseModel]) -> list[str]:
    """Settings that exist in the section at `location`, list indices skipped."""
    section = kind
    for part in location:
        if isinstance(part, str) and part in section.model_fields:
            section = _section(section.model_fields[part].annotation) or section
    return list(section.model_fields)


def _section(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((s for s in map(_section, get_args(annotation)) if s), None)


def _assign(raw: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        raw = raw.setdefault(key, {})
        if not isinstance(raw, dict):
            raise InputError(f"{'.'.join(keys)} cannot be set: {key} is no section.", "See hrcam train --print-schema.")
    raw[keys[-1]] = value
