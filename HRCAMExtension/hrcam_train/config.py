"""What a training run is: a typed YAML file, checked before anything is read or computed.

`load_config("glioma-meningioma")` takes a recipe of `recipes/`, `load_config("my.yaml")` a file. The JSON schema
of the file is `TrainConfig.model_json_schema()` (`hrcam train --print-schema`).
"""

import difflib
import re
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from hrcam.cam.fusion import check_fusion
from hrcam.cam.head import STRENGTHS
from hrcam.errors import HRCAMError, InputError
from hrcam_research.simulate.case import LEAST_CHANGE
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hrcam_train.augment import AugmentOptions

RECIPES = Path(__file__).parent / "recipes"
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ClassConfig(_Section):
    """One class, in the order of the network's outputs."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.+-]{0,63}$")
    title: str | None = Field(default=None, description="as people read it")
    pathology: bool = Field(default=True, description="false for a class that means normal")
    color: tuple[float, float, float] | None = Field(default=None, description="RGB, 0 to 1")
    terminology: str | None = Field(default=None, description="3D Slicer's terminology tag")


class IntensityConfig(_Section):
    """How intensities become comparable; the same at inference."""

    kind: Literal["percentile"] = "percentile"
    low: float = Field(default=1.0, ge=0, lt=100)
    high: float = Field(default=99.5, gt=0, le=100)
    foreground: Literal["otsu", "nonzero", "none"] = "otsu"
    per: Literal["volume", "slice"] = "volume"


class InputConfig(_Section):
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


class SimulationConfig(_Section):
    """Pairs generated on the fly by `hrcam_research.simulate`: a scan with a lesion, and the same scan without.

    "lesion" draws from heads in `data.path` (label maps or T1 volumes; without a path, from phantoms), "nigral_loss"
    draws neuromelanin-like midbrains.
    """

    kind: Literal["lesion", "nigral_loss"] = "lesion"
    pairs_per_epoch: int = Field(default=2000, ge=1)
    validation_pairs: int = Field(default=400, ge=4)
    diameter_mm: tuple[float, float] = Field(default=(2.0, 30.0), description="smallest and largest lesion")
    contrast: tuple[float, float] = Field(
        default=(0.12, 1.2), description="least and greatest, as a fraction of the local tissue's intensity"
    )
    least_change: float = Field(
        default=LEAST_CHANGE, ge=0, le=1,
        description="lesions that change the image less, as a fraction of the brain's median, are put elsewhere",
    )
    styles: list[Literal["t1", "t1ce", "any"]] = Field(
        default=["t1", "t1ce", "any"], min_length=1, description="contrasts of the heads' tissues, equally often"
    )
    stripped: float = Field(
        default=0.0, ge=0, le=1, description="share of heads drawn without skull and skin, as after brain extraction"
    )
    patch: int | None = Field(
        default=None, ge=8,
        description="stage one learns from crops of so many pixels a side (at most the image) around what tells a pair "
        "apart, of slices where the network looks at volumes in planes; the head is then fitted near what it learnt, "
        "to answer for whole images",
    )
    patches: int = Field(default=1, ge=1, description="crops of a pair, each with and without the lesion")
    elsewhere: int = Field(
        default=0, ge=0, description="further crops of a pair, without lesion, from all over the head (with patch)"
    )
    anywhere: int = Field(
        default=0, ge=0,
        description="further crops a pair, of slices without lesion through all of a head, face and neck included "
        "(with patch; of slices alone): volumes show these, slices through lesions do not",
    )
    clear_epochs: int = Field(
        default=0, ge=0, description="so many epochs begin with large lesions of strong contrast alone (with patch)"
    )
    whole_epochs: int = Field(
        default=0, ge=0,
        description="so many epochs more, at half the learning rate, learn from whole images and, of slices, "
        "one without lesion through any part of a head for each pair (with patch)",
    )
    phantoms: int = Field(default=12, ge=2, description="number of phantom heads where there is no data.path")


class DataConfig(_Section):
    """Where images come from, and how volumes become training examples."""

    kind: Literal["labeled", "paired"] = "labeled"
    path: str | None = Field(default=None, description="folder or CSV; --data says it on the command line")
    patient_pattern: str | None = Field(
        default=None, description="regular expression; its first group, or its match, in the name is the patient"
    )
    validation_fraction: float = Field(default=0.2, gt=0, le=0.5, description="of the patients of each class")
    planes: Literal["acquisition", "all"] = Field(default="acquisition", description="cuts taken from a volume (2D)")
    slice_step: int = Field(default=1, ge=1, description="take every n-th slice of a volume (2D)")
    minimum_foreground: float = Field(default=0.05, ge=0, lt=1, description="leave out slices with less of the head")
    simulation: SimulationConfig = SimulationConfig()


class NetworkConfig(_Section):
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


class OptimizerConfig(_Section):
    """Stage one: the network, trained by AdamW with a one-cycle learning rate."""

    epochs: int = Field(default=30, ge=1)
    batch_size: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0, le=1)
    weight_decay: float = Field(default=1e-2, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    patience: int = Field(default=8, ge=1, description="epochs without a better validation loss before stopping")
    workers: int = Field(default=0, ge=0, description="processes that load data")


class HeadConfig(_Section):
    """Stage two (METHOD.md fact 4): pooled features, z-scored, L2, solved to convergence."""

    from_weights: bool = Field(
        default=False,
        description="begin with the head that came with network.weights and change it little (pairs, head_only)",
    )
    inverse_penalties: list[float] = Field(
        default=list(STRENGTHS), min_length=1, description="C; the strongest penalty that validation allows is taken"
    )


class TrainerConfig(_Section):
    """Lightning's own flags."""

    accelerator: str = "auto"
    devices: int | str = "auto"
    strategy: str = "auto"
    num_nodes: int = Field(default=1, ge=1)
    precision: str = "32-true"
    progress: bool = True


class DataSource(_Section):
    """An attribution that the bundle carries along."""

    name: str
    license: str
    use: str
    attribution: str = ""


class TrainConfig(_Section):
    """A whole training run."""

    name: str = Field(pattern=NAME_PATTERN)
    version: str = "1.0.0"
    title: str
    description: str
    modality: str
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
        if self.head.from_weights and (
            self.data.kind != "paired" or self.mode != "head_only" or not self.network.weights
        ):
            raise ValueError("head.from_weights: needs data.kind paired, mode head_only and network.weights")
        if self.folds == 1:
            raise ValueError("folds: 0 (no cross-validation) or at least 2")
        if self.data.kind == "paired":
            if [c.pathology for c in self.classes].count(True) != 1 or len(names) != 2:
                raise ValueError("classes: pairs need exactly one class with pathology and one without")
            if self.data.simulation.kind == "nigral_loss" and self.dimension == 2:
                raise ValueError("dimension: nigral_loss makes volumes, set it to 3")
            if self.data.simulation.kind == "lesion" and len(set(self.input.size)) + len(set(self.input.spacings)) > 2:
                raise ValueError("input: simulated heads need one size and one spacing for all axes")
            if self.data.simulation.patch and self.data.simulation.patch > max(self.input.size):
                raise ValueError("data.simulation.patch: crops cannot be larger than input.size")
            if self.data.simulation.patch and self.mode != "joint":
                raise ValueError("mode: crops are learnt through the HR-CAM head, set it to joint")
            if self.folds:
                raise ValueError("folds: pairs are generated without end, cross-validation has no use; set it to 0")
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


def recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load_config(name_or_path: str | Path, **overrides: Any) -> TrainConfig:
    """Read a recipe or a file; `overrides` are dotted keys, e.g. `{"train.epochs": 3}`.

    Raises
    ------
    InputError : no such recipe or file, not YAML, or wrong keys or values: all of them are named at once.
    """
    path = Path(name_or_path)
    if not path.is_file() and path.parent == Path():
        path = RECIPES / f"{path.stem}.yaml"
    if not path.is_file():
        near = difflib.get_close_matches(Path(name_or_path).stem, recipes(), n=1)
        meant = f"Did you mean {near[0]}? " if near else ""
        raise InputError(
            f"There is no configuration {str(name_or_path)!r}.",
            f"{meant}Give a YAML file or one of {', '.join(recipes())}.",
        )
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}.", "Correct the file.") from None
    if not isinstance(raw, dict):
        raise InputError(f"{path} holds no settings.", "Start from a recipe: hrcam train --print-recipe NAME.")
    for key, value in overrides.items():
        _assign(raw, key.split("."), value)
    return parse_config(raw, str(path))


def parse_config(raw: dict[str, Any], source: str = "the configuration") -> TrainConfig:
    """Check settings; every wrong one is named, unknown keys with the key that was probably meant."""
    try:
        return TrainConfig.model_validate(raw)
    except ValidationError as error:
        lines = [_explain(e) for e in error.errors()]
    raise InputError(f"{source} has {len(lines)} wrong setting(s): " + "; ".join(lines) + ".", "Correct and run again.")


def _explain(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(error["loc"][-1]), _keys_at(error["loc"][:-1]), n=1)
        return f"unknown key {where}" + (f" (did you mean {near[0]}?)" if near else "")
    if error["type"] == "missing":
        return f"{where} is missing"
    message = error["msg"].removeprefix("Value error, ")
    if not where:
        return message
    return f"{where}: {message[0].lower()}{message[1:]}, not {error['input']!r}"


def _keys_at(location: tuple[str | int, ...]) -> list[str]:
    """Settings that exist in the section at `location`, list indices skipped."""
    section: type[BaseModel] = TrainConfig
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
