"""From a bundle's weights to a running network: checked before anything large is allocated. Needs torch."""

import importlib
from collections.abc import Mapping
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from ..cam.model import HRCAM
from ..errors import BundleError, ModelError
from ..networks.registry import build_network
from .metadata import IMPORT_PREFIX

CNN, HEAD_WEIGHT, HEAD_BIAS = "cnn.", "head.weight", "head.bias"
_FORMER_MODULES = {"hrcam.train.library": "hrcam.networks.library"}
"""Modules that bundles of version 0.1 name, and where they are now."""
_EXACT = (torch.int64, torch.int32, torch.uint8, torch.bool)
_FLOATING = (torch.float16, torch.bfloat16, torch.float32)


def build_hrcam(metadata: Mapping[str, Any], weights: bytes) -> HRCAM:
    """Build the network that a bundle's checked metadata name, with its verified weights; see `Bundle.build`."""
    model = str(metadata["name"])
    tensors = read_tensors(model, weights)
    name, arguments = metadata["architecture"]["name"], metadata["architecture"]["arguments"]
    imported = name.startswith(IMPORT_PREFIX)
    try:
        if not imported:
            # On the meta device first: shapes are compared before a hostile bundle can ask for memory.
            with torch.device("meta"):
                check_tensors(model, build_network(name, arguments), tensors)
        cnn = _imported_network(name, arguments) if imported else build_network(name, arguments)
        check_tensors(model, cnn, tensors)
        example = torch.zeros(1, 1, *metadata["input"]["size"]) if imported else None
        cnn.load_state_dict({k.removeprefix(CNN): v for k, v in tensors.items() if k.startswith(CNN)})
        hrcam = HRCAM(cnn, len(metadata["classes"]), metadata["levels"], example, metadata["fusion"])
    except ModelError as error:
        raise BundleError(f"Model {model!r} cannot be built: {error}", "Get the model again.") from error
    names = [level.name for level in hrcam.levels]
    if names != metadata["levels"] or hrcam.num_dims != metadata["dimension"]:
        raise BundleError(
            f"Model {model!r} names levels {', '.join(metadata['levels'])}; the network has {', '.join(names)}.",
            "Get the model again.",
        )
    head = {"weight": tensors[HEAD_WEIGHT], "bias": tensors[HEAD_BIAS]}
    _compare(model, "head", {k: v.shape for k, v in hrcam.head.state_dict().items()}, head)
    hrcam.head.load_state_dict(head)
    return hrcam.float().eval().requires_grad_(False)


def read_tensors(model: str, weights: bytes) -> dict[str, Tensor]:
    """Return the tensors of a bundle's weights, floating ones as float32; `model` is its name, for messages.

    Raises
    ------
    BundleError : not a safetensors file, a type that no network has, or values that are not finite.
    """
    try:
        tensors = safetensors.torch.load(weights)
    except safetensors.SafetensorError as error:
        raise BundleError(
            f"The weights of model {model!r} cannot be read: {error}.", "Get the model again."
        ) from error
    for name, tensor in tensors.items():
        if tensor.dtype not in (*_EXACT, *_FLOATING):
            raise BundleError(
                f"Tensor {name!r} of model {model!r} is of type {tensor.dtype}.", "Get the model again."
            )
        if tensor.dtype in _FLOATING and not bool(torch.isfinite(tensor).all()):
            raise BundleError(f"Tensor {name!r} of model {model!r} is not finite.", "Get the model again.")
    return {name: t.float() if t.dtype in _FLOATING else t for name, t in tensors.items()}


def check_tensors(model: str, cnn: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Raise `BundleError` unless the tensors are exactly those of the network and a head."""
    expected = {CNN + name: tensor.shape for name, tensor in cnn.state_dict().items()}
    given = {name: tensor for name, tensor in tensors.items() if name not in (HEAD_WEIGHT, HEAD_BIAS)}
    _compare(model, "network", expected, given)
    if len(given) != len(tensors) - 2:
        raise BundleError(f"Model {model!r} has no head.", "Get the model again.")


def _compare(model: str, what: str, expected: dict[str, torch.Size], given: dict[str, Tensor]) -> None:
    for name in sorted(expected.keys() | given.keys()):
        wanted = tuple(expected[name]) if name in expected else "nothing"
        found = tuple(given[name].shape) if name in given else "nothing"
        if wanted != found:
            raise BundleError(
                f"The weights of model {model!r} do not fit its {what}: {name!r} is {found}, expected {wanted}.",
                "Get the model again.",
            )


def _imported_network(name: str, arguments: dict[str, Any]) -> nn.Module:
    """Call the user's own builder, which `load_bundle(…, allow_import=True)` has allowed."""
    module_name, _, attribute = name.removeprefix(IMPORT_PREFIX).partition(":")
    module_name = _FORMER_MODULES.get(module_name, module_name)
    try:
        builder: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            builder = getattr(builder, part)
        network = builder(**arguments)
    except Exception as error:
        raise ModelError(
            f"{name} fails: {type(error).__name__}: {error}.", "Is the module on the Python path?"
        ) from error
    if not isinstance(network, nn.Module):
        raise ModelError(f"{name} gives a {type(network).__name__}.", "It must give a torch.nn.Module.")
    return network
