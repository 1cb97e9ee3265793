"""The configuration of a training on pairs: that of any training, and how the pairs are simulated."""

from pathlib import Path
from typing import Any, Literal

from hrcam_train.config import DataConfig, HeadConfig, Section, TrainConfig, read_config
from pydantic import Field, model_validator

from hrcam_research.simulate.case import LEAST_CHANGE

RECIPES = Path(__file__).parent / "recipes"


class SimulationConfig(Section):
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


class PairedData(DataConfig):
    """Where heads come from, and how pairs are made of them."""

    simulation: SimulationConfig = SimulationConfig()


class PairedHead(HeadConfig):
    """Stage two: a head may come with the network's weights."""

    from_weights: bool = Field(
        default=False,
        description="begin with the head that came with network.weights and change it little (head_only)",
    )


class PairedConfig(TrainConfig):
    """A whole training run on pairs."""

    data: PairedData = PairedData(kind="paired")
    head: PairedHead = PairedHead()

    @model_validator(mode="after")
    def _pairs_fit_together(self) -> "PairedConfig":
        simulation = self.data.simulation
        if self.data.kind != "paired":
            raise ValueError("data.kind: set it to paired, or use hrcam train")
        if self.head.from_weights and (self.mode != "head_only" or not self.network.weights):
            raise ValueError("head.from_weights: needs mode head_only and network.weights")
        if [c.pathology for c in self.classes].count(True) != 1 or len(self.classes) != 2:
            raise ValueError("classes: pairs need exactly one class with pathology and one without")
        if simulation.kind == "nigral_loss" and self.dimension == 2:
            raise ValueError("dimension: nigral_loss makes volumes, set it to 3")
        if simulation.kind == "lesion" and len(set(self.input.size)) + len(set(self.input.spacings)) > 2:
            raise ValueError("input: simulated heads need one size and one spacing for all axes")
        if simulation.patch and simulation.patch > max(self.input.size):
            raise ValueError("data.simulation.patch: crops cannot be larger than input.size")
        if simulation.patch and self.mode != "joint":
            raise ValueError("mode: crops are learnt through the HR-CAM head, set it to joint")
        if self.folds:
            raise ValueError("folds: pairs are generated without end, cross-validation has no use; set it to 0")
        return self


def load_paired_config(name_or_path: str | Path, **overrides: Any) -> PairedConfig:
    """Read a recipe of `recipes/`, or a file; see `hrcam_train.config.load_config`."""
    return read_config(PairedConfig, name_or_path, RECIPES, overrides)
