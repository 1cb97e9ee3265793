"""From the configuration's `network` to a CNN, and to the words by which the bundle will name it."""

import importlib
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from hrcam.bundle.bundle import WEIGHTS, load_bundle
from hrcam.bundle.metadata import IMPORT_PREFIX
from hrcam.cam.model import HRCAM
from hrcam.errors import ModelError
from hrcam.networks.efficientnet_lite0 import Lite0Pyramid, load_pretrained
from hrcam.networks.library import LIBRARIES, network
from hrcam.networks.registry import ARCHITECTURES, build_network
from hrcam.words import reason
from torch import Tensor, nn

from hrcam_train.config import NetworkConfig, TrainConfig


@dataclass(frozen=True)
class Architecture:
    """What a bundle writes down: enough to build the same network again, without weights."""

    name: str
    arguments: dict[str, Any]

    @property
    def imported(self) -> bool:
        """Whether it is code outside the allow-list, which a user must allow."""
        return self.name.startswith(IMPORT_PREFIX)


def build_hrcam(config: TrainConfig) -> tuple[HRCAM, Architecture]:
    """Build the CNN with its starting weights and wrap it; seeded by `config.seed`.

    Raises
    ------
    ModelError : the network cannot be built, does not answer with one number a class, or cannot be wrapped.
    """
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        cnn, architecture = build_cnn(config.network, len(config.classes), config.dimension)
        if config.network.weights:
            load_weights(cnn, _weights_file(config.network.weights))
        # Networks of the allow-list are known to answer rightly, and show their levels on a small example.
        example = torch.zeros(1, 1, *config.input.size) if architecture.imported else None
        if example is not None and config.mode == "two_stage":
            _check_classifier(cnn, example, len(config.classes))
        levels = config.network.levels
        if levels == "auto" and isinstance(cnn, Lite0Pyramid) and cnn.num_dims == 3:
            levels = cnn.pyramid_levels  # of slices put together anew, which nothing can follow
        hrcam = HRCAM(cnn, len(config.classes), levels=levels, example=example, fusion=config.fusion)
    if hrcam.num_dims != config.dimension:
        raise ModelError(f"{config.network.name} has {hrcam.num_dims} dimensions.", f"dimension is {config.dimension}.")
    return hrcam, architecture


def build_cnn(config: NetworkConfig, num_classes: int, dimension: int) -> tuple[nn.Module, Architecture]:
    """Build the CNN that `config` names, for one input channel; see `build_hrcam`."""
    name = config.name
    if ":" in name:
        builder = _import(name)
        offered = {"num_classes": num_classes, "in_channels": 1, "dims": dimension, "spatial_dims": dimension}
        own = _fill(builder, offered) | config.arguments
        return _call(builder, name, own), Architecture(IMPORT_PREFIX + name, own)
    if name.partition(".")[0] in LIBRARIES:
        arguments: dict[str, Any] = {"name": name, "num_classes": num_classes, "dims": dimension, **config.arguments}
        cnn = network(pretrained=config.pretrained, **arguments)
        return cnn, Architecture(f"{IMPORT_PREFIX}{network.__module__}:{network.__name__}", arguments)
    if name not in ARCHITECTURES:
        raise ModelError(
            f"There is no network {name!r}.",
            f"Choose one of {', '.join(ARCHITECTURES)}, torchvision.NAME, timm.NAME, monai.NAME, your module:function.",
        )
    arguments = _fill(ARCHITECTURES[name], {"num_classes": num_classes, "dims": dimension}) | config.arguments
    cnn = build_network(name, arguments)
    if config.pretrained:
        if not isinstance(cnn, Lite0Pyramid):
            raise ModelError(f"{name} has no pretrained weights.", "Set network.pretrained to false.")
        load_pretrained(cnn.encoder)
    return cnn, Architecture(name, arguments)


def learnt_hrcam(config: TrainConfig) -> HRCAM:
    """Return the HR-CAM whose weights `config` starts from, its head too.

    Raises
    ------
    ModelError : the weights cannot be read, have no head, or are not of this network with these levels and classes.
    """
    assert config.network.weights
    hrcam, _ = build_hrcam(config)
    path = _weights_file(config.network.weights)
    head = {key.removeprefix("head."): value for key, value in _read_state(path).items() if key.startswith("head.")}
    if head.keys() != hrcam.head.state_dict().keys() or head["weight"].shape != hrcam.head.weight.shape:
        raise ModelError(
            f"The weights {path} have no head for this network.",
            "Start from a bundle with the same levels and classes, or set head.from_weights to false.",
        )
    hrcam.head.load_state_dict(head)
    return hrcam


def load_weights(cnn: nn.Module, path: Path) -> None:
    """Load a state dict, of the CNN itself or of a bundle (its `cnn.` part); nothing is unpickled but tensors.

    Raises
    ------
    ModelError : not readable, or not the weights of this network.
    """
    state = _read_state(path)
    if any(key.startswith("cnn.") for key in state) and "cnn" not in dict(cnn.named_children()):
        state = {key.removeprefix("cnn."): value for key, value in state.items() if key.startswith("cnn.")}
    try:
        cnn.load_state_dict(state)
    except (RuntimeError, AttributeError) as error:
        raise ModelError(
            f"The weights {path} are not of this network: {reason(error)}.", "Check name and arguments."
        ) from error


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        return dict(state.get("state_dict", state))
    except Exception as error:  # torch and safetensors raise many kinds
        raise ModelError(
            f"The weights {path} cannot be read: {reason(error)}.", "Save them as .safetensors."
        ) from error


def _weights_file(name: str) -> Path:
    """A file, or that of the bundle of this name."""
    path = Path(name)
    return path if path.suffix else load_bundle(name).path / WEIGHTS


def _import(name: str) -> Any:
    module_name, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ModelError(
            f"{name} cannot be imported: {error}.", "Run in the folder of your module, or add it to PYTHONPATH."
        ) from error
    return found


def _call(builder: Any, name: str, arguments: dict[str, Any]) -> nn.Module:
    try:
        cnn = builder(**arguments)
    except Exception as error:  # the user's own code
        raise ModelError(f"{name} fails: {type(error).__name__}: {error}.", "Check network.arguments.") from error
    if not isinstance(cnn, nn.Module):
        raise ModelError(f"{name} gives a {type(cnn).__name__}.", "It must give a torch.nn.Module.")
    return cnn


def _fill(builder: Any, offered: dict[str, Any]) -> dict[str, Any]:
    """Those of the offered arguments that the builder names."""
    return {key: value for key, value in offered.items() if key in inspect.signature(builder).parameters}


def _check_classifier(cnn: nn.Module, example: Tensor, num_classes: int) -> None:
    training = cnn.training
    with torch.inference_mode():
        try:
            answer = cnn.eval()(example)
        except RuntimeError as error:
            raise ModelError(f"The network fails on {tuple(example.shape)}: {error}.", "Check input.size.") from error
    cnn.train(training)
    if not isinstance(answer, Tensor) or answer.shape != (1, num_classes):
        shape = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        raise ModelError(
            f"The network answers with {shape}, not with one number for each of {num_classes} classes.",
            "Give it num_classes outputs, or use mode: joint, which needs none.",
        )
